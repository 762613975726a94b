//! Dot plots: the systems of one column, best first, ours with their intervals.

use magiclens_metrics::Interval;

use super::escape;
use crate::report::published::published;
use crate::report::tables::percent;
use crate::report::{BenchmarkReport, ColumnReport};

/// Plots of a benchmark: the first columns, which are the headline.
const MAX_PLOTS: usize = 4;
/// Characters of a name that fit.
const MAX_NAME: usize = 29;
const WIDTH: f64 = 520.0;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 478.0;
const TOP: f64 = 8.0;
const ROW: f64 = 17.0;

/// A system in a plot; values in %.
struct Point {
    name: String,
    value: f64,
    interval: Option<Interval>,
    ours: bool,
}

/// A plot for each of the first columns that have published figures and ours.
pub(super) fn of_benchmark(report: &BenchmarkReport) -> String {
    let plots: Vec<String> = report
        .columns
        .iter()
        .filter_map(|column| {
            let points = points(report, column);
            let both = points.iter().any(|point| point.ours) && points.iter().any(|point| !point.ours);
            both.then(|| plot(&column.label, &points))
        })
        .take(MAX_PLOTS)
        .collect();
    if plots.is_empty() {
        return String::new();
    }
    format!("<div class=\"plots\">\n{}</div>\n", plots.concat())
}

fn points(report: &BenchmarkReport, column: &ColumnReport) -> Vec<Point> {
    let rows = published(&report.benchmark).map_or(&[][..], |published| &published.rows);
    let theirs = rows.iter().filter_map(|row| {
        Some(Point {
            name: row.name(),
            value: *row.values.get(&column.label)?,
            interval: None,
            ours: false,
        })
    });
    let ours = report.systems.iter().filter_map(|system| {
        let figure = system.figure(column)?;
        Some(Point {
            name: system.system.clone(),
            value: figure.value? * 100.0,
            interval: figure.confidence.interval,
            ours: true,
        })
    });
    let mut points: Vec<Point> = theirs.chain(ours).filter(|point| point.value.is_finite()).collect();
    points.sort_by(|a, b| b.value.total_cmp(&a.value));
    points
}

fn plot(title: &str, points: &[Point]) -> String {
    let largest = points
        .iter()
        .map(|point| point.interval.map_or(point.value, |interval| interval.high * 100.0))
        .fold(0.0, f64::max);
    let (step, end) = axis(largest);
    let x = |value: f64| LEFT + (RIGHT - LEFT) * (value / end).clamp(0.0, 1.0);
    let bottom = TOP + ROW * points.len() as f64;
    let title = escape(title);
    let mut svg = format!(
        "<figure>\n<figcaption>{title}</figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"{title}: published figures and ours\">\n",
        bottom + 18.0
    );
    let ticks = (0..)
        .map(|number| step * f64::from(number))
        .take_while(|tick| *tick <= end);
    for tick in ticks {
        svg += &format!(
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text class=\"tick\" x=\"{0:.1}\" y=\"{1}\">{tick}</text>\n",
            x(tick),
            bottom + 13.0
        );
    }
    for (number, point) in points.iter().enumerate() {
        let y = TOP + ROW * (number as f64 + 0.5);
        svg += &mark(point, y, &x);
    }
    svg += "</svg>\n</figure>\n";
    svg
}

fn mark(point: &Point, y: f64, x: &impl Fn(f64) -> f64) -> String {
    let class = if point.ours { "ours" } else { "theirs" };
    let interval = point.interval.map(|interval| {
        format!(
            "<line class=\"interval\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>",
            x(interval.low * 100.0),
            x(interval.high * 100.0)
        )
    });
    format!(
        "<g class=\"{class}\"><title>{}</title><text x=\"0\" y=\"{:.1}\">{}</text>{}\
         <circle cx=\"{:.1}\" cy=\"{y}\" r=\"4\"/><text class=\"value\" x=\"{WIDTH}\" y=\"{1:.1}\">{}</text></g>\n",
        escape(&point.name),
        y + 4.0,
        escape(&shorten(&point.name)),
        interval.unwrap_or_default(),
        x(point.value),
        percent(point.value / 100.0),
    )
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    let head: String = name.chars().take(MAX_NAME - 1).collect();
    format!("{head}…")
}

/// The distance of ticks and the end of an axis from 0 that holds a value.
fn axis(largest: f64) -> (f64, f64) {
    let step = [1.0, 2.0, 5.0, 10.0, 20.0, 25.0]
        .into_iter()
        .find(|step| largest <= 5.0 * step);
    let step = step.unwrap_or(25.0);
    (step, (largest / step).ceil().clamp(1.0, 5.0) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_at_most_five_steps() {
        for (largest, expected) in [
            (0.0, (1.0, 1.0)),
            (0.5, (1.0, 1.0)),
            (8.7, (2.0, 10.0)),
            (39.2, (10.0, 40.0)),
            (56.25, (20.0, 60.0)),
            (100.0, (20.0, 100.0)),
        ] {
            assert_eq!(axis(largest), expected, "{largest}");
        }
    }

    #[test]
    fn the_best_stands_first_and_dots_stand_at_their_values() {
        let report = crate::report::samples::report();
        let circo = &report.benchmarks[0];
        let points = points(circo, &circo.columns[0]);
        let names: Vec<&str> = points.iter().take(2).map(|point| point.name.as_str()).collect();
        assert_eq!(names, ["base", "BGE-VL-large CLIP-L"]);
        let svg = plot("mAP@5", &points);
        // 50 of an axis to 60, which is 288 wide from 190: 190 + 240; its interval is 43.75 to 56.25.
        assert!(svg.contains("<circle cx=\"430.0\""), "{svg}");
        assert!(svg.contains("x1=\"400.0\" x2=\"460.0\""), "{svg}");
        assert_eq!(shorten(&"x".repeat(30)).chars().count(), MAX_NAME);
    }
}
