//! `magiclens eval`: the public benchmarks, our own, and files of rankings.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use magiclens_eval::benchmark::Benchmark;
use magiclens_eval::benchmarks::{ALL, Entry, LoadOptions};
use magiclens_eval::cache::Cache;
use magiclens_eval::check::{Check, check};
use magiclens_eval::evaluate::{Contestant, EvaluateOptions, Evaluated, Names, evaluate};
use magiclens_eval::report::html::to_html;
use magiclens_eval::report::{BenchmarkReport, Report};
use magiclens_eval::system::{Inversion, Method};
use magiclens_eval::{leakage, peak_memory_bytes, predictions, server_files};
use magiclens_model::Embedder;

use crate::model_choice;
use crate::progress::{Progress, tell};

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
    /// Verify the data folder and stop: missing, broken and extra images, counts against the published ones
    #[arg(long, value_name = "DIR", conflicts_with_all = ["data", "model", "predictions"])]
    check: Option<PathBuf>,
    /// Weights; several are compared with the first [default: the small model]
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// How a query becomes a vector: magiclens, empty, image, text, sum, sum:WEIGHT; several are compared
    #[arg(long, value_name = "METHOD", value_parser = clap::value_parser!(Method))]
    method: Vec<Method>,
    /// Ask by textual inversion, with what `magiclens import inversion` wrote; name `--method magiclens` to compare with it
    #[arg(long, value_name = "FILE")]
    inversion: Vec<PathBuf>,
    /// Score a file of ranked ids, or several of one system with commas between; beside the weights only if those are
    /// named too
    #[arg(long, value_name = "FILE[,FILE]")]
    pub(crate) predictions: Vec<String>,
    /// Part of the data, such as `test` for CIRCO
    #[arg(long)]
    pub(crate) split: Option<String>,
    /// Wording of the query text, such as `megapairs`
    #[arg(long)]
    template: Option<String>,
    /// Variant of the protocol; all are reported if none is named
    #[arg(long)]
    variant: Vec<String>,
    /// Go on without images that cannot be used and queries that are not answered; the report says so
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
    /// Write the rankings of the first system as JSON lines
    #[arg(long, value_name = "FILE")]
    write_predictions: Option<PathBuf>,
    /// Ids of each ranking that are written [default: as many as the metrics look at, 200 where they look to the end]
    #[arg(long)]
    depth: Option<usize>,
    /// Write what a system has to rank (galleries and queries with ids, images, texts) as JSON lines, and stop
    #[arg(long, value_name = "FILE")]
    write_queries: Option<PathBuf>,
    /// Write the files for the servers of CIRCO (`--split test`) and CIRR (`--split test1`) into this folder
    #[arg(long, value_name = "DIR")]
    submission: Option<PathBuf>,
    /// Look for the benchmark's images in a training set, a folder of images or a collection, and stop
    #[arg(long, value_name = "DIR")]
    leakage: Option<PathBuf>,
}

