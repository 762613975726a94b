//! Bars as SVG that fits any width: places along the line are in percent, so letters keep their size on a narrow screen.
//!
//! Every chart has a text alternative, and every mark a title with its numbers. Markdown omits charts: tables hold the same numbers.

use maud::{Markup, html};

use crate::numbers::whole;
use crate::svg_file::svg_file;
use crate::text::clean;

const HEADING_PX: f64 = 30.0;
/// Height of a bar with its label above.
const BAR_PX: f64 = 27.0;
/// Height of the numbers of an axis.
const AXIS_PX: f64 = 20.0;
/// Height of a histogram's bars.
const HISTOGRAM_PX: f64 = 90.0;

/// Horizontal bars below each other, in groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BarChart {
    title: String,
    /// Words for strong marks and for the others.
    legend: Option<[String; 2]>,
    rows: Vec<BarRow>,
}

#[derive(Clone, Debug, PartialEq)]
enum BarRow {
    Heading(String),
    Bar(Bar),
}

/// One bar.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bar {
    /// Its name, above the bar.
    pub label: String,
    /// Its value as people read it, at the right.
    pub text: String,
    /// Its length, at least zero.
    pub value: f64,
    /// The strong part of its length; `None` for a bar of one color.
    pub part: Option<f64>,
    /// Ends of the confidence interval.
    pub interval: Option<[f64; 2]>,
    /// True for a bar that stands out, e.g. one that was measured here.
    pub strong: bool,
    /// The value at the full width; `None` on the common axis, which begins at 0 and is drawn with its ticks.
    pub full: Option<f64>,
    /// More about it, shown on hover and read out.
    pub about: String,
}

impl BarChart {
    /// A chart without bars.
    pub fn new(title: impl Into<String>) -> Self {
        let title = title.into();
        Self {
            title,
            ..Self::default()
        }
    }

    /// Adds the meaning of strong marks and of the others.
    #[must_use]
    pub fn legend(mut self, strong: &str, others: &str) -> Self {
        self.legend = Some([strong, others].map(str::to_owned));
        self
    }

    /// Adds a heading above the bars that follow.
    pub fn heading(&mut self, text: impl Into<String>) -> &mut Self {
        self.rows.push(BarRow::Heading(text.into()));
        self
    }

    /// Adds a bar; values that are not finite are drawn as 0.
    pub fn bar(&mut self, bar: Bar) -> &mut Self {
        self.rows.push(BarRow::Bar(bar));
        self
    }

    /// The chart; `None` without bars.
    pub fn unless_empty(self) -> Option<Self> {
        self.rows
            .iter()
            .any(|row| matches!(row, BarRow::Bar(_)))
            .then_some(self)
    }

    /// The chart as an SVG file of its own, without its legend.
    pub fn to_svg(&self) -> String {
        svg_file(&self.title, self.height() + AXIS_PX, &self.svg())
    }

    pub(crate) fn html(&self) -> Markup {
        figure(
            &self.title,
            html! {
                @if let Some([strong, others]) = &self.legend {
                    p.note { span.key.strong { (clean(strong)) } " " span.key { (clean(others)) } }
                }
                (self.svg())
            },
        )
    }

    fn svg(&self) -> Markup {
        let tops: Vec<f64> = self
            .rows
            .iter()
            .scan(0.0, |y, row| Some(std::mem::replace(y, *y + row.height())))
            .collect();
        let axis = self.axis();
        let end = axis.map_or(1.0, |(_, end)| end);
        let label = format!("{}: {}", clean(&self.title), self.alternative());
        html! {
            svg width="100%" height=(self.height() + AXIS_PX) role="img" aria-label=(label) {
                @if let Some(axis) = axis { (ticks(axis, self.height())) }
                @for (row, &y) in self.rows.iter().zip(&tops) {
                    @match row {
                        BarRow::Heading(text) => { text.heading x="0" y=(y + 20.0) { (clean(text)) } }
                        BarRow::Bar(bar) => { (bar.html(y, end)) }
                    }
                }
            }
        }
    }

