//! What a system's robustness is: JSON by serde, Markdown, and a section of an HTML page.

use std::fmt::Write;

use magiclens_metrics::{Confidence, Sample, bootstrap_interval, mean};
use serde::{Deserialize, Serialize};

use super::calibration::{ALLOWED_FALSE_ACCEPTS, Calibration, Point, Quantiles};
use super::plot;

/// What intervals draw from.
const SEED: u64 = 20_260_304;

/// The whole of what was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RobustnessReport {
    /// The part of the collection.
    pub split: String,
    /// Images of the gallery.
    pub gallery: usize,
    /// What was asked, one kind of request each; kinds that the collection cannot ask are left out.
    pub sections: Vec<Section>,
    /// Top scores with and without right answers in the gallery.
    pub calibration: Calibration,
}

/// One kind of request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// E.g. "Paraphrases".
    pub title: String,
    /// How its figures are defined.
    pub about: String,
    /// Requests measured.
    pub queries: usize,
    /// The figures.
    pub figures: Vec<Measured>,
    /// The root concept of each request.
    #[serde(skip)]
    clusters: Vec<usize>,
}

/// A mean over requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// E.g. "NegRecall@10".
    pub label: String,
    /// What its values are.
    pub unit: Unit,
    /// Which values are good.
    pub better: Better,
    /// The mean; `null` where nothing could be measured.
    pub value: Option<f64>,
    /// Its 95 % bootstrap interval, requests about one root concept drawn together.
    #[serde(flatten)]
    pub confidence: Confidence,
}

/// What the values of a figure are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Shares in 0..1, shown in percent.
    Percent,
    /// Similarities.
    Similarity,
}

/// Which values of a figure are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// High ones.
    Higher,
    /// Low ones.
    Lower,
    /// It says how things are, or stands there to be compared with.
    Neither,
}

impl Section {
    /// A section of requests of these root concepts, without figures.
    pub(super) fn new(title: &str, about: &str, clusters: Vec<usize>) -> Self {
        Self {
            title: title.to_owned(),
            about: about.to_owned(),
            queries: clusters.len(),
            figures: Vec::new(),
            clusters,
        }
    }

    /// Adds the mean of one value a request; NaN where it is undefined.
    pub(super) fn add(&mut self, label: &str, unit: Unit, better: Better, values: Vec<f64>) {
        let value = mean(values.iter().copied());
        let sample = Sample {
            values: &values,
            clusters: &self.clusters,
        };
        self.figures.push(Measured {
            label: label.to_owned(),
            unit,
            better,
            value: (!value.is_nan()).then_some(value),
            confidence: bootstrap_interval(&[sample], SEED),
        });
    }

    /// The figure of this label.
    pub fn figure(&self, label: &str) -> Option<&Measured> {
        self.figures.iter().find(|figure| figure.label == label)
    }
}

impl Measured {
    /// The value as people read it, e.g. "12.3".
    fn shown(&self, value: f64) -> String {
        match self.unit {
            Unit::Percent => format!("{:.1}", 100.0 * value),
            Unit::Similarity => format!("{value:.3}"),
        }
    }

    fn cells(&self) -> [String; 3] {
        let arrow = match self.better {
            Better::Higher => " ↑",
            Better::Lower => " ↓",
            Better::Neither => "",
        };
        let value = self.value.map_or("–".to_owned(), |value| self.shown(value));
        let interval = self.confidence.interval.map(|interval| {
            let [low, high] = [interval.low, interval.high].map(|end| self.shown(end));
            format!("{low} to {high}")
        });
        [format!("{}{arrow}", self.label), value, interval.unwrap_or_default()]
    }
}

