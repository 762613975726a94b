//! The learning rate of each step: a linear warm-up, then the schedule; projections and trained towers at a share of it.

use std::path::PathBuf;

use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig};
use burn::lr_scheduler::sequential::SequentialLrSchedulerConfig;

use crate::config::Schedule;
use crate::learner::Learner;
use crate::{TrainConfig, TrainError};

/// The rates of a run, from its first step.
///
/// # Errors
/// A rate for pretrained parameters where there are none.
pub(crate) fn schedule(config: &TrainConfig, learner: &Learner) -> Result<ModuleLrScheduler, TrainError> {
    let mut rates = ModuleLrSchedulerConfig::new(course(config, config.learning_rate));
    if config.pretrained_rate != 1.0 {
        let Some(pretrained) = learner.pretrained() else {
            return Err(TrainError::NothingPretrained {
                rate: config.pretrained_rate,
            });
        };
        let peak = config.learning_rate * config.pretrained_rate;
        rates = rates.with_group(pretrained, course(config, peak));
    }
    rates.init().map_err(|reason| TrainError::Config {
        path: PathBuf::from("learning rate schedule"),
        reason,
    })
}

/// Up to a peak and on from there.
fn course(config: &TrainConfig, peak: f64) -> LrSchedulerConfig {
    let (warmup_steps, rest) = (config.warmup_steps, config.steps - config.warmup_steps);
    let warmup = LinearLrSchedulerConfig::new(peak / warmup_steps as f64, peak, warmup_steps);
    // Without the setting divided, as runs of earlier versions did: the product may differ in the last bit.
    let low = config.final_rate.map_or(peak / 100.0, |share| peak * share);
    let fall = match config.schedule {
        Schedule::Cosine => {
            LrSchedulerConfig::Cosine(CosineAnnealingLrSchedulerConfig::new(peak, rest).with_min_lr(low))
        }
        Schedule::Linear => LrSchedulerConfig::Linear(LinearLrSchedulerConfig::new(peak, low, rest)),
        Schedule::Constant => LrSchedulerConfig::Constant(peak),
    };
    let parts = vec![LrSchedulerConfig::Linear(warmup), fall];
    SequentialLrSchedulerConfig::new(parts, vec![warmup_steps]).into()
}

#[cfg(test)]
mod tests {
    use burn::module::list_param_ids;

    use super::*;
    use crate::toy;

    /// The rates of all steps, of parameters that are new and of projections.
    fn rates(config: &TrainConfig) -> Vec<(f64, f64)> {
        let learner = toy::learner();
        let ids = list_param_ids(&learner.head);
        // In the order of the fields: the projections, a fusion without parameters, the temperature.
        let (projection, temperature) = (ids[0], ids[ids.len() - 1]);
        let mut schedule = schedule(config, &learner).unwrap();
        let step = |_| {
            let rates = schedule.step();
            assert_eq!(rates.base(), rates.lr_from_param(temperature, None));
            (rates.base(), rates.lr_from_param(projection, None))
        };
        (0..config.steps).map(step).collect()
    }

    #[track_caller]
    fn check(config: TrainConfig, expected: &[(usize, f64)]) {
        let found = rates(&config);
        for (step, rate) in expected {
            let (new, pretrained) = found[step - 1];
            assert!((new - rate).abs() < 1e-12, "step {step}: {new}, not {rate}");
            let rate = rate * config.pretrained_rate;
            assert!(
                (pretrained - rate).abs() < 1e-12,
                "step {step}: {pretrained}, not {rate}"
            );
        }
    }

    /// Four steps of warm-up, then eight.
    fn config(schedule: Schedule, final_rate: Option<f64>) -> TrainConfig {
        TrainConfig {
            steps: 12,
            learning_rate: 0.08,
            warmup_steps: 4,
            schedule,
            final_rate,
            ..toy::config()
        }
    }

    #[test]
    fn rates_at_known_steps() {
        // The warm-up starts at a quarter and nears the peak, at which the schedule starts; the last step is one short of
        // the end of the fall.
        let warmup = [(1, 0.02), (2, 0.035), (3, 0.05), (4, 0.065)];
        let half = std::f64::consts::FRAC_1_SQRT_2;
        for (schedule, final_rate, expected) in [
            (
                Schedule::Cosine,
                Some(0.0),
                [(5, 0.08), (7, 0.04 * (1.0 + half)), (9, 0.04)],
            ),
            (
                Schedule::Cosine,
                None,
                [(5, 0.08), (7, 0.0008 + 0.0396 * (1.0 + half)), (9, 0.0404)],
            ),
            (Schedule::Linear, Some(0.5), [(5, 0.08), (9, 0.06), (12, 0.045)]),
            (Schedule::Linear, None, [(5, 0.08), (9, 0.0404), (12, 0.0107)]),
            (Schedule::Constant, None, [(5, 0.08), (9, 0.08), (12, 0.08)]),
        ] {
            let config = config(schedule, final_rate);
            check(config.clone(), &warmup);
            check(config.clone(), &expected);
            let slow = TrainConfig {
                pretrained_rate: 0.1,
                ..config
            };
            check(slow, &expected);
        }
    }

    /// What earlier versions did, word for word.
    #[test]
    fn the_default_is_the_schedule_of_earlier_runs_bit_for_bit() {
        for learning_rate in [1e-3, 3e-3, 7e-4] {
            let config = TrainConfig {
                learning_rate,
                ..config(Schedule::Cosine, None)
            };
            let (peak, warmup_steps) = (config.learning_rate, config.warmup_steps);
            let warmup = LinearLrSchedulerConfig::new(peak / warmup_steps as f64, peak, warmup_steps);
            let fall =
                CosineAnnealingLrSchedulerConfig::new(peak, config.steps - warmup_steps).with_min_lr(peak / 100.0);
            let parts = vec![LrSchedulerConfig::Linear(warmup), LrSchedulerConfig::Cosine(fall)];
            let mut earlier = SequentialLrSchedulerConfig::new(parts, vec![warmup_steps])
                .init()
                .unwrap();
            for (new, pretrained) in rates(&config) {
                let expected = earlier.step().base();
                assert_eq!(
                    (new.to_bits(), pretrained.to_bits()),
                    (expected.to_bits(), expected.to_bits())
                );
            }
        }
    }
}
