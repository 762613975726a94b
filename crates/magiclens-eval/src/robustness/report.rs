//! The results of all probes: JSON by serde, and a section of a document for people.

use magiclens_metrics::{Confidence, MIN_CLUSTERS};
use magiclens_report::numbers::points;
use magiclens_report::{Axis, Block, Document, Line, LineChart, Numbers, Section as Part, Table, Text, cells};
use serde::{Deserialize, Serialize};

use super::calibration::{ALLOWED_FALSE_ACCEPTS, Calibration, Point};

/// All that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RobustnessReport {
    /// The part of the collection.
    pub split: String,
    /// Images of the gallery.
    pub gallery: usize,
    /// One kind of request each, without kinds that the collection cannot ask.
    pub sections: Vec<Section>,
    /// Top scores with and without right answers in the gallery.
    pub calibration: Calibration,
}

/// One kind of request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// E.g. "Paraphrases".
    pub title: String,
    /// The definitions of its scores.
    pub about: String,
    /// Requests measured.
    pub queries: usize,
    /// The scores.
    #[serde(rename = "figures")]
    pub scores: Vec<Measured>,
}

/// A mean over requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// E.g. "NegRecall@10".
    pub label: String,
    /// The unit of its values.
    pub unit: Unit,
    /// The direction of good values.
    pub better: Better,
    /// The mean; `null` where nothing could be measured.
    pub value: Option<f64>,
    /// Its 95 % bootstrap interval, requests about one root concept drawn together.
    #[serde(flatten)]
    pub confidence: Confidence,
}

/// The unit of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Shares in 0..1, shown in percent.
    Percent,
    /// Similarities.
    Similarity,
}

/// The direction of good values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// High ones.
    Higher,
    /// Low ones.
    Lower,
    /// Neither: it describes, or stands there for comparison.
    Neither,
}

impl Section {
    /// The score of this label.
    pub fn score(&self, label: &str) -> Option<&Measured> {
        self.scores.iter().find(|score| score.label == label)
    }
}

impl Measured {
    /// The value as people read it, e.g. "12.3".
    fn shown(&self, value: f64) -> String {
        match self.unit {
            Unit::Percent => points(value),
            Unit::Similarity => format!("{value:.3}"),
        }
    }

    fn cells(&self) -> [Text; 4] {
        let arrow = match self.better {
            Better::Higher => " ↑",
            Better::Lower => " ↓",
            Better::Neither => "",
        };
        let interval = self.confidence.interval.map(|interval| {
            let [low, high] = [interval.low, interval.high].map(|end| self.shown(end));
            format!("{low} to {high}")
        });
        cells![
            format!("{}{arrow}", self.label),
            self.value.map_or("-".to_owned(), |value| self.shown(value)),
            interval.unwrap_or("-".to_owned()),
            self.confidence.clusters,
        ]
    }
}

impl RobustnessReport {
    /// The reports of several systems for people, by name.
    pub fn document<'a>(reports: impl IntoIterator<Item = (&'a String, &'a Self)>) -> Document {
        let mut document = Document::new("Robustness");
        document.push(format!(
            "Scores in %, similarities as they are; ↑ high is good, ↓ low is good. Intervals are 95 % bootstrap intervals over root \
             concepts; there is none below {MIN_CLUSTERS} of them."
        ));
        for (name, report) in reports {
            report.fill(document.section(format!("Robustness of {name}")));
        }
        document
    }

    fn fill(&self, part: &mut Part) {
        part.push(format!("Gallery: {} images of the {} part.", self.gallery, self.split));
        for section in &self.sections {
            let table = Table::new(format!("{} ({} requests)", section.title, section.queries));
            let mut table = table.words(["metric"]).numbers(["mean", "95 % interval", "clusters"]);
            for score in &section.scores {
                table.row(score.cells());
            }
            table.note(&section.about);
            part.push(table);
        }
        self.calibration.fill(part);
    }
}

impl Calibration {
    fn fill(&self, part: &mut Part) {
        part.push(Block::Heading(
            format!("Nothing fits ({} requests)", self.queries).into(),
        ));
        part.push(self.about());
        part.extend((!self.curve.is_empty()).then(|| self.chart()));
        let mut table = Table::new("Top similarities").words(["gallery"]);
        table = table.numbers(["5 %", "25 %", "50 %", "75 %", "95 %"]);
        for (name, quantiles) in [("something fits", self.answerable), ("nothing fits", self.unanswerable)] {
            let cells = quantiles.map(|found| [found.p5, found.p25, found.p50, found.p75, found.p95]);
            let cells = cells.map(|cells| cells.map(|value| Text::from(format!("{value:.3}"))));
            cells.map(|cells| table.row(std::iter::once(Text::from(name)).chain(cells)));
        }
        part.extend(table.unless_empty());
        let mut table = Table::new("AUC by relation").words(["relation"]).numbers(["AUC in %"]);
        let all = self.area_under_curve.map(|area| ("all", area));
        let relations = self.relations.iter().map(|(relation, area)| (relation.as_str(), *area));
        for (relation, area) in all.into_iter().chain(relations) {
            table.row(cells![relation, points(area)]);
        }
        part.extend(table.unless_empty());
    }

    fn about(&self) -> String {
        let mut text = String::from(
            "Each request is asked with its right answers in the gallery, and with all of them removed. AUC: the share of pairs in \
             which the first answer is nearer where there is a right one; 50 is chance.",
        );
        if let Some(point) = self.threshold {
            let rates = [
                ALLOWED_FALSE_ACCEPTS,
                point.false_accepts,
                point.true_accepts,
                point.right_accepts,
            ];
            let [allowed, false_accepts, true_accepts, right_accepts] = rates.map(points);
            let threshold = point.threshold;
            text += &format!(
                " With at most {allowed} % false accepts the threshold is {threshold:.3}: it accepts {false_accepts} % of the \
                 requests that nothing fits and {true_accepts} % of the others, {right_accepts} % with a right image first."
            );
        }
        text
    }

    fn chart(&self) -> LineChart {
        let line = |name: &str, share: fn(&Point) -> f64| Line {
            name: name.to_owned(),
            points: self
                .curve
                .iter()
                .map(|point| (point.threshold.into(), share(point)))
                .collect(),
            ..Line::default()
        };
        LineChart {
            title: "Accepted requests over the threshold".to_owned(),
            x: Axis {
                name: "threshold".to_owned(),
                ..Axis::default()
            },
            y: Axis {
                numbers: Numbers::Percent,
                holds: vec![0.0, 1.0],
                ..Axis::default()
            },
            lines: vec![
                line("accepted, something fits", |point| point.true_accepts),
                line("accepted and right first", |point| point.right_accepts),
                line("accepted, nothing fits", |point| point.false_accepts),
            ],
            marker: self.threshold.map(|point| point.threshold.into()),
            ..LineChart::default()
        }
    }
}
