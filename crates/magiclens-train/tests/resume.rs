//! A run that is killed goes on where it was and ends with the same weights as one that was not.
#![allow(clippy::unwrap_used)]

mod toy;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use magiclens_model::checkpoint::{NamedWeights, tensors_of};
use magiclens_train::config::{Optimizer, Schedule};
use magiclens_train::head::Head;
use magiclens_train::learner::Learner;
use magiclens_train::run::{Measurement, Observer, StepMetrics, train};
use magiclens_train::trained::TrainedTowers;
use magiclens_train::{TrainConfig, TrainError};
use toy::Toy;
use toy::train_config as config;

/// Names the run directory for the process that is to be killed.
const CHILD: &str = "MAGICLENS_TEST_RUN";
/// The step at which that process stands still.
const CHILD_STOPS: &str = "MAGICLENS_TEST_STOP";

/// Everything on that a run can have: it gets no better after step 10, and ends at 20.
fn whole_recipe() -> TrainConfig {
    TrainConfig {
        optimizer: Optimizer::Adafactor,
        learning_rate: 2e-2,
        pretrained_rate: 0.5,
        schedule: Schedule::Linear,
        final_rate: Some(0.1),
        temperature: Some(20.0),
        max_temperature: Some(50.0),
        hard_negatives: 1,
        ema_decay: Some(0.9),
        patience: Some(2),
        measure_every: 5,
        ..config()
    }
}

/// The same with both towers trained.
fn whole_model() -> TrainConfig {
    TrainConfig {
        trained_towers: TrainedTowers::Both,
        tower_rows: 5,
        feature_noise: 0.0,
        ..whole_recipe()
    }
}

/// LiT: the text tower is trained below a locked image tower, whose features have noise.
fn locked_image_tower() -> TrainConfig {
    TrainConfig {
        trained_towers: TrainedTowers::Text,
        pretrained_rate: 0.1,
        ..config()
    }
}

/// Made-up data of the towers that a run trains.
fn toy_of(config: &TrainConfig) -> Toy {
    match config.trained_towers.any() {
        true => Toy::with_towers(),
        false => Toy::new(),
    }
}

/// Stands still after a step until it is killed, and keeps what it measures.
#[derive(Default)]
struct Watcher {
    stop_after: Option<usize>,
    /// Fails at this measurement.
    fail_at: Option<usize>,
    measured: BTreeMap<usize, NamedWeights>,
    chosen: Option<(usize, usize)>,
}

