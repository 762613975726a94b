//! Points with confidence intervals over a value, joined by lines: a metric over a size. An SVG file of its own.

use maud::{Markup, html};

use crate::chart::px;
use crate::svg_file::{WIDTH_PX, svg_file};
use crate::text::clean;

/// Left edge of the plot; letters of the axis stand before it.
const LEFT: f64 = 40.0;
/// Right edge.
const RIGHT: f64 = WIDTH_PX - 60.0;
/// Top edge, below the legend.
const TOP: f64 = 26.0;
/// Bottom edge, above the names of the points.
const BOTTOM: f64 = 266.0;
const HEIGHT: f64 = 310.0;
/// Steps of the axis of values, about.
const STEPS: f64 = 5.0;

/// A metric over a size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointChart {
    /// Title: the quantity shown, and its unit.
    pub title: String,
    /// Name of the axis below.
    pub axis: String,
    /// Whether equal factors are equally far apart on the axis below; its values must then be above 0.
    pub logarithmic: bool,
    /// The series, at most four.
    pub series: Vec<Series>,
}

/// Points that are joined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// The points, from left to right.
    pub points: Vec<Point>,
}

/// One measurement. Points that are not finite are not drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Its place on the axis below.
    pub x: f64,
    /// Its name on that axis; points at one place have one name.
    pub name: String,
    /// Its value.
    pub y: f64,
    /// Ends of its confidence interval.
    pub interval: Option<[f64; 2]>,
}

/// From values to pixels.
struct Frame {
    x: [f64; 2],
    y: [f64; 2],
    step: f64,
    logarithmic: bool,
}

impl PointChart {
    /// The chart as an SVG file of its own.
    pub fn to_svg(&self) -> String {
        svg_file(&self.title, HEIGHT, &self.svg())
    }

    fn svg(&self) -> Markup {
        let frame = Frame::of(self);
        html! {
            svg width="100%" height=(HEIGHT) role="img" aria-label={ (clean(&self.title)) ": " (self.alternative()) } {
                (frame.ticks())
                @for (at, series) in self.series.iter().enumerate() {
                    (legend(at, &series.name))
                    (frame.series(at, series))
                }
                @for point in self.places() {
                    text.tick x=(px(frame.x(point.x))) y=(BOTTOM + 18.0) text-anchor="middle" { (clean(&point.name)) }
                }
                text.tick x=(px((LEFT + RIGHT) / 2.0)) y=(BOTTOM + 38.0) text-anchor="middle" { (clean(&self.axis)) }
            }
        }
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        self.series.iter().flat_map(Series::drawn)
    }

    /// A point for each place of the axis below.
    fn places(&self) -> Vec<&Point> {
        let mut places: Vec<&Point> = self.points().collect();
        places.sort_by(|a, b| a.x.total_cmp(&b.x));
        places.dedup_by(|a, b| a.x == b.x);
        places
    }

    fn alternative(&self) -> String {
        let series = |series: &Series| {
            let points = series
                .drawn()
                .map(|point| format!("{} at {}", shown(point.y), clean(&point.name)));
            format!("{}: {}", clean(&series.name), points.collect::<Vec<_>>().join(", "))
        };
        self.series.iter().map(series).collect::<Vec<_>>().join("; ")
    }
}

impl Series {
    fn drawn(&self) -> impl Iterator<Item = &Point> {
        self.points
            .iter()
            .filter(|point| point.x.is_finite() && point.y.is_finite())
    }
}

impl Frame {
    fn of(chart: &PointChart) -> Self {
        let ends = |point: &Point| {
            point
                .interval
                .map_or([point.y; 2], |[low, high]| [low.min(point.y), high.max(point.y)])
        };
        let (low, high) = range(chart.points().flat_map(ends));
        let step = step((high - low).max(1e-9) / STEPS);
        let scaled = chart.points().map(|point| scaled(point.x, chart.logarithmic));
        Self {
            x: range(scaled).into(),
            y: [(low / step).floor() * step, (high / step).ceil() * step],
            step,
            logarithmic: chart.logarithmic,
        }
    }

    /// A single place stands in the middle.
    fn x(&self, value: f64) -> f64 {
        let [first, last] = self.x;
        match last > first {
            true => LEFT + 30.0 + (RIGHT - LEFT - 60.0) * (scaled(value, self.logarithmic) - first) / (last - first),
            false => (LEFT + RIGHT) / 2.0,
        }
    }

