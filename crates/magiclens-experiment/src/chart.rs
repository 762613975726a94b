//! The chart of an experiment: points over an axis, or bars, as an SVG file.

use magiclens_metrics::Interval;
use magiclens_report::numbers::{points, whole};
use magiclens_report::{Bar, BarChart, Point, PointChart, Series};

use crate::experiment::{Axis, Extra};
use crate::finding::modes;
use crate::metric::Metric;
use crate::results::{ConditionResults, Results};

/// The chart; intervals are over seeds.
pub(crate) fn svg(results: &Results) -> String {
    match (results.experiment.axis, results.experiment.extra) {
        (Some(axis), _) => over_axis(results, axis).to_svg(),
        (None, Some(Extra::Robustness)) => failures(results).to_svg(),
        (None, _) => bars(results).to_svg(),
    }
}

fn over_axis(results: &Results, axis: Axis) -> PointChart {
    let series = |metric: &Metric| {
        let mut points: Vec<Point> = results
            .conditions
            .iter()
            .filter_map(|condition| point(condition, *metric, axis))
            .collect();
        points.sort_by(|a, b| a.x.total_cmp(&b.x));
        Series {
            name: metric.name.to_owned(),
            points,
        }
    };
    PointChart {
        title: format!("{}, in %, 95 % intervals over seeds", results.experiment.title),
        axis: match axis {
            Axis::Value(name) | Axis::Factor(name) => name.to_owned(),
            Axis::Parameters => "trained parameters".to_owned(),
        },
        logarithmic: matches!(axis, Axis::Factor(_) | Axis::Parameters),
        series: results.experiment.metrics.iter().map(series).collect(),
    }
}

fn point(condition: &ConditionResults, metric: Metric, axis: Axis) -> Option<Point> {
    let summary = condition.summary(metric)?;
    let (x, name) = match axis {
        Axis::Parameters => {
            let thousands = (condition.parameters() as u64).div_ceil(1000);
            let name = format!("{}: {} k", condition.condition.label, whole(thousands));
            (condition.parameters() as f64, name)
        }
        _ => (condition.condition.at, condition.condition.at.to_string()),
    };
    Some(Point {
        x,
        name,
        y: 100.0 * summary.mean,
        interval: summary.seeds.map(in_percent),
    })
}

fn bars(results: &Results) -> BarChart {
    let title = format!("{}, in %, 95 % intervals over seeds", results.experiment.title);
    let mut chart = BarChart::new(title);
    for metric in results.experiment.metrics {
        chart.heading(metric.name);
        for (place, condition) in results.conditions.iter().enumerate() {
            let Some(summary) = condition.summary(*metric) else {
                continue;
            };
            chart.bar(Bar {
                label: condition.condition.label.to_owned(),
                text: points(summary.mean),
                value: 100.0 * summary.mean,
                interval: summary.seeds.map(in_percent),
                strong: place == 0,
                ..Bar::default()
            });
        }
    }
    chart
}

fn failures(results: &Results) -> BarChart {
    let mut chart = BarChart::new("Failure modes, in % of the worst case of each");
    for (place, condition) in results.conditions.iter().enumerate() {
        chart.heading(condition.condition.label);
        for (mode, share) in modes(condition) {
            chart.bar(Bar {
                label: mode.to_owned(),
                text: points(share),
                value: 100.0 * share,
                strong: place == 0,
                ..Bar::default()
            });
        }
    }
    chart
}

fn in_percent(Interval { low, high }: Interval) -> [f64; 2] {
    [100.0 * low.max(0.0), 100.0 * high]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::made_up;
    use crate::table::ALL;

    #[test]
    fn every_experiment_has_a_chart_with_all_its_conditions() {
        for experiment in ALL.iter().filter(|one| one.extra != Some(Extra::Robustness)) {
            let results = made_up(experiment.name, |place, seed, _| {
                0.3 + 0.01 * (place as f64 + seed as f64)
            });
            let svg = svg(&results);
            let marks = svg.matches("<circle").count() + svg.matches("class=\"bar\"").count();
            // The made-up collection has no focus.
            let metrics = experiment.metrics.iter();
            let metrics = metrics.filter(|metric| results.conditions[0].summary(**metric).is_some());
            assert_eq!(
                marks,
                experiment.conditions.len() * metrics.count(),
                "{}",
                experiment.name
            );
        }
    }
}