impl Observer for Watcher {
    fn step(&mut self, metrics: &StepMetrics, _steps: usize) {
        while self.stop_after.is_some_and(|last| metrics.step >= last) {
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// The score is best at step 10.
    fn measure(&mut self, step: usize, learner: &Learner) -> Result<Measurement, TrainError> {
        if self.fail_at == Some(step) {
            return Err(std::io::Error::other("told to fail").into());
        }
        self.measured.insert(step, learner.tensors());
        Ok(Measurement {
            mean_recall_at_10: 1.0 / (1 + step.abs_diff(10)) as f64,
            line: serde_json::json!({ "measured": true }),
        })
    }

    fn chosen(&mut self, step: usize, best: usize) {
        self.chosen = Some((step, best));
    }
}

fn run_on(toy: &Toy, dir: &Path, config: &TrainConfig, watcher: &mut Watcher) -> Result<NamedWeights, TrainError> {
    let learner = toy.learner(config.trained_towers);
    Ok(train(config, learner, &toy.data(), dir, watcher)?.tensors())
}

fn run(dir: &Path, config: &TrainConfig) -> Result<NamedWeights, TrainError> {
    run_on(&toy_of(config), dir, config, &mut Watcher::default())
}

fn lines_of(dir: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// The lines of steps and of measurements, without the time that steps took.
fn timeless_lines_of(dir: &Path) -> Vec<serde_json::Value> {
    let mut lines = lines_of(dir);
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("seconds");
    }
    lines
}

fn steps_of(dir: &Path) -> Vec<u64> {
    let lines = lines_of(dir).into_iter().filter(|line| line.get("loss").is_some());
    lines.map(|line| line["step"].as_u64().unwrap()).collect()
}

fn states_of(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("states")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// In a process that is to be killed, which is this test again: the run, and true.
fn was_child(config: &TrainConfig) -> bool {
    let Some(dir) = std::env::var_os(CHILD) else {
        return false;
    };
    let mut watcher = Watcher {
        stop_after: Some(std::env::var(CHILD_STOPS).unwrap().parse().unwrap()),
        ..Watcher::default()
    };
    run_on(&toy_of(config), &PathBuf::from(dir), config, &mut watcher).unwrap();
    true
}

/// Has the test `name` run in `dir` by a process of its own, started by the words in front.
fn child(front: &[&str], name: &str, dir: &Path, stops: u64) -> Child {
    let this = std::env::current_exe().unwrap();
    let words: Vec<&str> = [front, &[this.to_str().unwrap(), "--nocapture", "--exact", name]].concat();
    Command::new(words[0])
        .args(&words[1..])
        .env(CHILD, dir)
        .env(CHILD_STOPS, stops.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills a run at steps 6 and 17, lets it end, and holds it against one that was not killed.
#[track_caller]
fn check_killed(name: &str, config: &TrainConfig, steps: u64) {
    let (straight, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(straight.path(), config).unwrap();
    for reached in [6u64, 17] {
        let mut child = child(&[], name, killed.path(), reached);
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
    let found = run(killed.path(), config).unwrap();
    assert!(found == expected, "the weights differ");
    assert_eq!(steps_of(killed.path()), (1..=steps).collect::<Vec<u64>>());
    assert_eq!(timeless_lines_of(straight.path()), timeless_lines_of(killed.path()));
    // A run at its end stays there.
    assert!(run(killed.path(), config).unwrap() == expected);
    assert_eq!(timeless_lines_of(straight.path()), timeless_lines_of(killed.path()));
}

#[test]
fn a_killed_run_ends_with_the_same_weights() {
    if !was_child(&config()) {
        check_killed("a_killed_run_ends_with_the_same_weights", &config(), 30);
    }
}

#[test]
fn a_killed_run_of_the_whole_recipe_ends_with_the_same_weights() {
    if !was_child(&whole_recipe()) {
        let name = "a_killed_run_of_the_whole_recipe_ends_with_the_same_weights";
        check_killed(name, &whole_recipe(), 20);
    }
}

#[test]
fn a_killed_run_of_the_whole_model_ends_with_the_same_weights() {
    if !was_child(&whole_model()) {
        let name = "a_killed_run_of_the_whole_model_ends_with_the_same_weights";
        check_killed(name, &whole_model(), 20);
    }
}

#[test]
fn a_killed_run_of_a_locked_image_tower_ends_with_the_same_weights() {
    if !was_child(&locked_image_tower()) {
        let name = "a_killed_run_of_a_locked_image_tower_ends_with_the_same_weights";
        check_killed(name, &locked_image_tower(), 30);
    }
}

#[test]
fn a_run_with_patience_ends_with_the_best_weights() {
    let dir = tempfile::tempdir().unwrap();
    let mut watcher = Watcher::default();
    let found = run_on(&Toy::new(), dir.path(), &whole_recipe(), &mut watcher).unwrap();
    assert_eq!(watcher.chosen, Some((20, 10)));
    assert_eq!(watcher.measured.keys().collect::<Vec<_>>(), [&5, &10, &15, &20]);
    assert!(found == watcher.measured[&10] && found != watcher.measured[&20]);
    // With more patience than measurements the run ends by its steps; the best weights are the result all the same.
    let dir = tempfile::tempdir().unwrap();
    let mut watcher = Watcher::default();
    let patient = TrainConfig {
        patience: Some(9),
        ..whole_recipe()
    };
    assert!(run_on(&Toy::new(), dir.path(), &patient, &mut watcher).unwrap() == found);
    assert_eq!(watcher.chosen, Some((30, 10)));
}

/// The average follows the weights of every step, which a run that is measured at every step shows.
#[test]
fn the_average_is_measured_and_is_the_result() {
    let plain = TrainConfig {
        steps: 8,
        measure_every: 1,
        ..config()
    };
    let averaged = TrainConfig {
        ema_decay: Some(0.75),
        ..plain.clone()
    };
    let [mut weights, mut averages] = [Watcher::default(), Watcher::default()];
    let (toy, dirs) = (Toy::new(), [(); 2].map(|()| tempfile::tempdir().unwrap()));
    run_on(&toy, dirs[0].path(), &plain, &mut weights).unwrap();
    let found = run_on(&toy, dirs[1].path(), &averaged, &mut averages).unwrap();
    assert!(found == averages.measured[&8]);

    let mut expected = tensors_of(&Head::of(&toy::model()));
    for step in 1..=8 {
        for (name, means) in &mut expected {
            let values = &weights.measured[&step][name].values;
            for ((mean, value), found) in means
                .values
                .iter_mut()
                .zip(values)
                .zip(&averages.measured[&step][name].values)
            {
                *mean = 0.75 * *mean + 0.25 * value;
                assert!((*mean - found).abs() < 1e-6, "`{name}` after step {step}");
            }
        }
    }
}

#[test]
fn the_temperature_starts_where_told_stays_under_its_cap_and_can_be_fixed() {
    let temperatures = |config: &TrainConfig| -> Vec<f64> {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), config).unwrap();
        let lines = lines_of(dir.path());
        lines.iter().filter_map(|line| line["temperature"].as_f64()).collect()
    };
    let short = TrainConfig {
        steps: 6,
        temperature: Some(12.0),
        ..config()
    };
    let free = temperatures(&short);
    assert!((free[0] - 12.0).abs() < 1e-4 && free[1] != free[0], "{free:?}");
    let fixed = temperatures(&TrainConfig {
        learn_temperature: false,
        ..short.clone()
    });
    assert!(fixed.iter().all(|value| *value == free[0]), "{fixed:?}");
    // The start model's own is above this cap.
    let capped = temperatures(&TrainConfig {
        temperature: None,
        max_temperature: Some(3.0),
        ..short
    });
    assert!(capped.iter().all(|value| (*value - 3.0).abs() < 1e-5), "{capped:?}");
}

#[test]
fn projections_move_at_their_own_rate() {
    let moved = |pretrained_rate: f64| {
        let dir = tempfile::tempdir().unwrap();
        let config = TrainConfig {
            steps: 2,
            warmup_steps: 1,
            weight_decay: 0.0,
            pretrained_rate,
            ..config()
        };
        let start = tensors_of(&Head::of(&toy::model()));
        // One step of AdamW goes as far as the rate at most, in every direction that has a slope.
        let mut watcher = Watcher::default();
        let each = TrainConfig {
            measure_every: 1,
            ..config
        };
        run_on(&Toy::new(), dir.path(), &each, &mut watcher).unwrap();
        let reach = |name: &str| {
            let pairs = start[name].values.iter().zip(&watcher.measured[&1][name].values);
            pairs.fold(0f32, |most, (a, b)| most.max((a - b).abs()))
        };
        let fusion = start.keys().find(|name| name.starts_with("fusion.")).unwrap();
        (reach("vision.linear.weight"), reach(fusion))
    };
    let ((slow, fusion), (fast, same_fusion)) = (moved(0.1), moved(1.0));
    assert_eq!(fusion, same_fusion);
    assert!((slow / fast - 0.1).abs() < 1e-3, "{slow} of {fast}");
}

/// One step of AdamW goes as far as the rate at most, in every direction that has a slope.
#[test]
fn trained_towers_move_at_the_rate_of_what_was_pretrained() {
    let toy = Toy::with_towers();
    for trained_towers in [TrainedTowers::Text, TrainedTowers::Image, TrainedTowers::Both] {
        let dir = tempfile::tempdir().unwrap();
        let config = TrainConfig {
            steps: 2,
            warmup_steps: 1,
            measure_every: 1,
            weight_decay: 0.0,
            feature_noise: 0.0,
            pretrained_rate: 0.1,
            trained_towers,
            ..config()
        };
        let mut watcher = Watcher::default();
        run_on(&toy, dir.path(), &config, &mut watcher).unwrap();
        let start = toy.learner(trained_towers).tensors();
        let reach = |name: &str| {
            let pairs = start[name].values.iter().zip(&watcher.measured[&1][name].values);
            f64::from(pairs.fold(0f32, |most, (a, b)| most.max((a - b).abs())))
        };
        let fusion = start.keys().find(|name| name.starts_with("fusion.")).unwrap();
        let towers = start.keys().filter(|name| name.contains("_tower.")).collect::<Vec<_>>();
        let parts = [TrainedTowers::image, TrainedTowers::text].map(|is| usize::from(is(trained_towers)));
        assert_eq!(
            parts,
            ["image_", "text_"].map(|part| usize::from(towers.iter().any(|name| name.starts_with(part))))
        );
        let most = towers.iter().fold(0.0, |most: f64, name| most.max(reach(name)));
        assert!((most / reach(fusion) - 0.1).abs() < 1e-3, "{trained_towers:?}: {most}");
    }
}

#[test]
fn a_tower_that_is_no_number_ends_the_run() {
    let (dir, mut toy) = (tempfile::tempdir().unwrap(), Toy::with_towers());
    toy.towers.as_mut().unwrap().spoil("text.trunk.embedding_norm.beta");
    let told = run_on(&toy, dir.path(), &whole_model(), &mut Watcher::default()).unwrap_err();
    let told = told.to_string();
    assert!(told.contains("the loss became NaN at step 1"), "{told}");
    assert!(states_of(dir.path()).is_empty());
}

#[test]
fn an_image_that_is_gone_is_named() {
    let (dir, mut toy) = (tempfile::tempdir().unwrap(), Toy::with_towers());
    toy.towers.as_mut().unwrap().lose_images();
    let told = run_on(&toy, dir.path(), &whole_model(), &mut Watcher::default()).unwrap_err();
    let told = told.to_string();
    assert!(
        told.contains(".png` cannot be read") && told.contains("hint: "),
        "{told}"
    );
}

#[test]
fn after_a_loss_that_is_no_number_the_last_good_state_stays() {
    let (straight, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(straight.path(), &config()).unwrap();
    let mut failing = Watcher {
        fail_at: Some(10),
        ..Watcher::default()
    };
    let (good, mut bad) = (Toy::new(), Toy::new());
    run_on(&good, broken.path(), &config(), &mut failing).unwrap_err();
    bad.images.values.fill(f32::NAN);
    let told = run_on(&bad, broken.path(), &config(), &mut Watcher::default()).unwrap_err();
    let told = told.to_string();
    assert!(
        told.contains("step 9") && told.contains("hint: train into a new `--out`") && told.contains("states"),
        "{told}"
    );
    assert_eq!(states_of(broken.path()), ["000004", "000008"]);
    assert!(run(broken.path(), &config()).unwrap() == expected);
}

/// A limit on the size of files fails as a full disk does: in the middle of writing.
#[test]
#[cfg(unix)]
fn when_a_state_cannot_be_written_the_last_one_stays() {
    if was_child(&config()) {
        return;
    }
    let (straight, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = run(straight.path(), &config()).unwrap();
    let mut failing = Watcher {
        fail_at: Some(5),
        ..Watcher::default()
    };
    let each = TrainConfig {
        measure_every: 5,
        ..config()
    };
    run_on(&Toy::new(), full.path(), &each, &mut failing).unwrap_err();
    std::fs::remove_file(full.path().join("config.toml")).unwrap();
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"];
    let child = child(
        &limited,
        "when_a_state_cannot_be_written_the_last_one_stays",
        full.path(),
        100,
    );
    let ended = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success(), "{told}");
    assert!(
        told.contains("NotSaved { step: 8,") && told.contains("File too large"),
        "{told}"
    );
    assert_eq!(states_of(full.path()), ["000004", "partial"]);
    assert_eq!(steps_of(full.path()), (1..=8).collect::<Vec<u64>>());
    assert!(run(full.path(), &config()).unwrap() == expected);
}

#[test]
fn a_directory_of_another_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let short = TrainConfig { steps: 5, ..config() };
    run(dir.path(), &short).unwrap();
    for other in [
        config(),
        TrainConfig {
            patience: Some(3),
            ..short.clone()
        },
    ] {
        let told = run(dir.path(), &other).unwrap_err().to_string();
        assert!(
            told.contains("another configuration") && told.contains("hint"),
            "{told}"
        );
    }
}

#[test]
fn training_lowers_the_loss() {
    for (optimizer, learning_rate) in [(Optimizer::AdamW, 3e-3), (Optimizer::Adafactor, 3e-2)] {
        for trained_towers in [TrainedTowers::None, TrainedTowers::Both] {
            let dir = tempfile::tempdir().unwrap();
            let long = TrainConfig {
                steps: 120,
                feature_noise: 0.0,
                optimizer,
                learning_rate,
                trained_towers,
                ..config()
            };
            run(dir.path(), &long).unwrap();
            let lines = lines_of(dir.path());
            let losses: Vec<f64> = lines.iter().filter_map(|line| line["loss"].as_f64()).collect();
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
            let (first, last) = (mean(&losses[..10]), mean(&losses[110..]));
            assert!(
                last < 0.8 * first,
                "{optimizer:?}, {trained_towers:?}: {first} to {last}"
            );
        }
    }
}