/// Checks, scores or measures.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let progress = Progress::default();
    ensure!(
        args.name != "robustness" || args.check.is_none(),
        "robustness asks the collection of `own`\nhint: `magiclens eval own --check DIR` verifies it"
    );
    if let Some(folder) = &args.check {
        return check_all(args, folder, &progress);
    }
    let data = args.data.as_deref().context("`--data DIR` is needed")?;
    if args.name == "robustness" {
        return crate::robustness::run(args, data);
    }
    let entries = entries(&args.name, data)?;
    ensure!(
        args.name != "all" || !args.is_about_one(),
        "`--split`, `--template`, `--variant`, `--predictions`, `--submission` and `--write-..` are about one benchmark\nhint: name it \
         instead of `all`"
    );
    if args.write_queries.is_some() || args.leakage.is_some() {
        return for_each(args, &entries, &progress);
    }
    let models = Models::load(args)?;
    let mut report = Report {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        ..Report::default()
    };
    let mut failed = Vec::new();
    for (entry, folder) in &entries {
        match measure(args, entry, folder, &models, &progress) {
            Ok(Some(found)) => {
                report.benchmarks.push(found);
                // What is done is there, whatever happens to the next benchmark.
                report.peak_memory_bytes = peak_memory_bytes();
                write_report(args, &report)?;
            }
            Ok(None) => {}
            Err(error) if entries.len() == 1 => return Err(error),
            Err(error) => {
                tell(&format!("error: {error:#}"));
                failed.push(entry.title);
            }
        }
    }
    if !report.benchmarks.is_empty() {
        print(&if args.json {
            report.to_json()
        } else {
            report.to_markdown()
        })?;
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
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
        let folder = folder_of(&entry, data);
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

/// The folder of a benchmark below a common one, by its name, its title or its official folder, in letters of any case.
fn folder_of(entry: &Entry, data: &Path) -> Option<PathBuf> {
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
    let names = [entry.folder, entry.name, entry.title].map(plain);
    let mut folders: Vec<PathBuf> = std::fs::read_dir(data)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    folders.sort();
    folders.into_iter().find(|path| {
        let name = plain(&path.file_name().unwrap_or_default().to_string_lossy());
        path.is_dir() && names.contains(&name)
    })
}

fn load(args: &Args, entry: &Entry, folder: &Path) -> anyhow::Result<Benchmark> {
    let options = LoadOptions {
        split: args.split.clone(),
        template: args.template.clone(),
        only_rankings: !args.predictions.is_empty() && args.model.is_empty(),
    };
    let loaded = entry.load(folder, &options);
    loaded.with_context(|| format!("{} cannot be read (its folder holds {})", entry.title, entry.layout))
}

fn for_each(args: &Args, entries: &[(Entry, PathBuf)], progress: &Progress) -> anyhow::Result<()> {
    for (entry, folder) in entries {
        let benchmark = load(args, entry, folder)?;
        if let Some(path) = &args.write_queries {
            predictions::write_queries(path, &benchmark)?;
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

/// The images that a training set holds: of a collection those of the training split, else all below the folder.
fn training_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let table = folder.join("pictures.parquet");
    let files: Vec<PathBuf> = if table.is_file() {
        let images = magiclens_collection::read_training_images(&table)?;
        images.iter().map(|image| folder.join(&image.path)).collect()
    } else {
        leakage::image_files(folder)
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
        let mut models: Vec<(String, Embedder, Cache)> = models.collect::<anyhow::Result<_>>()?;
        let names: Vec<String> = models.iter().map(|(name, ..)| name.clone()).collect();
        for (name, embedder, _) in &mut models {
            if names.iter().filter(|other| *other == name).count() > 1 {
                *name = format!("{name} {}", &embedder.model_id()[..8]);
            }
        }
        Ok(Self {
            models,
            methods: methods(args)?,
        })
    }

    pub(crate) fn contestants(&self, files: &[String]) -> Vec<Contestant<'_>> {
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
        let files = files.iter().map(|files| {
            let paths: Vec<PathBuf> = files.split(',').map(PathBuf::from).collect();
            let names = paths
                .iter()
                .map(|path| path.file_name().unwrap_or_default().to_string_lossy());
            Contestant::Predictions {
                name: names.collect::<Vec<_>>().join(", "),
                paths,
            }
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

/// Measures one benchmark and writes its rankings; no report where the truth is hidden.
fn measure(
    args: &Args,
    entry: &Entry,
    folder: &Path,
    models: &Models,
    progress: &Progress,
) -> anyhow::Result<Option<BenchmarkReport>> {
    let benchmark = load(args, entry, folder)?;
    let hidden = benchmark.is_hidden();
    ensure!(
        !hidden || args.submission.is_some() || args.write_predictions.is_some(),
        "the truth of {} {} is hidden\nhint: `--submission DIR` writes the file for its server",
        entry.title,
        args.split.as_deref().unwrap_or_default()
    );
    let options = EvaluateOptions {
        partial: args.partial,
        variants: args.variant.clone(),
        head: args.depth.unwrap_or_else(|| deepest(&benchmark)).max(server_files::TOP),
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
    let evaluated = evaluated.with_context(|| format!("{} cannot be measured", entry.title))?;
    write_rankings(args, &evaluated)?;
    Ok((!hidden).then_some(evaluated.report))
}

/// How far the metrics look, and somewhat further, since variants take images out; 200 where they look to the end.
fn deepest(benchmark: &Benchmark) -> usize {
    let tasks = benchmark.variants.iter().flat_map(|variant| &variant.tasks);
    tasks
        .map(|task| task.depth().map_or(200, |depth| depth + 1))
        .max()
        .unwrap_or(0)
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
        let answers = server_files::answers_of(outcome);
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
    let entries = entries(&args.name, folder)?;
    let mut found = Vec::new();
    let mut failed = Vec::new();
    for (entry, folder) in &entries {
        match load(args, entry, folder) {
            Ok(benchmark) => {
                let checked = check(&benchmark, &|step| progress.show(step));
                if !checked.passes() {
                    failed.push(entry.title);
                }
                found.push(checked);
            }
            Err(error) if entries.len() == 1 => return Err(error),
            Err(error) => {
                tell(&format!("error: {error:#}"));
                failed.push(entry.title);
            }
        }
    }
    print(&if args.json {
        format!("{}\n", serde_json::to_string_pretty(&found)?)
    } else {
        found.iter().map(Check::to_string).collect()
    })?;
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