    /// Without the axis.
    fn height(&self) -> f64 {
        self.rows.iter().map(BarRow::height).sum()
    }

    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.rows.iter().filter_map(|row| match row {
            BarRow::Bar(bar) => Some(bar),
            BarRow::Heading(_) => None,
        })
    }

    /// Step and end of the common axis; `None` if every bar has its own scale.
    fn axis(&self) -> Option<(f64, f64)> {
        let common = self.bars().filter(|bar| bar.full.is_none());
        common
            .map(|bar| bar.interval.map_or(bar.value, |[_, high]| high.max(bar.value)))
            .reduce(f64::max)
            .map(axis)
    }

    fn alternative(&self) -> String {
        let bars: Vec<String> = self
            .bars()
            .map(|bar| format!("{} {}", clean(&bar.label), clean(&bar.text)))
            .collect();
        bars.join(", ")
    }
}

impl BarRow {
    fn height(&self) -> f64 {
        match self {
            Self::Heading(_) => HEADING_PX,
            Self::Bar(_) => BAR_PX,
        }
    }
}

impl Bar {
    fn html(&self, y: f64, end: f64) -> Markup {
        let share = |value: f64| percent(value / self.full.unwrap_or(end));
        let strong_part = self.part.or(self.strong.then_some(self.value));
        let about = match self.about.as_str() {
            "" => format!("{}: {}", self.label, self.text),
            about => about.to_owned(),
        };
        html! {
            g class=[self.strong.then_some("strong")] {
                title { (clean(&about)) }
                text x="0" y=(y + 12.0) { (clean(&self.label)) }
                text.value x="100%" y=(y + 12.0) { (clean(&self.text)) }
                rect.track x="0" y=(y + 16.0) width="100%" height="7" rx="2" {}
                rect.bar x="0" y=(y + 16.0) width=(share(self.value)) height="7" rx="2" {}
                @if let Some(part) = strong_part {
                    rect.part x="0" y=(y + 16.0) width=(share(part)) height="7" rx="2" {}
                }
                @if let Some([low, high]) = self.interval {
                    line.interval x1=(share(low)) x2=(share(high)) y1=(y + 19.5) y2=(y + 19.5) {}
                }
            }
        }
    }
}

/// Counts as vertical bars beside each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Name of the counted items.
    pub title: String,
    /// The meaning of each bar, e.g. "0.25 to 0.30", and its count.
    pub bars: Vec<(String, u64)>,
    /// The two ends of the axis.
    pub ends: [String; 2],
}

impl Histogram {
    pub(crate) fn html(&self) -> Markup {
        let most = self.bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        let step = 1.0 / self.bars.len().max(1) as f64;
        let height = |count: u64| (HISTOGRAM_PX * count as f64 / most as f64).max(if count > 0 { 1.0 } else { 0.0 });
        figure(
            &self.title,
            html! {
                svg width="100%" height=(HISTOGRAM_PX + 32.0) role="img" aria-label=(clean(&self.title)) {
                    @for (at, (meaning, count)) in self.bars.iter().enumerate() {
                        rect.part x=(percent(step * (at as f64 + 0.05))) y=(px(14.0 + HISTOGRAM_PX - height(*count)))
                            width=(percent(step * 0.9)) height=(px(height(*count))) {
                            title { (clean(meaning)) ": " (whole(*count)) }
                        }
                    }
                    text.tick x="0" y="10" { "most: " (whole(most)) }
                    text.tick x="0" y=(HISTOGRAM_PX + 28.0) { (clean(&self.ends[0])) }
                    text.tick.value x="100%" y=(HISTOGRAM_PX + 28.0) { (clean(&self.ends[1])) }
                }
            },
        )
    }
}

/// A drawing under its title.
pub(crate) fn figure(title: &str, content: Markup) -> Markup {
    html! { figure.chart { figcaption { (clean(title)) } (content) } }
}

