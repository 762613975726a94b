//! The scale of an axis: its ends, its ticks, and numbers as people read them.

use crate::numbers::{compact, percent, whole, without_zeros};

/// Distances of ticks along an axis, at most.
const MOST_STEPS: f64 = 6.0;
/// A share of a tick's distance: what rounding may shift.
const LITTLE: f64 = 1e-6;
/// Ticks with more decimals are written with an exponent.
const MOST_DECIMALS: i32 = 4;

/// An axis of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// Its quantity, for people, e.g. "step"; may be empty.
    pub name: String,
    /// The form of its numbers.
    pub numbers: Numbers,
    /// Values that the axis holds beside those of the chart, e.g. 0.
    pub holds: Vec<f64>,
}

/// The form of an axis' numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// As they are: "0.25", "2.5e-4".
    #[default]
    Plain,
    /// Without decimals: "1,200".
    Whole,
    /// Shares, in percent: "25 %".
    Percent,
}

/// An axis over values: its ends and the distance of its ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    first: f64,
    last: f64,
    step: f64,
    numbers: Numbers,
}

impl Scale {
    /// A scale whose ends are ticks.
    pub(crate) fn round(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let tight = Self::tight(axis, values);
        let to_step = |value: f64, round: fn(f64) -> f64| round(value / tight.step) * tight.step;
        Self {
            first: to_step(tight.first + LITTLE * tight.step, f64::floor),
            last: to_step(tight.last - LITTLE * tight.step, f64::ceil),
            ..tight
        }
    }

    /// A scale that ends with the values.
    pub(crate) fn tight(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let held = values.chain(axis.holds.iter().copied());
        let ends = held.filter(|value| value.is_finite()).fold(None, |ends, value| {
            let (first, last) = ends.unwrap_or((value, value));
            Some((value.min(first), value.max(last)))
        });
        let (first, last) = apart(ends.unwrap_or((0.0, 1.0)));
        let step = step((last - first) / MOST_STEPS, axis.numbers);
        let numbers = axis.numbers;
        Self {
            first,
            last,
            step,
            numbers,
        }
    }

    /// The place of a value, 0 to 1.
    pub(crate) fn share(&self, value: f64) -> f64 {
        ((value - self.first) / (self.last - self.first)).clamp(0.0, 1.0)
    }

    /// The ticks from the first to the last.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        let Self { first, last, step, .. } = *self;
        let from = (first / step - LITTLE).ceil() as i64;
        let to = (last / step + LITTLE).floor() as i64;
        (from..=to).map(move |number| number as f64 * step)
    }

    /// A tick as short as it goes.
    pub(crate) fn tick_label(&self, tick: f64) -> String {
        match self.numbers {
            Numbers::Plain => self.plain(tick),
            Numbers::Whole => compact(tick.round()),
            Numbers::Percent => {
                let decimals = decimals(100.0 * self.step).max(0) as usize;
                format!("{:.decimals$} %", 100.0 * tick + 0.0)
            }
        }
    }

    /// A value with the digits that people compare.
    pub(crate) fn label(&self, value: f64) -> String {
        match self.numbers {
            Numbers::Whole if (0.0..u64::MAX as f64).contains(&value) => whole(value.round() as u64),
            Numbers::Percent if value.is_finite() => percent(value),
            _ => compact(value),
        }
    }

    fn plain(&self, tick: f64) -> String {
        let decimals = decimals(self.step);
        match decimals {
            _ if tick == 0.0 => "0".to_owned(),
            ..=0 => compact(tick.round()),
            1..=MOST_DECIMALS => format!("{tick:.*}", decimals as usize),
            _ => {
                let text = format!("{tick:.2e}");
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                format!("{}e{exponent}", without_zeros(digits))
            }
        }
    }
}

/// Two ends that are not the same.
fn apart((first, last): (f64, f64)) -> (f64, f64) {
    match last - first > 1e-9 * last.abs() {
        true => (first, last),
        false if last == 0.0 => (0.0, 1.0),
        false => {
            let margin = 0.1 * last.abs();
            (first - margin, last + margin)
        }
    }
}

