//! The charts of a report, all over the same steps; a color is a run.

use std::collections::BTreeSet;

use magiclens_report::numbers::whole;
use magiclens_report::{Axis, Block, Line, LineChart, Numbers};

use super::record::{DevRecord, RunRecord, StepRecord};
use crate::dev::DevScores;

/// A mean is of the steps around one: this part of the run to either side.
const PART: usize = 60;

/// Mean recall of the relations; `None` if nothing was measured.
pub(super) fn mean_recall(runs: &[RunRecord]) -> Option<LineChart> {
    let first = |measured: &DevRecord| measured.recall_at_1();
    let ten = |measured: &DevRecord| measured.recall_at_10();
    let mut chart = recall(runs, "Recall on the dev part, mean of the relations", first, ten)?;
    chart.note = "Solid: R@10. Dashed: R@1. A ring is on the best mean R@10.".to_owned();
    Some(chart)
}

/// Recall of each relation.
pub(super) fn relations(runs: &[RunRecord]) -> Vec<Block> {
    let measured = runs.iter().flat_map(|run| &run.measurements);
    let relations: BTreeSet<&str> = measured.flat_map(|one| one.dev.keys().map(String::as_str)).collect();
    let chart = |relation: &str| {
        let of = |score: fn(&DevScores) -> f64| {
            move |measured: &DevRecord| measured.dev.get(relation).map_or(f64::NAN, score)
        };
        recall(
            runs,
            relation,
            of(|scores| scores.recall_at_1),
            of(|scores| scores.recall_at_10),
        )
    };
    relations.into_iter().filter_map(chart).map(Block::from).collect()
}

/// What every step has: losses, accuracy in the batch, temperature, learning rate and speed.
pub(super) fn steps(runs: &[RunRecord]) -> Vec<Block> {
    let (plain_numbers, shares) = (Axis::default, || from_zero(Numbers::Percent));
    let temperature = plain(runs, "Temperature", plain_numbers(), |step| step.temperature);
    let temperature = temperature.map(|chart| LineChart {
        note: "The factor on the cosines.".to_owned(),
        ..chart
    });
    let charts = [
        means(runs, "Loss", plain_numbers(), |step| step.loss),
        means(runs, "Caption loss", plain_numbers(), caption_loss),
        means(runs, "Accuracy in the batch", shares(), |step| step.batch_accuracy),
        temperature,
        plain(runs, "Learning rate", from_zero(Numbers::Plain), |step| {
            step.learning_rate
        }),
        speed(runs),
    ];
    charts.into_iter().flatten().map(Block::from).collect()
}

/// The caption loss; NaN where it has no weight, for which the file has 0.
fn caption_loss(step: &StepRecord) -> f64 {
    Some(step.caption_loss).filter(|loss| *loss != 0.0).unwrap_or(f64::NAN)
}

/// Triplets a second; the mean speed is that of the mean time.
fn speed(runs: &[RunRecord]) -> Option<LineChart> {
    let mut chart = means(runs, "Triplets a second", from_zero(Numbers::Plain), |step| {
        step.seconds
    })?;
    for (line, run) in chart.lines.iter_mut().zip(runs) {
        let speed = |point: &mut (f64, f64)| point.1 = run.plan.batch_size as f64 / point.1;
        line.points.iter_mut().for_each(speed);
        line.singles.iter_mut().for_each(speed);
    }
    Some(chart)
}

/// R@10 as a line, R@1 as a dashed one.
fn recall(
    runs: &[RunRecord],
    title: &str,
    first: impl Fn(&DevRecord) -> f64,
    ten: impl Fn(&DevRecord) -> f64,
) -> Option<LineChart> {
    let lines = runs.iter().enumerate().flat_map(|(color, run)| {
        let points = |score: &dyn Fn(&DevRecord) -> f64| -> Vec<(f64, f64)> {
            let points = run.measurements.iter().map(|one| (one.step as f64, score(one)));
            points.collect()
        };
        let best = run.best().map(|best| (best.step as f64, ten(best)));
        // The two lines of one run have a name each; those of several are told together under the run's.
        let names = match runs {
            [_] => ["R@10", "R@1"],
            _ => [run.name.as_str(), ""],
        };
        let line = |name: &str, points| Line {
            name: name.to_owned(),
            points,
            color: Some(color),
            ..Line::default()
        };
        let ring = best.filter(|(_, score)| score.is_finite());
        let ten = line(names[0], points(&ten));
        let first = line(names[1], points(&first));
        [Line { ring, ..ten }, Line { dashed: true, ..first }]
    });
    chart(runs, title, from_zero(Numbers::Percent), lines.collect())
}

