//! `magiclens eval`: the public benchmarks, our own, and files of rankings.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use magiclens_eval::benchmark::Benchmark;
use magiclens_eval::benchmarks::{ALL, Entry, LoadOptions};
use magiclens_eval::check::{Check, check};
use magiclens_eval::evaluate::{EvaluateOptions, Evaluated, evaluate};
use magiclens_eval::leakage::{leakage, training_files};
use magiclens_eval::report::{BenchmarkReport, Report};
use magiclens_eval::{peak_memory_bytes, predictions, server_files};

use crate::output::{print, print_as};
use crate::progress::{Progress, tell};
use crate::robustness;
use crate::systems::{Models, SystemArgs};

/// Measure retrieval on a benchmark, or verify its data, or score a file of rankings
///
/// NAME is one of fiq, cirr, circo, dtin, genecis, tu-berlin, sketchy, quickdraw, flickr30k, coco, icir, imagenet-r, nico,
/// minidomainnet, ltll, `own` (the collection of `magiclens collection build`), `robustness` (over the same collection), or `all` for
/// the public ones, each in a folder of its own below DIR.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The benchmark, or `all`
    name: String,
    /// Folder of the benchmark in its official layout
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    data: Option<PathBuf>,
    /// Verify the data folder and stop: missing, broken and extra images, counts against the published ones
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "model", "predictions"])]
    check: Option<PathBuf>,
    #[command(flatten)]
    systems: SystemArgs,
    /// Score a file of ranked ids, or several of one system with commas between; beside the weights only if those are
    /// named too
    #[arg(long, value_name = "FILE[,FILE]")]
    predictions: Vec<String>,
    /// Part of the data, such as `test` for CIRCO
    #[arg(long)]
    split: Option<String>,
    /// Wording of the query text, such as `megapairs`
    #[arg(long)]
    template: Option<String>,
    /// Variant of the protocol; all are reported if none is named
    #[arg(long)]
    variant: Vec<String>,
    /// Go on without images that cannot be used and queries that are not answered; the report says so
    #[arg(long)]
    partial: bool,
    /// Write report.json, report.md and report.html into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Failures shown of each task in report.html
    #[arg(long, default_value_t = 12)]
    failures: usize,
    /// Write the rankings of the first system as JSON lines
    #[arg(long, value_name = "FILE")]
    write_predictions: Option<PathBuf>,
    /// Ids of each ranking that are written [default: as many as the metrics look at, 200 where they look to the end]
    #[arg(long)]
    depth: Option<usize>,
    /// Write the input of other systems (galleries and queries with ids, images, texts) as JSON lines, and stop
    #[arg(long, value_name = "FILE")]
    write_queries: Option<PathBuf>,
    /// Write the files for the servers of CIRCO (`--split test`) and CIRR (`--split test1`) into this folder
    #[arg(long, value_name = "DIR")]
    submission: Option<PathBuf>,
    /// Look for the benchmark's images in a training set, a folder of images or a collection, and stop
    #[arg(long, value_name = "DIR")]
    leakage: Option<PathBuf>,
}

/// A benchmark with its folder.
type Found = (&'static Entry, PathBuf);

/// Checks, scores or measures.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let is_robustness = args.name == "robustness";
    if let Some(folder) = &args.check {
        ensure!(
            !is_robustness,
            "robustness asks the collection of `own`\nhint: `magiclens eval own --check DIR` verifies it"
        );
        return check_all(args, &entries(&args.name, folder)?);
    }
    let data = args.data.as_deref().context("`--data DIR` is needed")?;
    if is_robustness {
        return robustness::run(&args.robustness(data)?);
    }
    let entries = entries(&args.name, data)?;
    ensure!(
        args.name != "all" || !args.is_about_one(),
        "`--split`, `--template`, `--variant`, `--predictions`, `--submission` and `--write-..` are about one benchmark\nhint: name it \
         instead of `all`"
    );
    if args.write_queries.is_some() || args.leakage.is_some() {
        return entries
            .iter()
            .try_for_each(|(entry, folder)| queries_and_leakage(args, &load(args, entry, folder)?));
    }
    measure_all(args, &entries)
}

impl Args {
    /// Whether an option makes sense for a single benchmark only.
    fn is_about_one(&self) -> bool {
        let paths = [&self.write_predictions, &self.write_queries, &self.submission];
        self.split.is_some()
            || self.template.is_some()
            || !self.variant.is_empty()
            || !self.predictions.is_empty()
            || paths.into_iter().any(Option::is_some)
    }

    fn robustness<'a>(&'a self, data: &'a Path) -> anyhow::Result<robustness::Options<'a>> {
        ensure!(
            self.predictions.is_empty(),
            "robustness asks its own queries, which a file of rankings cannot answer\nhint: name weights with `--model`"
        );
        Ok(robustness::Options {
            systems: &self.systems,
            data,
            split: self.split.as_deref(),
            out: self.out.as_deref(),
            json: self.json,
        })
    }

    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            split: self.split.clone(),
            template: self.template.clone(),
            only_rankings: !self.predictions.is_empty() && self.systems.model.is_empty(),
        }
    }
}