impl RobustnessReport {
    /// The report for people: a table for each kind of request, figures in % and similarities as they are; ↑ says that
    /// high values are good, ↓ that low ones are.
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "Gallery: {} pictures of the {} part. Figures in %, similarities as they are; ↑ high is good, ↓ low is good.\n",
            self.gallery, self.split
        );
        for section in &self.sections {
            let head = format!(
                "\n## {} ({} requests)\n\n{}\n\n",
                section.title, section.queries, section.about
            );
            text += &(head + "| figure | mean | 95 % interval |\n|---|---|---|\n");
            for figure in &section.figures {
                text += &format!("| {} |\n", figure.cells().join(" | "));
            }
        }
        text += &format!("\n## Nothing fits ({} requests)\n\n", self.calibration.queries);
        text += &format!("{}\n\n", self.calibration.about());
        text += "| top similarity | 5 % | 25 % | 50 % | 75 % | 95 % |\n|---|---|---|---|---|---|\n";
        for (name, quantiles) in self.calibration.distributions() {
            text += &format!("| {name} | {} |\n", quantiles.cells().join(" | "));
        }
        text += "\n| asked for | AUC in % |\n|---|---|\n";
        for (relation, area) in self.calibration.areas() {
            text += &format!("| {relation} | {:.1} |\n", 100.0 * area);
        }
        text
    }

    /// The report as a part of an HTML page, with the curve of accepts as inline SVG; no script, no other files.
    pub fn to_html(&self) -> String {
        let mut html = String::from("<section class=\"robustness\">\n");
        for section in &self.sections {
            let (title, about) = (escaped(&section.title), escaped(&section.about));
            html += &format!("<h2>{title} ({} requests)</h2>\n<p>{about}</p>\n", section.queries);
            html += "<table><tr><th>figure</th><th>mean</th><th>95 % interval</th></tr>\n";
            for figure in &section.figures {
                html += &row(&figure.cells());
            }
            html += "</table>\n";
        }
        let calibration = &self.calibration;
        html += &format!("<h2>Nothing fits ({} requests)</h2>\n", calibration.queries);
        html += &format!(
            "<p>{}</p>\n{}",
            escaped(&calibration.about()),
            plot::accepts(calibration)
        );
        html +=
            "<table><tr><th>top similarity</th><th>5 %</th><th>25 %</th><th>50 %</th><th>75 %</th><th>95 %</th></tr>\n";
        for (name, quantiles) in calibration.distributions() {
            let mut cells = vec![name.to_owned()];
            cells.extend(quantiles.cells());
            html += &row(&cells);
        }
        html += "</table>\n<table><tr><th>asked for</th><th>AUC in %</th></tr>\n";
        for (relation, area) in calibration.areas() {
            html += &row(&[relation.to_owned(), format!("{:.1}", 100.0 * area)]);
        }
        html + "</table>\n</section>\n"
    }
}

impl Calibration {
    fn about(&self) -> String {
        let mut text = String::from(
            "Each request is asked with its right answers in the gallery, and with all of them taken out. AUC: how often the \
             first answer is nearer where there is a right one; 50 is chance.",
        );
        if let Some(Point {
            threshold,
            false_accepts,
            true_accepts,
            right_accepts,
        }) = self.threshold
        {
            let [allowed, false_accepts, true_accepts, right_accepts] =
                [ALLOWED_FALSE_ACCEPTS, false_accepts, true_accepts, right_accepts].map(|share| 100.0 * share);
            // Writing to a text cannot fail.
            let _ = write!(
                text,
                " With at most {allowed:.0} % false accepts the threshold is {threshold:.3}: it accepts {false_accepts:.1} % of \
                 the requests that nothing fits and {true_accepts:.1} % of the others, {right_accepts:.1} % with a right \
                 picture first."
            );
        }
        text
    }

    fn distributions(&self) -> impl Iterator<Item = (&'static str, Quantiles)> {
        let both = [("something fits", self.answerable), ("nothing fits", self.unanswerable)];
        both.into_iter()
            .filter_map(|(name, quantiles)| Some((name, quantiles?)))
    }

    /// All together first, then by relation.
    fn areas(&self) -> impl Iterator<Item = (&str, f64)> {
        let all = self.area_under_curve.map(|area| ("all", area));
        let relations = self.relations.iter().map(|(relation, area)| (relation.as_str(), *area));
        all.into_iter().chain(relations)
    }
}

impl Quantiles {
    fn cells(&self) -> Vec<String> {
        let all = [self.p5, self.p25, self.p50, self.p75, self.p95];
        all.map(|value| format!("{value:.3}")).into()
    }
}

fn row(cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
    format!("<tr>{cells}</tr>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
