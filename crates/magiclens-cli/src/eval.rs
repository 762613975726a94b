//! `magiclens eval`: the public benchmarks, our own, and files of rankings.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use magiclens_eval::benchmark::Benchmark;
use magiclens_eval::benchmarks::{ALL, Entry, LoadOptions};
use magiclens_eval::cache::Cache;
use magiclens_eval::check::{Check, check};
use magiclens_eval::evaluate::{Contestant, EvaluateOptions, Evaluated, Names, evaluate};
use magiclens_eval::report::Report;
use magiclens_eval::report::html::to_html;
use magiclens_eval::system::{Inversion, Method};
use magiclens_eval::{leakage, peak_memory_bytes, predictions, server_files};
use magiclens_model::Embedder;

use crate::model_choice;
use crate::progress::Progress;
use crate::train::tell;

/// Measure retrieval on a benchmark, or verify its data, or score a file of rankings
///
/// NAME is one of fiq, cirr, circo, dtin, genecis, tu-berlin, sketchy, quickdraw, flickr30k, coco, `own` (the collection of
/// `magiclens collection build`), `robustness` (over the same collection), or `all` for the ten public ones, each in a folder of its
/// own below DIR.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The benchmark, or `all`
    name: String,
    /// Folder of the benchmark in its official layout
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    data: Option<PathBuf>,
    /// Verify the data folder and stop: missing, broken and extra pictures, counts against the published ones
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "model", "predictions"])]
    check: Option<PathBuf>,
    /// Weights; several are compared with the first [default: the small model]
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// How a query becomes a vector: magiclens, empty, image, text, sum, sum:WEIGHT; several are compared
    #[arg(long, value_name = "METHOD", value_parser = clap::value_parser!(Method))]
    method: Vec<Method>,
    /// Ask by textual inversion too, with what `magiclens import inversion` wrote
    #[arg(long, value_name = "FILE")]
    inversion: Vec<PathBuf>,
    /// Score a file of ranked ids; beside the weights only if those are named too
    #[arg(long, value_name = "FILE")]
    pub(crate) predictions: Vec<PathBuf>,
    /// Part of the data, such as `test` for CIRCO
    #[arg(long)]
    pub(crate) split: Option<String>,
    /// Wording of the query text, such as `megapairs`
    #[arg(long)]
    template: Option<String>,
    /// Variant of the protocol; all are reported if none is named
    #[arg(long)]
    variant: Vec<String>,
    /// Go on without pictures that cannot be used and queries that are not answered; the report says so
    #[arg(long)]
    partial: bool,
    /// Folder for embeddings [default: `magiclens/eval` in the user's cache folder]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Write report.json, report.md and report.html into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// Failures shown of each task in report.html
    #[arg(long, default_value_t = 12)]
    failures: usize,
    /// Write the rankings of the first system as JSON lines, 50 ids a query or as many as `--depth` says
    #[arg(long, value_name = "FILE")]
    write_predictions: Option<PathBuf>,
    /// Ids of each ranking that are written
    #[arg(long, default_value_t = 50)]
    depth: usize,
    /// Write the queries (task, id, picture, text) as JSON lines for other systems, and stop
    #[arg(long, value_name = "FILE")]
    write_queries: Option<PathBuf>,
    /// Write the files for the servers of CIRCO (`--split test`) and CIRR (`--split test1`) into this folder
    #[arg(long, value_name = "DIR")]
    submission: Option<PathBuf>,
    /// Look for the benchmark's pictures in a training set, a folder of pictures or a collection, and stop
    #[arg(long, value_name = "DIR")]
    leakage: Option<PathBuf>,
}

/// Checks, scores or measures.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let progress = Progress::default();
    if let Some(folder) = &args.check {
        return check_all(args, folder, &progress);
    }
    let data = args.data.as_deref().context("`--data DIR` is needed")?;
    if args.name == "robustness" {
        return crate::robustness::run(args, data);
    }
    let entries = entries(&args.name, data)?;
    if args.write_queries.is_some() || args.leakage.is_some() {
        return for_each(args, &entries, &progress);
    }
    let models = Models::load(args)?;
    let mut report = Report {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        ..Report::default()
    };
    for (entry, folder) in &entries {
        let benchmark = load(args, entry, folder)?;
        let hidden = benchmark.is_hidden();
        ensure!(
            !hidden || args.submission.is_some() || args.write_predictions.is_some(),
            "the truth of {} {} is hidden\nhint: `--submission DIR` writes the file for its server",
            entry.title,
            args.split.as_deref().unwrap_or_default()
        );
        let evaluated = measure(args, entry, folder, benchmark, &models, &progress)?;
        write_rankings(args, &evaluated)?;
        if !hidden {
            report.benchmarks.push(evaluated.report);
            // What is done is there, whatever happens to the next benchmark.
            report.peak_memory_bytes = peak_memory_bytes();
            write_report(args, &report)?;
        }
    }
    if report.benchmarks.is_empty() {
        return Ok(());
    }
    print(&if args.json {
        report.to_json()
    } else {
        report.to_markdown()
    })
}

