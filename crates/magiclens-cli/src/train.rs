//! `magiclens train`: triplets to weights.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::ensure;
use indicatif::ProgressBar;
use magiclens_hub::ModelName;
use magiclens_train::TrainConfig;
use magiclens_train::dev::DevScores;
use magiclens_train::pipeline::{Listener, Pipeline};
use magiclens_train::run::StepMetrics;

use crate::model_choice;
use crate::progress::{bar, tell};

/// Train a model on the triplets of a collection; goes on where it was cut off
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Settings of the run, TOML
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// The collection, made by `magiclens collection build`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// More to train on, beside the collection: folders written by `magiclens mine collect`
    #[arg(long, value_name = "DIR")]
    add: Vec<PathBuf>,
    /// Number of times that each triplet of the added folders counts: small additions drown otherwise
    #[arg(long, value_name = "N", default_value_t = 1, requires = "add")]
    repeat_added: usize,
    /// Model to start from: a file made by `magiclens import towers`, or any name that `--model` takes elsewhere
    #[arg(long, value_name = "NAME")]
    start: ModelName,
    /// Folder of the run: configuration, metrics, saved states
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The trained checkpoint; it stands beside the tower files of the start
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Folder for the frozen features, which are computed once for all runs [default: `features` in the collection]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Trains, or goes on training.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    ensure!(args.repeat_added > 0, "`--repeat-added` must be at least 1");
    let pipeline = Pipeline {
        config: TrainConfig::read(&args.config)?,
        data: args.data,
        added: args.add,
        repeat_added: args.repeat_added,
        start: model_choice::locate(Some(&args.start))?.path,
        out: args.out,
        weights: args.weights,
        cache: args.cache,
    };
    pipeline.run(&mut Shown(None))?;
    tell(&format!("wrote `{}`", pipeline.weights.display()));
    Ok(())
}

/// Shows the progress of a training as a bar.
struct Shown(Option<ProgressBar>);

impl Listener for Shown {
    fn begin(&mut self, what: &str, count: usize) {
        if let Some(done) = self.0.replace(bar(count, what)) {
            done.finish();
        }
    }

    fn advance(&mut self, count: usize) {
        self.0.iter().for_each(|bar| bar.inc(count as u64));
    }

    fn step(&mut self, metrics: &StepMetrics) {
        let (loss, accuracy) = (metrics.losses.loss, metrics.losses.batch_accuracy);
        let seconds = metrics.seconds;
        if let Some(bar) = &self.0 {
            bar.set_position(metrics.step as u64);
            bar.set_message(format!(
                "steps, loss {loss:.3}, in-batch accuracy {accuracy:.2}, {seconds:.2} s a step"
            ));
        }
    }

    fn measured(&mut self, step: usize, scores: &BTreeMap<&str, DevScores>) {
        let shown = scores.iter().map(|(relation, found)| {
            let (first, ten) = (100.0 * found.recall_at_1, 100.0 * found.recall_at_10);
            format!("{relation} {first:.1} / {ten:.1}")
        });
        let line = format!("step {step}, dev R@1 / R@10: {}", shown.collect::<Vec<_>>().join(", "));
        self.tell(&line);
    }

    fn chosen(&mut self, step: usize, best: usize) {
        self.tell(&format!(
            "ended after step {step}; the weights of step {best} are the best on dev"
        ));
    }
}

impl Shown {
    /// A line above the bar.
    fn tell(&self, line: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }
}