    fn y(&self, value: f64) -> f64 {
        let [low, high] = self.y;
        BOTTOM - (BOTTOM - TOP) * ((value - low) / (high - low).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Markup {
        let [low, high] = self.y;
        let count = ((high - low) / self.step).round() as usize;
        html! {
            @for number in 0..=count {
                @let value = low + self.step * number as f64;
                @let y = px(self.y(value));
                line.grid x1=(LEFT) x2=(RIGHT) y1=(y) y2=(y) {}
                text.tick x=(LEFT - 6.0) y=(px(self.y(value) + 4.0)) text-anchor="end" { (shown(value)) }
            }
        }
    }

    fn series(&self, at: usize, series: &Series) -> Markup {
        let path = |point: &Point| format!("{},{} ", px(self.x(point.x)), px(self.y(point.y)));
        html! {
            g class={ "line-" (at) } {
                polyline points=(series.drawn().map(path).collect::<String>()) {}
                @for point in series.drawn() {
                    @let (x, y) = (px(self.x(point.x)), px(self.y(point.y)));
                    @if let Some([low, high]) = point.interval {
                        line x1=(x) x2=(x) y1=(px(self.y(low))) y2=(px(self.y(high))) stroke="var(--series)" stroke-width="1.5" {}
                    }
                    circle cx=(x) cy=(y) r="4" fill="var(--paper)" stroke="var(--series)" stroke-width="2" {
                        title { (clean(&series.name)) ", " (clean(&point.name)) ": " (shown(point.y)) }
                    }
                }
            }
        }
    }
}

fn legend(at: usize, name: &str) -> Markup {
    let x = LEFT + 160.0 * at as f64;
    html! {
        g class={ "line-" (at) } { line x1=(x) x2=(x + 18.0) y1="8" y2="8" stroke="var(--series)" stroke-width="3" {} }
        text x=(x + 24.0) y="12" { (clean(name)) }
    }
}

/// Smallest and largest; zero without any.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    match low <= high {
        true => (low, high),
        false => (0.0, 0.0),
    }
}

fn scaled(value: f64, logarithmic: bool) -> f64 {
    match logarithmic {
        true => value.max(f64::MIN_POSITIVE).log10(),
        false => value,
    }
}

/// The round number that is not below `least`.
fn step(least: f64) -> f64 {
    let magnitude = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * magnitude);
    steps
        .into_iter()
        .find(|step| least <= step * (1.0 + 1e-9))
        .unwrap_or(10.0 * magnitude)
}

fn shown(value: f64) -> String {
    format!("{:.1}", (value * 10.0).round() / 10.0 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> PointChart {
        let point = |(x, y): &(f64, f64)| Point {
            x: *x,
            name: format!("{x} %"),
            y: *y,
            interval: Some([y - 1.0, y + 1.0]),
        };
        PointChart {
            title: "mean R@10 in %".into(),
            axis: "share <of> triplets".into(),
            logarithmic: true,
            series: vec![Series {
                name: "all".into(),
                points: points.iter().map(point).collect(),
            }],
        }
    }

    #[test]
    fn points_stand_at_their_values() {
        let svg = chart(&[(1.0, 11.0), (10.0, 21.0), (100.0, 31.0)]).to_svg();
        // 10 to 32 in steps of 5: the axis goes from 10 to 35, and 1, 10, 100 are equally far apart.
        let middle = format!("cx=\"{:.1}\"", (LEFT + RIGHT) / 2.0);
        let y = BOTTOM - (BOTTOM - TOP) * (21.0 - 10.0) / 25.0;
        for part in [
            "xmlns=\"http://www.w3.org/2000/svg\"",
            &middle,
            &format!("cy=\"{y:.1}\""),
            ">35.0</text>",
            "share &lt;of&gt; triplets",
            "aria-label=\"mean R@10 in %: all: 11.0 at 1 %, 21.0 at 10 %, 31.0 at 100 %\"",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
    }

    #[test]
    fn odd_charts_are_drawn_without_odd_numbers() {
        for points in [
            &[][..],
            &[(1.0, 5.0)],
            &[(1.0, f64::NAN), (2.0, 3.0)],
            &[(1.0, 3.0), (2.0, 3.0)],
        ] {
            let svg = chart(points).to_svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.ends_with("</svg>\n"), "{svg}");
        }
    }

    #[test]
    fn bars_are_a_file_too() {
        let mut bars = crate::BarChart::new("R@10");
        bars.bar(crate::Bar {
            label: "a & b".into(),
            value: 5.0,
            ..crate::Bar::default()
        });
        let svg = bars.to_svg();
        assert!(
            svg.starts_with("<svg class=\"chart\" xmlns=") && svg.contains("a &amp; b"),
            "{svg}"
        );
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }
}
