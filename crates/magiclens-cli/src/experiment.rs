//! `magiclens experiment`: the paper's claims, measured anew.

use std::path::PathBuf;

use anyhow::Context;
use indicatif::ProgressBar;
use magiclens_experiment::{ALL, Listener, Settings, Setup, named};
use magiclens_hub::ModelName;
use magiclens_train::run::StepMetrics;

use crate::model_choice;
use crate::output::print;
use crate::progress::{bar, tell};

/// Measure a claim of the paper: train in several conditions with several seeds, and write a page; goes on where it was cut off
///
/// NAME is one of the experiments that `magiclens experiment list` shows.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The experiment, or `list`
    name: String,
    /// The collection, made by `magiclens collection build`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Model whose towers are frozen: a file made by `magiclens import towers`, or any name that `--model` takes elsewhere; its head
    /// is not used
    #[arg(long, value_name = "NAME")]
    start: Option<ModelName>,
    /// Folder of the runs; experiments share those that they have in common
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Folder for the page, NAME.md, with NAME.svg and NAME.json [default: that of `--out`]
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Settings that all runs share, TOML [default: `configs/experiment.toml`, which is built in]
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// Steps of each run instead of those of the settings
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Runs of each condition instead of those of the settings
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// Folder for the frozen features, which are computed once for all runs [default: `features` in the collection]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
}

/// Lists, or runs and writes the page.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    if args.name == "list" {
        return list();
    }
    let experiment = named(&args.name)?;
    let settings = Settings::read(args.config.as_deref())?.changed(args.steps, args.seeds)?;
    let start = args.start.context("`--start NAME` is needed")?;
    let setup = Setup {
        settings,
        data: args.data.context("`--data DIR` is needed")?,
        start: model_choice::locate(Some(&start))?.path,
        out: args.out.context("`--out DIR` is needed")?,
        cache: args.cache,
    };
    let results = magiclens_experiment::run(experiment, &setup, &mut Shown(None))?;
    let written = magiclens_experiment::write(&results, args.results.as_ref().unwrap_or(&setup.out))?;
    tell(&format!("wrote `{}`", written.page.display()));
    print(&format!("{}\n", written.sentence))
}

fn list() -> anyhow::Result<()> {
    let lines = ALL.iter().map(|experiment| {
        let conditions = experiment.conditions.iter().map(|condition| condition.label);
        let conditions = conditions.collect::<Vec<_>>().join(", ");
        format!(
            "{}: {}\n    {}\n    conditions: {conditions}\n",
            experiment.name, experiment.title, experiment.paper
        )
    });
    print(&lines.collect::<String>())
}

/// Shows the progress of an experiment as bars, one after another.
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
        self.0.iter().for_each(|bar| bar.set_position(metrics.step as u64));
    }
}
