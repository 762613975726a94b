//! A run that is killed goes on where it was and ends with the same weights as one that was not.
#![allow(clippy::unwrap_used)]

mod toy;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use magiclens_model::checkpoint::{NamedWeights, tensors_of};
use magiclens_train::head::Head;
use magiclens_train::run::{Observer, StepMetrics, TrainingData, train};
use magiclens_train::{TrainConfig, TrainError};
use toy::Toy;

/// Names the run directory for the process that is to be killed.
const CHILD: &str = "MAGICLENS_TEST_RUN";
/// The step at which that process stands still.
const CHILD_STOPS: &str = "MAGICLENS_TEST_STOP";

fn config() -> TrainConfig {
    TrainConfig {
        seed: 1,
        image_px: None,
        steps: 30,
        batch_size: 8,
        learning_rate: 3e-3,
        warmup_steps: 3,
        weight_decay: 0.01,
        max_gradient_norm: 1.0,
        query_negatives: true,
        caption_weight: 0.2,
        feature_noise: 0.1,
        pieces: 2,
        save_every: 4,
        measure_every: 10,
    }
}

/// Stands still after a step, until it is killed.
struct StopAfter(Option<usize>);

impl Observer for StopAfter {
    fn step(&mut self, metrics: &StepMetrics, _steps: usize) {
        while self.0.is_some_and(|last| metrics.step >= last) {
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn measure(&mut self, _step: usize, _head: &Head) -> Result<serde_json::Value, TrainError> {
        Ok(serde_json::json!({ "measured": true }))
    }
}

fn run(dir: &Path, config: &TrainConfig, stop_after: Option<usize>) -> Result<NamedWeights, TrainError> {
    let toy = Toy::new();
    let data = TrainingData {
        triplets: &toy.triplets,
        frozen: toy.frozen(),
        captioned: &toy.captioned,
        digest: "toy".into(),
    };
    Ok(tensors_of(&train(
        config,
        Head::of(&toy::model()),
        &data,
        dir,
        &mut StopAfter(stop_after),
    )?))
}

fn steps_of(dir: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap_or_default();
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines
        .filter(|line| line.get("loss").is_some())
        .map(|line| line["step"].as_u64().unwrap())
        .collect()
}

#[test]
fn a_killed_run_ends_with_the_same_weights() {
    // The process that is to be killed is this test again.
    if let Some(dir) = std::env::var_os(CHILD) {
        let stop = std::env::var(CHILD_STOPS).unwrap().parse().unwrap();
        run(&PathBuf::from(dir), &config(), Some(stop)).unwrap();
        return;
    }
    let (straight, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(straight.path(), &config(), None).unwrap();

    for reached in [6u64, 17] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_killed_run_ends_with_the_same_weights"])
            .env(CHILD, killed.path())
            .env(CHILD_STOPS, reached.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while steps_of(killed.path()).last().is_none_or(|step| *step < reached) {
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "the run never reached step {reached}"
            );
            assert!(
                child.try_wait().unwrap().is_none(),
                "the run ended before it could be killed"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let found = run(killed.path(), &config(), None).unwrap();
    for (name, weights) in &expected {
        let pairs = weights.values.iter().zip(&found[name].values);
        let worst = pairs.fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst <= 1e-6, "`{name}` differs by {worst:e}");
    }
    assert_eq!(steps_of(killed.path()), (1..=30).collect::<Vec<u64>>());
    assert_eq!(steps_of(straight.path()), steps_of(killed.path()));
}

#[test]
fn a_directory_of_another_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let short = TrainConfig { steps: 5, ..config() };
    run(dir.path(), &short, None).unwrap();
    let told = run(dir.path(), &config(), None).unwrap_err().to_string();
    assert!(
        told.contains("another configuration") && told.contains("hint"),
        "{told}"
    );
}

#[test]
fn training_lowers_the_loss() {
    let dir = tempfile::tempdir().unwrap();
    run(
        dir.path(),
        &TrainConfig {
            steps: 120,
            feature_noise: 0.0,
            ..config()
        },
        None,
    )
    .unwrap();
    let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let losses: Vec<f64> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64())
        .collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(
        mean(&losses[110..]) < 0.7 * mean(&losses[..10]),
        "{:?}",
        (mean(&losses[..10]), mean(&losses[110..]))
    );
}

#[test]
fn configurations_that_make_no_sense_are_refused_by_the_fields_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    let good = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/small.toml")).unwrap();
    for (from, to, named) in [
        ("batch_size = 512", "batch_size = 1", "batch_size"),
        ("pieces = 4", "pieces = 0", "pieces"),
        ("seed = 1", "sed = 1", "sed"),
        ("caption_weight = 0.2", "caption_weight = -1.0", "caption_weight"),
    ] {
        assert!(good.contains(from), "configs/small.toml lacks `{from}`");
        std::fs::write(&path, good.replace(from, to)).unwrap();
        let told = TrainConfig::read(&path).unwrap_err().to_string();
        assert!(told.contains(named) && told.contains("run.toml"), "{told}");
    }
}