/// The benchmarks that a name means, with their folders.
fn entries(name: &str, data: &Path) -> anyhow::Result<Vec<(Entry, PathBuf)>> {
    if name != "all" {
        let entry = Entry::named(name).with_context(|| {
            let names: Vec<&str> = ALL.iter().map(|entry| entry.name).collect();
            format!(
                "there is no benchmark `{name}`\nhint: it is one of {}, own, robustness, all",
                names.join(", ")
            )
        })?;
        return Ok(vec![(*entry, data.to_owned())]);
    }
    let mut found = Vec::new();
    for entry in ALL {
        let folder = [entry.folder, entry.name]
            .map(|name| data.join(name))
            .into_iter()
            .find(|path| path.is_dir());
        match folder {
            Some(folder) => found.push((entry, folder)),
            None => tell(&format!(
                "{}: no folder `{}`, left out",
                entry.title,
                data.join(entry.folder).display()
            )),
        }
    }
    if found.is_empty() {
        let names: Vec<&str> = ALL.iter().map(|entry| entry.folder).collect();
        bail!(
            "`{}` holds no benchmark\nhint: each has its own folder in it: {}",
            data.display(),
            names.join(", ")
        );
    }
    Ok(found)
}

fn load(args: &Args, entry: &Entry, folder: &Path) -> anyhow::Result<Benchmark> {
    let options = LoadOptions {
        split: args.split.clone(),
        template: args.template.clone(),
    };
    let loaded = entry.load(folder, &options);
    loaded.with_context(|| format!("{} cannot be read (its folder holds {})", entry.title, entry.layout))
}

fn for_each(args: &Args, entries: &[(Entry, PathBuf)], progress: &Progress) -> anyhow::Result<()> {
    for (entry, folder) in entries {
        let benchmark = load(args, entry, folder)?;
        if let Some(path) = &args.write_queries {
            let variant = benchmark.variants.first().context("the benchmark has no queries")?;
            predictions::write_queries(path, &benchmark, variant)?;
            tell(&format!("`{}` is written", path.display()));
        }
        if let Some(training) = &args.leakage {
            let files = training_files(training)?;
            let found = leakage::leakage(&benchmark, &files, &|step| progress.show(step))?;
            print(&if args.json {
                format!("{}\n", serde_json::to_string_pretty(&found)?)
            } else {
                found.to_string()
            })?;
        }
    }
    Ok(())
}

/// The pictures that a training set holds: of a collection those of the training split, else all below the folder.
fn training_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let table = folder.join("pictures.parquet");
    let files: Vec<PathBuf> = if table.is_file() {
        let pictures = magiclens_data::read_pictures(&table)?;
        let trained = pictures
            .iter()
            .filter(|picture| picture.split == magiclens_data::Split::Train);
        trained.map(|picture| folder.join(&picture.path)).collect()
    } else {
        leakage::picture_files(folder)
    };
    ensure!(!files.is_empty(), "`{}` holds no training pictures", folder.display());
    Ok(files)
}

/// The systems that the command line names.
pub(crate) struct Models {
    models: Vec<(String, Embedder, Cache)>,
    methods: Vec<Method>,
}