/// Means over the steps around each, and the single steps.
fn means(runs: &[RunRecord], title: &str, y: Axis, value: impl Fn(&StepRecord) -> f64) -> Option<LineChart> {
    let radius = |run: &RunRecord| run.plan.steps / PART;
    let mut chart = plain(runs, title, y, value)?;
    for (line, run) in chart.lines.iter_mut().zip(runs).filter(|(_, run)| radius(run) > 0) {
        line.singles = std::mem::take(&mut line.points);
        line.points = smooth(&line.singles, radius(run));
    }
    let windows: BTreeSet<usize> = runs.iter().map(|run| 2 * radius(run) + 1).collect();
    chart.note = match (windows.first(), windows.last()) {
        (_, Some(1)) | (None, _) => String::new(),
        (Some(few), Some(many)) if few < many => format!(
            "Thin: each step. Thick: means of {} to {} steps.",
            whole(*few as u64),
            whole(*many as u64)
        ),
        (Some(count), _) => format!("Thin: each step. Thick: means of {} steps.", whole(*count as u64)),
    };
    Some(chart)
}

/// A value of each step.
fn plain(runs: &[RunRecord], title: &str, y: Axis, value: impl Fn(&StepRecord) -> f64) -> Option<LineChart> {
    let lines = runs.iter().enumerate().map(|(color, run)| Line {
        // One run needs no name in every legend.
        name: if runs.len() > 1 {
            run.name.clone()
        } else {
            title.to_owned()
        },
        points: run.steps.iter().map(|step| (step.step as f64, value(step))).collect(),
        color: Some(color),
        ..Line::default()
    });
    chart(runs, title, y, lines.collect())
}

fn chart(runs: &[RunRecord], title: &str, y: Axis, lines: Vec<Line>) -> Option<LineChart> {
    let last = runs.iter().map(RunRecord::last_step).max().unwrap_or(0);
    let x = Axis {
        name: "step".to_owned(),
        numbers: Numbers::Whole,
        holds: vec![0.0, last as f64],
    };
    let title = title.to_owned();
    LineChart {
        title,
        x,
        y,
        lines,
        ..LineChart::default()
    }
    .unless_empty()
}

fn from_zero(numbers: Numbers) -> Axis {
    Axis {
        numbers,
        holds: vec![0.0],
        ..Axis::default()
    }
}

/// Means of the finite values at most `radius` places away; a gap stays a gap.
fn smooth(points: &[(f64, f64)], radius: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0_usize)];
    for (_, y) in points {
        let (sum, count) = sums[sums.len() - 1];
        sums.push(if y.is_finite() {
            (sum + y, count + 1)
        } else {
            (sum, count)
        });
    }
    let mean = |(at, (x, y)): (usize, &(f64, f64))| {
        // At the start as far to one side as to the other, so that its slope is not bent. At the end one side is enough:
        // there a single step would pass for the result.
        let before = radius.min(at);
        let after = before.min(points.len() - 1 - at);
        let ((lower, few), (upper, many)) = (sums[at - before], sums[at + after + 1]);
        let mean = if y.is_finite() {
            (upper - lower) / (many - few) as f64
        } else {
            f64::NAN
        };
        (*x, mean)
    };
    points.iter().enumerate().map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_both_sides_and_leave_gaps() {
        let values = [9.0, 6.0, 3.0, f64::NAN, 3.0, 0.0, 5.0];
        let points: Vec<(f64, f64)> = (1..).map(f64::from).zip(values).collect();
        let expected = [9.0, 6.0, 5.25, f64::NAN, 2.75, 8.0 / 3.0, 8.0 / 3.0];
        let found = smooth(&points, 2);
        for ((at, found), expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-9 || (found.is_nan() && expected.is_nan()),
                "{at}: {found}"
            );
        }
        assert_eq!(smooth(&points[..2], 0), points[..2]);
        assert!(smooth(&[], 3).is_empty());
    }
}