/// The benchmarks that a name means, with their folders.
fn entries(name: &str, data: &Path) -> anyhow::Result<Vec<Found>> {
    if name != "all" {
        let entry = Entry::named(name).with_context(|| {
            let names = names(|entry| entry.name);
            format!("there is no benchmark `{name}`\nhint: it is one of {names}, own, robustness, all")
        })?;
        return Ok(vec![(entry, data.to_owned())]);
    }
    let mut found = Vec::new();
    for entry in &ALL {
        match entry.folder_in(data) {
            Some(folder) => found.push((entry, folder)),
            None => {
                let folder = data.join(entry.folder);
                tell(&format!("{}: no folder `{}`, skipped", entry.title, folder.display()));
            }
        }
    }
    if found.is_empty() {
        let (data, folders) = (data.display(), names(|entry| entry.folder));
        bail!("`{data}` holds no benchmark\nhint: each has its own folder in it: {folders}");
    }
    Ok(found)
}

fn names(name: fn(&Entry) -> &'static str) -> String {
    ALL.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn load(args: &Args, entry: &Entry, folder: &Path) -> anyhow::Result<Benchmark> {
    let loaded = entry.load(folder, &args.load_options());
    loaded.with_context(|| format!("{} cannot be read (its folder holds {})", entry.title, entry.layout))
}

/// Works on every benchmark; gives the titles of those that failed. The error of the only one is the error.
fn for_each(
    entries: &[Found],
    mut work: impl FnMut(&Found) -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<&'static str>> {
    let mut failed = Vec::new();
    for found in entries {
        match work(found) {
            Ok(true) => {}
            Ok(false) => failed.push(found.0.title),
            Err(error) if entries.len() == 1 => return Err(error),
            Err(error) => {
                tell(&format!("error: {error:#}"));
                failed.push(found.0.title);
            }
        }
    }
    Ok(failed)
}

fn queries_and_leakage(args: &Args, benchmark: &Benchmark) -> anyhow::Result<()> {
    if let Some(path) = &args.write_queries {
        predictions::write_queries(path, benchmark)?;
        tell(&format!("`{}` is written", path.display()));
    }
    if let Some(training) = &args.leakage {
        let progress = Progress::default();
        let found = leakage(benchmark, &training_files(training)?, &|step| progress.show(step));
        print_as(args.json, &found, || found.to_string())?;
    }
    Ok(())
}

/// Measures benchmarks one after another, and writes the report after each.
fn measure_all(args: &Args, entries: &[Found]) -> anyhow::Result<()> {
    let models = Models::load(&args.systems, args.predictions.is_empty())?;
    let mut report = Report {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        ..Report::default()
    };
    let failed = for_each(entries, |(entry, folder)| {
        if let Some(found) = measure(args, entry, folder, &models)? {
            report.benchmarks.push(found);
            // The report is there, whatever happens to the next benchmark.
            report.peak_memory_bytes = peak_memory_bytes();
            args.out.as_deref().map_or(Ok(()), |folder| report.write(folder))?;
        }
        Ok(true)
    })?;
    if !report.benchmarks.is_empty() {
        print(&match args.json {
            true => report.to_json(),
            false => report.to_markdown(),
        })?;
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

/// Measures one benchmark and writes its rankings; no report where the truth is hidden.
fn measure(args: &Args, entry: &Entry, folder: &Path, models: &Models) -> anyhow::Result<Option<BenchmarkReport>> {
    let benchmark = load(args, entry, folder)?;
    let hidden = benchmark.is_hidden();
    ensure!(
        !hidden || args.submission.is_some() || args.write_predictions.is_some(),
        "the truth of {} {} is hidden\nhint: `--submission DIR` writes the file for its server",
        entry.title,
        args.split.as_deref().unwrap_or_default()
    );
    let depth = args.depth.unwrap_or_else(|| benchmark.depth());
    let options = EvaluateOptions {
        partial: args.partial,
        variants: args.variant.clone(),
        head: depth.max(server_files::TOP),
        failures: args.failures,
    };
    let load_options = args.load_options();
    let contestants = models.contestants(&args.predictions);
    let progress = Progress::default();
    let names = entry.names(&load_options);
    let evaluated = evaluate(benchmark, names, folder, &contestants, &options, &|step| {
        progress.show(step)
    });
    let evaluated = evaluated.with_context(|| format!("{} cannot be measured", entry.title))?;
    write_rankings(args, &evaluated)?;
    Ok((!hidden).then_some(evaluated.report))
}

/// Rankings and server files of the first system.
fn write_rankings(args: &Args, evaluated: &Evaluated) -> anyhow::Result<()> {
    let (Some(variant), Some(first)) = (evaluated.benchmark.variants.first(), evaluated.outcomes.first()) else {
        return Ok(());
    };
    if let Some(path) = &args.write_predictions {
        predictions::write(path, &evaluated.benchmark, first)?;
        tell(&format!("`{}` is written", path.display()));
    }
    let outcome = first.first().and_then(|outcomes| outcomes.first());
    if let (Some(folder), Some(task), Some(outcome)) = (&args.submission, variant.tasks.first(), outcome) {
        for path in server_files::write(folder, &evaluated.benchmark, task, outcome)? {
            tell(&format!("`{}` is written", path.display()));
        }
    }
    Ok(())
}

/// Verifies data folders; fails if one cannot give comparable scores.
fn check_all(args: &Args, entries: &[Found]) -> anyhow::Result<()> {
    let progress = Progress::default();
    let mut found: Vec<Check> = Vec::new();
    let failed = for_each(entries, |(entry, folder)| {
        let checked = check(&load(args, entry, folder)?, &|step| progress.show(step));
        let passes = checked.passes();
        found.push(checked);
        Ok(passes)
    })?;
    print_as(args.json, &found, || found.iter().map(Check::to_string).collect())?;
    ensure!(
        failed.is_empty(),
        "these data cannot give comparable scores: {}",
        failed.join(", ")
    );
    Ok(())
}