/// A round number that is at least `least`.
fn step(least: f64, numbers: Numbers) -> f64 {
    let magnitude = 10_f64.powi(least.log10().floor() as i32);
    let whole = numbers == Numbers::Whole;
    let magnitude = if whole { magnitude.max(1.0) } else { magnitude };
    let halves = !(whole && magnitude == 1.0);
    let found = [1.0, 2.0, 2.5, 5.0].into_iter().filter(|step| *step != 2.5 || halves);
    let found = found
        .map(|step| step * magnitude)
        .find(|step| least <= step * (1.0 + LITTLE));
    found.unwrap_or(10.0 * magnitude)
}

/// Decimals that write multiples of a step; at most one more than [`MOST_DECIMALS`].
fn decimals(step: f64) -> i32 {
    let is_whole = |decimals: &i32| {
        let scaled = step * 10_f64.powi(*decimals);
        (scaled - scaled.round()).abs() < LITTLE * scaled
    };
    (0..=MOST_DECIMALS).find(is_whole).unwrap_or(MOST_DECIMALS + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(numbers: Numbers, holds: &[f64], values: &[f64], ticks: &[&str], place_of_last: f64) {
        let axis = Axis {
            numbers,
            holds: holds.to_vec(),
            ..Axis::default()
        };
        let scale = Scale::round(&axis, values.iter().copied());
        let labels: Vec<String> = scale.ticks().map(|tick| scale.tick_label(tick)).collect();
        assert_eq!(labels, ticks);
        let share = scale.share(values.last().copied().unwrap_or(0.0));
        assert!((share - place_of_last).abs() < 1e-9, "{share}");
        assert_eq!((scale.share(scale.first), scale.share(scale.last)), (0.0, 1.0));
    }

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        use Numbers::{Percent, Plain, Whole};
        check(Plain, &[], &[6.9, 2.3], &["2", "3", "4", "5", "6", "7"], 0.06);
        check(
            Plain,
            &[0.0],
            &[1e-3],
            &["0", "0.0002", "0.0004", "0.0006", "0.0008", "0.0010"],
            1.0,
        );
        check(Plain, &[0.0], &[2e-5], &["0", "5e-6", "1e-5", "1.5e-5", "2e-5"], 1.0);
        check(
            Plain,
            &[0.0],
            &[812.0],
            &["0", "200", "400", "600", "800", "1,000"],
            0.812,
        );
        check(
            Plain,
            &[],
            &[14.0, 14.0],
            &["12.5", "13.0", "13.5", "14.0", "14.5", "15.0", "15.5"],
            0.5,
        );
        check(Plain, &[], &[-1.0, 1.0], &["-1.0", "-0.5", "0", "0.5", "1.0"], 1.0);
        check(Whole, &[0.0], &[3.0], &["0", "1", "2", "3"], 1.0);
        check(
            Whole,
            &[0.0],
            &[11.0],
            &["0", "2", "4", "6", "8", "10", "12"],
            11.0 / 12.0,
        );
        check(
            Percent,
            &[0.0, 1.0],
            &[0.25],
            &["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"],
            0.25,
        );
        check(
            Percent,
            &[0.0],
            &[0.012],
            &["0.0 %", "0.2 %", "0.4 %", "0.6 %", "0.8 %", "1.0 %", "1.2 %"],
            1.0,
        );
        check(
            Plain,
            &[],
            &[f64::NAN, f64::INFINITY, 0.0],
            &["0", "0.2", "0.4", "0.6", "0.8", "1.0"],
            0.0,
        );
        check(Plain, &[], &[], &["0", "0.2", "0.4", "0.6", "0.8", "1.0"], 0.0);
    }

    #[test]
    fn tight_scales_end_with_the_values() {
        let axis = Axis {
            numbers: Numbers::Whole,
            ..Axis::default()
        };
        let scale = Scale::tight(&axis, [1.0, 1234.0].into_iter());
        let labels: Vec<String> = scale.ticks().map(|tick| scale.tick_label(tick)).collect();
        assert_eq!(labels, ["250", "500", "750", "1,000"]);
        assert_eq!((scale.share(1.0), scale.share(1234.0)), (0.0, 1.0));
        assert_eq!(scale.label(1234.0), "1,234");
        assert_eq!(scale.label(f64::NAN), "no number");
    }
}
