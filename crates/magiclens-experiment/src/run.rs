//! Every condition with every seed: trained, measured, and gone on with after a stop.
//!
//! ```text
//! OUT/runs/CONDITION/seed-1/                 a run's folder of magiclens-train, with its last state
//! OUT/runs/CONDITION/seed-1/values.json      the value of every test query
//! OUT/runs/CONDITION/seed-1/robustness.json  for experiments that ask for it
//! ```

use std::path::{Path, PathBuf};

use magiclens_data::files::write_atomic_bytes;
use magiclens_eval::robustness::RobustnessReport;
use magiclens_train::TrainError;
use magiclens_train::learner::Learner;
use magiclens_train::run::{Measurement, Observer, StepMetrics};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ExperimentError;
use crate::agreement::Agreement;
use crate::asked::Asked;
use crate::bench::Bench;
use crate::condition::Condition;
use crate::experiment::{Experiment, Extra};
use crate::measure::RunValues;
use crate::results::{ConditionResults, Results, RunResults};
use crate::setup::{Listener, Setup};

/// Trains and measures what is not there yet, and gives the results of all runs.
///
/// # Errors
/// Inputs that do not go together, files that cannot be read or written, a run that diverges.
pub fn run(
    experiment: &'static Experiment,
    setup: &Setup,
    listener: &mut dyn Listener,
) -> Result<Results, ExperimentError> {
    let seeds: Vec<u64> = setup.settings.seeds().collect();
    let mut bench = Bench::open(setup, listener)?;
    // A condition that cannot be run is told before minutes of training.
    for condition in experiment.conditions {
        condition.train(&setup.settings, seeds[0])?;
        bench.head(condition, seeds[0])?;
    }
    let count = seeds.len() * experiment.conditions.len();
    let mut runs: Vec<Vec<RunResults>> = vec![Vec::new(); experiment.conditions.len()];
    // All conditions of a seed, then the next seed: an experiment that is cut off has some of each.
    for seed in &seeds {
        for (place, condition) in experiment.conditions.iter().enumerate() {
            let number = 1 + runs[place].len() * experiment.conditions.len() + place;
            let title = format!("run {number} of {count}, {}, seed {seed}", condition.name);
            let one = One {
                experiment,
                setup,
                condition,
                seed: *seed,
                title,
            };
            runs[place].push(one.results(&mut bench, listener)?);
        }
    }
    let conditions = experiment.conditions.iter().zip(runs);
    let conditions = conditions.map(|(condition, runs)| {
        let agreement = agreement(experiment, &mut bench, condition, seeds[0])?;
        Ok(ConditionResults {
            condition,
            runs,
            agreement,
        })
    });
    Ok(Results {
        experiment,
        settings: setup.settings.clone(),
        conditions: conditions.collect::<Result<_, ExperimentError>>()?,
    })
}

fn agreement(
    experiment: &Experiment,
    bench: &mut Bench,
    condition: &Condition,
    seed: u64,
) -> Result<Option<Agreement>, ExperimentError> {
    match experiment.extra {
        Some(Extra::Agreement) => bench.agreement(condition, seed).map(Some),
        _ => Ok(None),
    }
}

/// One run.
struct One<'a> {
    experiment: &'a Experiment,
    setup: &'a Setup,
    condition: &'a Condition,
    seed: u64,
    title: String,
}

impl One<'_> {
    fn results(&self, bench: &mut Bench, listener: &mut dyn Listener) -> Result<RunResults, ExperimentError> {
        let runs = self.setup.out.join("runs").join(self.condition.name);
        let dir = runs.join(format!("seed-{}", self.seed));
        let config = self.condition.train(&self.setup.settings, self.seed)?;
        listener.begin(&format!("{}: steps", self.title), config.steps);
        // A run that is at its end gives its head at once, and one of other settings is refused.
        let head = bench.train(self.condition, &config, &dir, &mut Steps(listener))?;
        keep_last_state(&dir)?;
        let Bench { texts, test, .. } = bench;
        let mut asked: Option<Asked<'_>> = None;
        let (values, robustness) = (dir.join("values.json"), dir.join("robustness.json"));
        let wants_robustness = self.experiment.extra == Some(Extra::Robustness);
        if !values.exists() || (wants_robustness && !robustness.exists()) {
            listener.begin(&format!("{}: measured", self.title), 1);
            asked = Some(Asked::new(&head, test, texts)?);
        }
        let values: RunValues = stored(&values, asked.as_mut(), Asked::values)?;
        let robustness: Option<RobustnessReport> = match wants_robustness {
            true => Some(stored(&robustness, asked.as_mut(), Asked::robustness)?),
            false => None,
        };
        Ok(RunResults {
            seed: self.seed,
            values,
            robustness,
        })
    }
}

/// The content of a JSON file; where it is not there, `asked` makes it.
fn stored<'a, T: Serialize + DeserializeOwned>(
    path: &Path,
    asked: Option<&mut Asked<'a>>,
    make: impl FnOnce(&mut Asked<'a>) -> Result<T, ExperimentError>,
) -> Result<T, ExperimentError> {
    let broken = |error: serde_json::Error| ExperimentError::Values {
        path: path.into(),
        reason: error.to_string(),
    };
    if !path.exists()
        && let Some(asked) = asked
    {
        let made = make(asked)?;
        write_atomic_bytes(path, serde_json::to_vec(&made).map_err(broken)?)?;
        return Ok(made);
    }
    serde_json::from_slice(&fs_err::read(path)?).map_err(broken)
}

/// A finished run needs one state; each is three times as large as its head.
fn keep_last_state(dir: &Path) -> Result<(), ExperimentError> {
    let states = fs_err::read_dir(dir.join("states"))?.map(|entry| Ok(entry?.path()));
    let mut states: Vec<PathBuf> = states.collect::<Result<_, std::io::Error>>()?;
    let step = |path: &PathBuf| path.file_name()?.to_str()?.parse::<usize>().ok();
    states.retain(|path| step(path).is_some());
    states.sort_by_key(step);
    states.pop();
    for state in states {
        fs_err::remove_dir_all(state)?;
    }
    Ok(())
}

/// Hands steps on; nothing is measured on the dev part.
struct Steps<'a>(&'a mut dyn Listener);

impl Observer for Steps<'_> {
    fn step(&mut self, metrics: &StepMetrics, _steps: usize) {
        self.0.step(metrics);
    }

    fn measure(&mut self, _step: usize, _learner: &Learner) -> Result<Measurement, TrainError> {
        Ok(Measurement {
            mean_recall_at_10: 0.0,
            line: serde_json::Value::Null,
        })
    }

    fn chosen(&mut self, _step: usize, _best: usize) {}
}