impl Models {
    pub(crate) fn load(args: &Args) -> anyhow::Result<Self> {
        let paths = match (args.model.is_empty(), args.predictions.is_empty()) {
            (true, true) => vec![model_choice::resolve(None)?],
            _ => args.model.clone(),
        };
        let cache = args.cache.clone().map_or_else(default_cache, Ok)?;
        let models = paths.iter().map(|path| {
            let embedder = Embedder::load(path)?;
            let cache = Cache::open(&cache, embedder.model_id())?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, embedder, cache))
        });
        Ok(Self {
            models: models.collect::<anyhow::Result<_>>()?,
            methods: methods(args)?,
        })
    }

    pub(crate) fn contestants(&self, files: &[PathBuf]) -> Vec<Contestant<'_>> {
        let models = self.models.iter().flat_map(|(name, embedder, cache)| {
            self.methods.iter().map(move |method| Contestant::Model {
                name: match method {
                    Method::MagicLens => name.clone(),
                    other => format!("{name}, {other}"),
                },
                embedder,
                method,
                cache,
            })
        });
        let files = files.iter().map(|path| Contestant::Predictions {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.clone(),
        });
        models.chain(files).collect()
    }
}

/// The ways to ask; textual inversions come after those of `--method`.
fn methods(args: &Args) -> anyhow::Result<Vec<Method>> {
    let mut methods = args.method.clone();
    for path in &args.inversion {
        methods.push(Method::Inversion(Inversion::load(path)?));
    }
    if methods.is_empty() {
        methods.push(Method::MagicLens);
    }
    Ok(methods)
}

fn default_cache() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("there is no home folder for the cache\nhint: name a folder with `--cache DIR`")?;
    Ok(base.join("magiclens/eval"))
}

fn measure(
    args: &Args,
    entry: &Entry,
    folder: &Path,
    benchmark: Benchmark,
    models: &Models,
    progress: &Progress,
) -> anyhow::Result<Evaluated> {
    let options = EvaluateOptions {
        partial: args.partial,
        variants: args.variant.clone(),
        head: args.depth.max(server_files::TOP),
        failures: args.failures,
    };
    let names = Names {
        title: entry.title,
        split: args
            .split
            .as_deref()
            .or(entry.splits.first().copied())
            .unwrap_or_default(),
        template: args
            .template
            .as_deref()
            .or(entry.templates.first().copied())
            .unwrap_or_default(),
    };
    let contestants = models.contestants(&args.predictions);
    let evaluated = evaluate(benchmark, names, folder, &contestants, &options, &|step| {
        progress.show(step)
    });
    evaluated.with_context(|| format!("{} cannot be measured", entry.title))
}

/// Rankings and server files of the first system.
fn write_rankings(args: &Args, evaluated: &Evaluated) -> anyhow::Result<()> {
    let (Some(variant), Some(first)) = (evaluated.benchmark.variants.first(), evaluated.outcomes.first()) else {
        return Ok(());
    };
    let outcomes = &first[0];
    if let Some(path) = &args.write_predictions {
        predictions::write(path, &evaluated.benchmark, variant, outcomes)?;
        tell(&format!("`{}` is written", path.display()));
    }
    if let (Some(folder), Some(task), Some(outcome)) = (&args.submission, variant.tasks.first(), outcomes.first()) {
        let answers = server_files::answers_of_run(outcome);
        for path in server_files::write(folder, &evaluated.benchmark, task, &answers)? {
            tell(&format!("`{}` is written", path.display()));
        }
    }
    Ok(())
}

fn write_report(args: &Args, report: &Report) -> anyhow::Result<()> {
    let Some(folder) = &args.out else { return Ok(()) };
    fs_err::create_dir_all(folder)?;
    for (name, text) in [
        ("report.json", report.to_json()),
        ("report.md", report.to_markdown()),
        ("report.html", to_html(report)),
    ] {
        write_aside(folder, name, &text)?;
    }
    Ok(())
}

/// Writes a whole file or none.
pub(crate) fn write_aside(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let aside = folder.join(format!("{name}.partial"));
    fs_err::write(&aside, text)?;
    Ok(fs_err::rename(&aside, folder.join(name))?)
}

/// Verifies data folders; fails if one cannot give comparable figures.
fn check_all(args: &Args, folder: &Path, progress: &Progress) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for (entry, folder) in entries(&args.name, folder)? {
        let benchmark = load(args, &entry, &folder)?;
        found.push(check(&benchmark, &|step| progress.show(step)));
    }
    print(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&found)?)
    } else {
        found.iter().map(Check::to_string).collect()
    })?;
    let failed: Vec<&str> = found
        .iter()
        .filter(|check| !check.passes())
        .map(|check| check.benchmark.as_str())
        .collect();
    ensure!(
        failed.is_empty(),
        "these data cannot give comparable figures: {}",
        failed.join(", ")
    );
    Ok(())
}

/// Writes an answer to standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}
