//! `magiclens train`: triplets to weights, and the report of runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{bail, ensure};
use clap::Subcommand;
use indicatif::ProgressBar;
use magiclens_data::files::write_atomic_bytes;
use magiclens_hub::ModelName;
use magiclens_report::numbers::rate;
use magiclens_train::TrainConfig;
use magiclens_train::dev::DevScores;
use magiclens_train::pace::Pace;
use magiclens_train::pipeline::{Listener, Pipeline};
use magiclens_train::report::TrainReport;
use magiclens_train::run::StepMetrics;

use crate::model_choice::{self, Heeds};
use crate::progress::{bar, paced_bar, show_left, tell};

/// Train a model on the triplets of a collection; goes on where it was cut off
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(flatten)]
    training: Option<TrainingArgs>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Report(ReportArgs),
}

/// Draw what runs did over their steps as one page: loss, scores on the dev part, rates, speed, settings that differ
#[derive(Debug, clap::Args)]
struct ReportArgs {
    /// Folders of runs, each the `--out` of a training; one that is going on will do
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page, FILE.html; FILE.md holds the tables alone, FILE.json all numbers
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct TrainingArgs {
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

impl Args {
    /// What it heeds of the way in which models are loaded: a report loads none.
    pub(crate) fn heeds(&self) -> Heeds {
        match self.command {
            Some(Command::Report(_)) => Heeds::Nothing,
            None => Heeds::Devices,
        }
    }
}

/// Runs `magiclens train`.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match (args.command, args.training) {
        (Some(Command::Report(args)), _) => report(&args),
        (None, Some(args)) => train(args),
        (None, None) => bail!("nothing is to be trained\nhint: `magiclens train --help` shows the settings"),
    }
}

fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let out = args.out.display();
    let render: fn(&TrainReport) -> String = match args.out.extension().and_then(|ending| ending.to_str()) {
        Some("html") => |report| report.document().to_html(),
        Some("md") => |report| report.document().to_markdown(),
        Some("json") => TrainReport::to_json,
        _ => bail!("`{out}` is of no kind that can be written\nhint: let it end in .html, .md or .json"),
    };
    let page = render(&TrainReport::read(&args.runs)?);
    fs_err::create_dir_all(args.out.parent().unwrap_or(Path::new("")))?;
    write_atomic_bytes(&args.out, page)?;
    tell(&format!("wrote `{out}`"));
    Ok(())
}

/// Trains, or goes on training.
fn train(args: TrainingArgs) -> anyhow::Result<()> {
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
        devices: model_choice::devices(),
    };
    let mut shown = Shown {
        bar: None,
        pace: Pace::new(&pipeline.config),
        stepped: Instant::now(),
    };
    pipeline.run(&mut shown)?;
    tell(&format!("wrote `{}`", pipeline.weights.display()));
    Ok(())
}

/// Shows the progress of a training as a bar.
struct Shown {
    bar: Option<ProgressBar>,
    pace: Pace,
    /// The end of the last step.
    stepped: Instant,
}

impl Listener for Shown {
    fn begin(&mut self, what: &str, count: usize) {
        let bar = if what == "steps" {
            paced_bar(count, what)
        } else {
            bar(count, what)
        };
        if let Some(done) = self.bar.replace(bar) {
            done.finish();
        }
    }

    fn advance(&mut self, count: usize) {
        self.bar.iter().for_each(|bar| bar.inc(count as u64));
    }

    fn step(&mut self, metrics: &StepMetrics) {
        self.pace.step(metrics);
        self.stepped = Instant::now();
        let (loss, accuracy) = (metrics.losses.loss, metrics.losses.batch_accuracy);
        let speed = rate(self.pace.triplets_per_second());
        if let Some(bar) = &self.bar {
            bar.set_position(metrics.step as u64);
            bar.set_message(format!(
                "steps, loss {loss:.3}, in-batch accuracy {accuracy:.2}, {speed} triplets/s"
            ));
            show_left(bar, self.pace.time_left());
        }
    }

    fn measured(&mut self, step: usize, scores: &BTreeMap<&str, DevScores>) {
        self.pace.measured(self.stepped.elapsed());
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
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }
}
