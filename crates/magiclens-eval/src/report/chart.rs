//! One chart for each benchmark: its first columns, published rows and ours, best first.

use magiclens_metrics::Interval;
use magiclens_report::numbers::{interval, points};
use magiclens_report::{Bar, BarChart};

use super::published::published;
use super::{BenchmarkReport, Column};

/// Bars of a chart: as many columns are shown as fit, one at least.
const MAX_BARS: usize = 24;

/// The chart of a benchmark; `None` if nothing was measured.
pub(super) fn chart(report: &BenchmarkReport) -> Option<BarChart> {
    let mut chart = BarChart::new(&report.title).legend("measured here", "published");
    let mut count = 0;
    for column in &report.columns {
        let bars = bars(report, column);
        if !bars.iter().any(|bar| bar.strong) {
            continue;
        }
        count += bars.len();
        if count > MAX_BARS && count > bars.len() {
            break;
        }
        chart.heading(&column.label);
        for bar in bars {
            chart.bar(bar);
        }
    }
    chart.unless_empty()
}

fn bars(report: &BenchmarkReport, column: &Column) -> Vec<Bar> {
    let rows = published(&report.benchmark).map_or(&[][..], |published| &published.rows);
    let theirs = rows.iter().filter_map(|row| {
        let value = *row.values.get(&column.label)?;
        Some(Bar {
            label: row.name(),
            text: points(value / 100.0),
            value,
            about: format!("{}: {value:.1}, {}", row.name(), row.source),
            ..Bar::default()
        })
    });
    let ours = report.systems.iter().filter_map(|system| {
        let score = system.score(column)?;
        let (value, clusters) = (score.value?, score.confidence.clusters);
        let interval = match score.confidence.interval {
            Some(interval) => format!("95 % interval {} over {clusters} clusters", brackets(interval)),
            None => format!("{clusters} clusters are too few for an interval"),
        };
        Some(Bar {
            label: system.system.clone(),
            text: points(value),
            value: 100.0 * value,
            interval: score
                .confidence
                .interval
                .map(|found| [100.0 * found.low, 100.0 * found.high]),
            strong: true,
            about: format!("{}: {}, {interval}", system.system, points(value)),
            ..Bar::default()
        })
    });
    let mut bars: Vec<Bar> = theirs.chain(ours).filter(|bar| bar.value.is_finite()).collect();
    bars.sort_by(|a, b| b.value.total_cmp(&a.value));
    bars
}

pub(super) fn brackets(found: Interval) -> String {
    interval(found.low, found.high)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn the_best_stands_first_and_ours_have_intervals() {
        let report = samples::report();
        let circo = &report.benchmarks[0];
        let bars = bars(circo, &circo.columns[0]);
        let names: Vec<&str> = bars.iter().take(2).map(|bar| bar.label.as_str()).collect();
        assert_eq!(names, ["base", "BGE-VL-large CLIP-L"]);
        assert_eq!(
            (bars[0].value, bars[0].interval, bars[0].strong),
            (50.0, Some([43.75, 56.25]), true)
        );
        assert_eq!(bars[0].about, "base: 50.0, 95 % interval [43.8, 56.3] over 20 clusters");
        assert!(bars[1].interval.is_none() && !bars[1].strong);
        assert!(bars.is_sorted_by(|a, b| a.value >= b.value));
    }

    #[test]
    fn without_our_scores_there_is_no_chart() {
        let mut report = samples::report();
        assert!(chart(&report.benchmarks[1]).is_some());
        report.benchmarks[1].systems.clear();
        assert_eq!(chart(&report.benchmarks[1]), None);
    }
}