fn ticks((step, end): (f64, f64), bottom: f64) -> Markup {
    let count = (end / step).round() as usize;
    let anchor = |number| match number {
        0 => "start",
        number if number == count => "end",
        _ => "middle",
    };
    html! {
        @for number in 0..=count {
            @let at = percent(number as f64 / count as f64);
            line.grid x1=(at) x2=(at) y1="0" y2=(bottom) {}
            text.tick x=(at) y=(bottom + 14.0) text-anchor=(anchor(number)) { (step * number as f64) }
        }
    }
}

/// The distance of ticks and the end of an axis from 0 that holds a value.
fn axis(largest: f64) -> (f64, f64) {
    let largest = if largest.is_finite() { largest.max(0.0) } else { 0.0 };
    let magnitude = 10_f64.powi((largest / 5.0).max(0.1).log10().floor() as i32);
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * magnitude);
    let step = steps
        .into_iter()
        .find(|step| largest <= 5.0 * step)
        .unwrap_or(10.0 * magnitude);
    (step, (largest / step).ceil().clamp(1.0, 5.0) * step)
}

/// A share of the width; a broken one is 0.
pub(crate) fn percent(share: f64) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.3}%", 100.0 * share)
}

pub(crate) fn px(length: f64) -> String {
    format!("{length:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &Markup, parts: &[&str]) {
        for part in parts {
            assert!(html.0.contains(part), "{part} is not in {}", html.0);
        }
        assert!(!html.0.contains("NaN") && !html.0.contains("inf%"), "{}", html.0);
    }

    #[test]
    fn axes_have_at_most_five_steps() {
        for (largest, expected) in [
            (0.0, (0.1, 0.1)),
            (0.5, (0.1, 0.5)),
            (8.7, (2.0, 10.0)),
            (39.2, (10.0, 40.0)),
            (56.25, (20.0, 60.0)),
            (100.0, (20.0, 100.0)),
            (f64::NAN, (0.1, 0.1)),
        ] {
            let (step, end) = axis(largest);
            assert!(
                (step - expected.0).abs() < 1e-9 && (end - expected.1).abs() < 1e-9,
                "{largest}: {step} {end}"
            );
        }
    }

    #[test]
    fn bars_stand_at_their_values() {
        let mut chart = BarChart::new("mAP@5").legend("here", "published");
        chart.heading("all").bar(Bar {
            label: "<ours>".into(),
            text: "50.0".into(),
            value: 50.0,
            interval: Some([45.0, 57.0]),
            strong: true,
            ..Bar::default()
        });
        chart.bar(Bar {
            label: "odd".into(),
            value: f64::NAN,
            ..Bar::default()
        });
        check(
            &chart.html(),
            &[
                "aria-label=\"mAP@5: &lt;ours&gt; 50.0, odd \"",
                "<title>&lt;ours&gt;: 50.0</title>",
                "x1=\"75.000%\" x2=\"95.000%\"",
                "class=\"part\" x=\"0\" y=\"46\" width=\"83.333%\"",
                "text-anchor=\"end\">60</text>",
            ],
        );
        let mut funnel = BarChart::new("Funnel");
        funnel.bar(Bar {
            value: 1000.0,
            part: Some(900.0),
            full: Some(1200.0),
            ..Bar::default()
        });
        let html = funnel.html();
        check(
            &html,
            &["class=\"bar\" x=\"0\" y=\"16\" width=\"83.333%\"", "width=\"75.000%\""],
        );
        assert!(!html.0.contains("class=\"grid\""));
        assert_eq!(BarChart::new("empty").unless_empty(), None);
    }

    #[test]
    fn histograms_name_their_ends() {
        let histogram = Histogram {
            title: "Score".into(),
            bars: vec![("0 to 1".into(), 0), ("1 to 2".into(), 1500)],
            ends: ["0".into(), "2".into()],
        };
        check(
            &histogram.html(),
            &["<title>1 to 2: 1,500</title>", "height=\"90.0\"", "most: 1,500"],
        );
        for empty in [Histogram::default().html(), BarChart::default().html()] {
            check(&empty, &["<figure"]);
        }
    }
}
