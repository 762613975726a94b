//! A whole experiment on a made-up collection: killed in the middle and gone on with, it ends with the same numbers; it trains
//! nothing twice, and refuses the runs of other settings.
#![allow(clippy::unwrap_used, clippy::result_large_err)]

mod toy;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use magiclens_experiment::{
    Condition, Experiment, ExperimentError, Extra, Finding, HeadShape, Listener, Metric, Settings, Setup, Triplets,
    Written, run, write,
};
use magiclens_train::run::StepMetrics;

const STYLE_R10: Metric = Metric::of("style R@10", "style", "R@10");

static TOY: Experiment = Experiment {
    name: "toy",
    title: "Toy",
    paper: "Nothing.",
    conditions: &[
        Condition::BASE,
        Condition {
            name: "half-wrong",
            label: "half wrong, one layer",
            train: "query_negatives = false",
            triplets: Triplets::Wrong(0.5),
            head: HeadShape {
                dim: None,
                layers: Some(1),
            },
            at: 1.0,
        },
    ],
    metrics: &[STYLE_R10],
    finding: Finding::Better {
        better: 0,
        than: 1,
        claim: "the toy works",
    },
    axis: None,
    extra: Some(Extra::Robustness),
};

/// Counts steps, and panics at one of them.
struct Counting {
    steps: usize,
    panics_at: usize,
}

impl Listener for Counting {
    fn begin(&mut self, _what: &str, _count: usize) {}
    fn advance(&mut self, _count: usize) {}
    fn step(&mut self, _metrics: &StepMetrics) {
        self.steps += 1;
        assert!(self.steps != self.panics_at, "killed");
    }
}

fn counting(panics_at: usize) -> Counting {
    Counting { steps: 0, panics_at }
}

fn setup(folder: &Path, out: &str) -> Setup {
    let text = "
        seeds = 2
        [train]
        seed = 3
        steps = 6
        batch_size = 8
        learning_rate = 3e-3
        warmup_steps = 2
        weight_decay = 0.01
        max_gradient_norm = 1.0
        query_negatives = true
        caption_weight = 0.2
        feature_noise = 0.1
        pieces = 2
        save_every = 4
        measure_every = 6
    ";
    let path = folder.join("experiment.toml");
    fs_err::write(&path, text).unwrap();
    Setup {
        settings: Settings::read(Some(&path)).unwrap(),
        data: folder.to_owned(),
        start: toy::start(),
        out: folder.join(out),
        cache: None,
    }
}

fn whole(setup: &Setup, listener: &mut Counting) -> Result<Written, ExperimentError> {
    write(&run(&TOY, setup, listener)?, &setup.out)
}

fn json(setup: &Setup) -> String {
    fs_err::read_to_string(setup.out.join("toy.json")).unwrap()
}

#[test]
fn a_killed_experiment_goes_on_and_ends_with_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    toy::collection(folder.path());
    let (plain, killed) = (setup(folder.path(), "plain"), setup(folder.path(), "killed"));
    let mut steps = counting(usize::MAX);
    let written = whole(&plain, &mut steps).unwrap();
    // Two conditions, two seeds, six steps.
    assert_eq!(steps.steps, 24);
    assert!(written.sentence.contains("the toy works"), "{}", written.sentence);

    // In the second run after its saved state, then in the third before it has one.
    for (at, expected) in [(11, 11), (6, 6)] {
        let mut steps = counting(at);
        let stopped = catch_unwind(AssertUnwindSafe(|| whole(&killed, &mut steps)));
        assert!(stopped.is_err() && steps.steps == expected);
        assert!(!killed.out.join("toy.json").exists());
    }
    let mut steps = counting(usize::MAX);
    whole(&killed, &mut steps).unwrap();
    assert!(steps.steps < 24, "finished runs are not trained again");
    assert_eq!(json(&plain), json(&killed));
    for run in runs(&plain.out) {
        let states = fs_err::read_dir(run.join("states")).unwrap().count();
        assert_eq!(states, 1, "{}", run.display());
        assert!(run.join("robustness.json").is_file());
    }

    let mut steps = counting(usize::MAX);
    whole(&killed, &mut steps).unwrap();
    assert_eq!((steps.steps, json(&plain)), (0, json(&killed)));
    // Seeds and conditions matter.
    let values = runs(&plain.out)
        .into_iter()
        .map(|run| fs_err::read_to_string(run.join("values.json")).unwrap());
    let mut values: Vec<String> = values.collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), 4);
}

#[test]
fn runs_of_other_settings_and_values_that_are_broken_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    toy::collection(folder.path());
    let setup = setup(folder.path(), "out");
    whole(&setup, &mut counting(usize::MAX)).unwrap();
    let other = Setup {
        settings: setup.settings.clone().changed(Some(7), None).unwrap(),
        ..setup.clone()
    };
    let told = whole(&other, &mut counting(usize::MAX)).unwrap_err().to_string();
    assert!(
        told.contains("another configuration") && told.contains("base"),
        "{told}"
    );

    let values = setup.out.join("runs/base/seed-3/values.json");
    fs_err::write(&values, "{").unwrap();
    let told = whole(&setup, &mut counting(usize::MAX)).unwrap_err().to_string();
    assert!(
        told.contains("values.json") && told.contains("hint: delete that file"),
        "{told}"
    );
    let before = json(&setup);
    fs_err::remove_file(&values).unwrap();
    whole(&setup, &mut counting(usize::MAX)).unwrap();
    assert_eq!(before, json(&setup));
}

fn runs(out: &Path) -> Vec<PathBuf> {
    let conditions = ["base", "half-wrong"];
    let of = |condition| [3, 4].map(|seed| out.join(format!("runs/{condition}/seed-{seed}")));
    conditions.into_iter().flat_map(of).collect()
}
