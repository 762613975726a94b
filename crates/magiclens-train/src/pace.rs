//! The speed of a run over its last steps, and the time that is left.

use std::collections::VecDeque;
use std::time::Duration;

use crate::TrainConfig;
use crate::run::StepMetrics;

/// Steps that the speed is the mean of.
const STEPS: usize = 50;

/// Steps and measurements of a run so far. A run that goes on from a saved state is as fast as it is now.
#[derive(Clone, Debug)]
pub struct Pace {
    batch_size: usize,
    steps: usize,
    measure_every: usize,
    /// The last step done.
    step: usize,
    /// Seconds of the last steps, without measurements.
    seconds: VecDeque<f64>,
    /// Time of the last measurement; the first one of a run is not known before.
    measurement: Duration,
}

impl Pace {
    /// Nothing is done yet.
    pub fn new(config: &TrainConfig) -> Self {
        Self {
            batch_size: config.batch_size,
            steps: config.steps,
            measure_every: config.measure_every,
            step: 0,
            seconds: VecDeque::new(),
            measurement: Duration::ZERO,
        }
    }

    /// A step is done.
    pub fn step(&mut self, metrics: &StepMetrics) {
        self.step = metrics.step;
        if self.seconds.len() == STEPS {
            self.seconds.pop_front();
        }
        self.seconds.push_back(metrics.seconds);
    }

    /// A measurement took so long.
    pub fn measured(&mut self, time: Duration) {
        self.measurement = time;
    }

    /// Triplets a second over the last steps; 0 before the first.
    pub fn triplets_per_second(&self) -> f64 {
        match self.seconds_a_step() {
            seconds if seconds > 0.0 => self.batch_size as f64 / seconds,
            _ => 0.0,
        }
    }

    /// The time that the steps and the measurements to come take; that of all of them if a run with patience ends early.
    pub fn time_left(&self) -> Duration {
        let steps = self.steps.saturating_sub(self.step);
        let steps = Duration::try_from_secs_f64(steps as f64 * self.seconds_a_step()).unwrap_or(Duration::MAX);
        let measurements = self.measurements_until(self.steps) - self.measurements_until(self.step);
        let measurements = u32::try_from(measurements).unwrap_or(u32::MAX);
        steps.saturating_add(self.measurement.saturating_mul(measurements))
    }

    /// Measurements of the first steps; there is one at the end, too.
    fn measurements_until(&self, step: usize) -> usize {
        let last = step >= self.steps && !self.steps.is_multiple_of(self.measure_every);
        step.min(self.steps) / self.measure_every + usize::from(last)
    }

    fn seconds_a_step(&self) -> f64 {
        let count = self.seconds.len().max(1);
        self.seconds.iter().sum::<f64>() / count as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradients::StepLosses;
    use crate::toy;

    fn done(step: usize, seconds: f64) -> StepMetrics {
        StepMetrics {
            step,
            losses: StepLosses {
                loss: 1.0,
                caption_loss: 0.0,
                temperature: 1.0,
                batch_accuracy: 0.5,
            },
            learning_rate: 0.1,
            seconds,
        }
    }

    fn pace(steps: usize, measure_every: usize) -> Pace {
        Pace::new(&TrainConfig {
            steps,
            measure_every,
            batch_size: 8,
            ..toy::config()
        })
    }

    #[test]
    fn speed_is_that_of_the_last_steps() {
        let mut pace = pace(1000, 1000);
        assert_eq!((pace.triplets_per_second(), pace.time_left()), (0.0, Duration::ZERO));
        // A run that goes on at step 600: a slow step that is forgotten, then fifty of half a second.
        pace.step(&done(601, 100.0));
        assert_eq!((pace.triplets_per_second(), pace.time_left().as_secs()), (0.08, 39_900));
        (602..=651).for_each(|step| pace.step(&done(step, 0.5)));
        assert_eq!(pace.triplets_per_second(), 16.0);
        assert_eq!(pace.time_left(), Duration::from_secs_f64(349.0 * 0.5));
    }

    #[test]
    fn measurements_to_come_take_as_long_as_the_last() {
        // Measured after 10, 20 and, at the end, 25.
        let mut pace = pace(25, 10);
        let mut left = |step, measurement: Option<u64>| {
            pace.step(&done(step, 1.0));
            measurement
                .into_iter()
                .for_each(|seconds| pace.measured(Duration::from_secs(seconds)));
            pace.time_left().as_secs()
        };
        assert_eq!(left(9, None), 16);
        assert_eq!(left(10, Some(5)), 15 + 2 * 5);
        assert_eq!(left(20, Some(7)), 5 + 7);
        assert_eq!(left(25, None), 0);
    }
}
