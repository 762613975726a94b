//! `magiclens compare`: two systems before the eyes of people, blinded.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use magiclens_compare::{
    AppState, Draft, Method, QueryFile, Report, ReportOptions, Settings, Side, Study, System, check_galleries,
    read_judgments, router, to_csv, to_markdown,
};
use magiclens_data::ImageId;
use magiclens_http::{listen, serve_until_stopped};
use magiclens_index::Index;
use magiclens_model::Embedder;
use magiclens_model::checkpoint::Checkpoint;

use crate::index::bring_up_to_date;
use crate::model_choice;
use crate::progress::bar;
use crate::serve::open_browser;

/// Queries for each automatic check.
const QUERIES_A_CHECK: usize = 12;

/// Let people compare two systems side by side, blinded, and count what they say
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// First system: a folder made by `magiclens index`, or weights
    #[arg(long, value_name = "INDEX|WEIGHTS", required_unless_present_any = ["resume", "export"])]
    a: Option<PathBuf>,

    /// Second system: a folder made by `magiclens index`, or weights
    #[arg(long, value_name = "INDEX|WEIGHTS", required_unless_present_any = ["resume", "export"])]
    b: Option<PathBuf>,

    /// Queries, one JSON object a line: image, instruction, intent; see docs/comparison.md
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "export"])]
    queries: Option<PathBuf>,

    /// What a query of the first system is made of: image+text, image or text
    #[arg(long, value_name = "METHOD", default_value = "image+text", value_parser = method)]
    a_method: Method,

    /// What a query of the second system is made of: image+text, image or text
    #[arg(long, value_name = "METHOD", default_value = "image+text", value_parser = method)]
    b_method: Method,

    /// Name of the first system in the report [default: its file name]; raters never see it
    #[arg(long, value_name = "NAME")]
    a_name: Option<String>,

    /// Name of the second system in the report [default: its file name]; raters never see it
    #[arg(long, value_name = "NAME")]
    b_name: Option<String>,

    /// Folder of the images to search among, where `--a` or `--b` names weights; indexed into the study folder
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,

    /// Weights that an index of `--a` or `--b` may have been made with, besides the small model; may be repeated
    #[arg(long, value_name = "FILE")]
    weights: Vec<PathBuf>,

    /// Study folder [default: beside the query file, `NAME.study`]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Length of the rankings
    #[arg(short = 'k', value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    k: u16,

    /// Decides order, sides and automatic checks
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// Attention checks made of a ranking and random images [default: none if the query file has checks, else one for
    /// each 12 queries]
    #[arg(long, value_name = "N")]
    checks: Option<usize>,

    /// What raters are asked
    #[arg(long, value_name = "TEXT", default_value = Settings::QUESTION)]
    question: String,

    /// Compare systems that search among different images
    #[arg(long)]
    allow_different_galleries: bool,

    /// Show a finished study to raters again, without models or indexes
    #[arg(long, value_name = "STUDY", conflicts_with_all = ["a", "b", "queries", "out", "export"])]
    resume: Option<PathBuf>,

    /// Port to listen on, on 127.0.0.1; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Open the page in the browser
    #[arg(long)]
    open: bool,

    /// Print the report of a study instead of showing it to raters
    #[arg(long, visible_alias = "report", value_name = "STUDY", conflicts_with_all = ["a", "b", "queries", "out"])]
    export: Option<PathBuf>,

    /// With `--export`: also write the report as JSON
    #[arg(long, value_name = "FILE", requires = "export")]
    json: Option<PathBuf>,

    /// With `--export`: also write every judgment as CSV
    #[arg(long, value_name = "FILE", requires = "export")]
    csv: Option<PathBuf>,

    /// Raters who fail a larger share of their checks are left out of a second table
    #[arg(long, value_name = "SHARE", default_value_t = ReportOptions::default().max_failed_checks, value_parser = share)]
    max_failed_checks: f64,
}

/// Serves until Ctrl-C or SIGTERM and prints the report then; or prints it at once.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match (&args.export, &args.resume) {
        (Some(dir), _) => export(args, dir),
        (None, Some(dir)) => serve(args, dir),
        (None, None) => serve(args, &prepare(args)?),
    }
}

/// Brings the study up: both galleries, both systems' rankings, images. Gives its folder.
fn prepare(args: &Args) -> anyhow::Result<PathBuf> {
    let missing = "the arguments are checked when they are parsed";
    let path = args.queries.as_deref().context(missing)?;
    let queries = QueryFile::read(path)?;
    let dir = args.out.clone().unwrap_or_else(|| path.with_extension("study"));
    let a = Candidate::open(args, args.a.as_deref().context(missing)?, args.a_method, &dir)?;
    let b = Candidate::open(args, args.b.as_deref().context(missing)?, args.b_method, &dir)?;
    let settings = Settings {
        queries: queries.digest,
        a: System::of(&a.index, a.method)?,
        b: System::of(&b.index, b.method)?,
        k: usize::from(args.k),
        seed: args.seed,
        automatic_checks: args.checks.unwrap_or_else(|| default_checks(&queries)),
        question: args.question.trim().to_owned(),
    };
    settings.check_systems()?;
    if !args.allow_different_galleries {
        check_galleries(&a.index, &b.index)?;
    }
    match Study::open_for(&dir, &settings)? {
        Some(mut study) => {
            let names = names(args, &study.names);
            if names != study.names {
                study.names = names;
                study.write(&dir)?;
            }
        }
        None => make(args, &dir, settings, &queries, &[a, b])?,
    }
    Ok(dir)
}

fn make(
    args: &Args,
    dir: &Path,
    settings: Settings,
    queries: &QueryFile,
    candidates: &[Candidate; 2],
) -> anyhow::Result<()> {
    let mut draft = Draft::open(dir, settings)?;
    // The two systems may share one model.
    let mut loaded: Option<Embedder> = None;
    for (side, candidate) in [Side::A, Side::B].into_iter().zip(candidates) {
        let missing = draft.missing(side, queries);
        if missing == 0 {
            continue;
        }
        let wanted = &candidate.index.stamp().model_id;
        let embedder = match loaded.take().filter(|embedder| embedder.model_id() == wanted) {
            Some(embedder) => embedder,
            None => candidate.load(args)?,
        };
        let bar = bar(missing, "queries ranked");
        draft.rank(side, &candidate.index, &embedder, queries, |done| bar.inc(done as u64))?;
        bar.finish_and_clear();
        loaded = Some(embedder);
    }
    let [a, b] = candidates;
    draft.finish(queries, [&a.index, &b.index], names(args, &default_names(a, b)))?;
    Ok(())
}

/// A system as the command line names it.
struct Candidate {
    path: PathBuf,
    index: Index,
    /// Known if the command line names weights; else they are looked for when they are needed.
    weights: Option<PathBuf>,
    method: Method,
}

impl Candidate {
    fn open(args: &Args, path: &Path, method: Method, study: &Path) -> anyhow::Result<Self> {
        let (index, weights) = match path.is_dir() {
            true => (path.to_owned(), None),
            false => (index_for(args, path, study)?, Some(path.to_owned())),
        };
        Ok(Self {
            path: path.to_owned(),
            index: Index::open(&index)?,
            weights,
            method,
        })
    }

    fn load(&self, args: &Args) -> anyhow::Result<Embedder> {
        match &self.weights {
            Some(path) => model_choice::load(Some(path)),
            None => model_choice::load(Some(&self.find_weights(args)?)),
        }
    }

    /// The weights whose model made the index.
    fn find_weights(&self, args: &Args) -> anyhow::Result<PathBuf> {
        let mut tried = Vec::new();
        for path in args.weights.iter().cloned().chain(model_choice::resolve(None)) {
            if digest(&path)? == self.index.stamp().model_id {
                return Ok(path);
            }
            tried.push(format!("`{}`", path.display()));
        }
        bail!(
            "the index `{}` was made with the model {}, which is none of {}\nhint: name its weights with `--weights FILE`",
            self.path.display(),
            self.index.stamp(),
            tried.join(", ")
        )
    }

    fn name(&self) -> String {
        let name = if self.weights.is_some() {
            self.path.file_stem()
        } else {
            self.path.file_name()
        };
        name.map_or("index".to_owned(), |name| name.to_string_lossy().into_owned())
    }
}

/// Indexes the images for these weights into the study folder: a folder for each model and each set of images.
fn index_for(args: &Args, weights: &Path, study: &Path) -> anyhow::Result<PathBuf> {
    if !weights.exists() {
        bail!(
            "`{}` does not exist\nhint: name a folder made by `magiclens index`, or weights",
            weights.display()
        );
    }
    let Some(images) = &args.images else {
        bail!(
            "`{}` is no index but weights, and there are no pictures to search among\n\
             hint: name their folder with `--pictures DIR`, or give an index instead",
            weights.display()
        );
    };
    let images = images
        .canonicalize()
        .with_context(|| format!("cannot read `{}`", images.display()))?;
    let name = [digest(weights)?, images.to_string_lossy().into_owned()].join("\n");
    let index = study.join(format!("index-{}", ImageId::of_bytes(name.as_bytes())));
    bring_up_to_date(&index, &images, &model_choice::load(Some(weights))?)?;
    Ok(index)
}

fn digest(weights: &Path) -> anyhow::Result<String> {
    let checkpoint =
        Checkpoint::read(weights).with_context(|| format!("cannot load the model `{}`", weights.display()));
    Ok(checkpoint?.digest)
}

/// File names; with the method, or else the letter, where those are the same.
fn default_names(a: &Candidate, b: &Candidate) -> [String; 2] {
    let names = [a, b].map(Candidate::name);
    match names[0] == names[1] {
        false => names,
        true if a.method != b.method => [a, b].map(|one| format!("{} ({})", one.name(), one.method.name())),
        true => [format!("{} A", names[0]), format!("{} B", names[1])],
    }
}

/// The names that were asked for, else those.
fn names(args: &Args, otherwise: &[String; 2]) -> [String; 2] {
    let [a, b] = otherwise.clone();
    [args.a_name.clone().unwrap_or(a), args.b_name.clone().unwrap_or(b)]
}

fn default_checks(queries: &QueryFile) -> usize {
    match queries.checks.is_empty() {
        true => queries.queries.len().div_ceil(QUERIES_A_CHECK),
        false => 0,
    }
}

fn serve(args: &Args, dir: &Path) -> anyhow::Result<()> {
    let state = AppState::open(dir)?;
    let runtime = tokio::runtime::Runtime::new().context("no threads for the server")?;
    runtime.block_on(async {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port))).await?;
        serve_until_stopped(listener, router(state.clone()), |url| {
            announce(url, dir);
            if args.open {
                open_browser(url);
            }
        })
        .await
    })?;
    let judgments = state.judgments();
    if judgments.values().any(|judged| !judged.is_empty()) {
        let study = Study::open(dir)?;
        let report = Report::new(&study, names(args, &study.names), &judgments, options(args));
        write!(std::io::stdout().lock(), "\n{}", to_markdown(&report))?;
    }
    Ok(())
}

fn export(args: &Args, dir: &Path) -> anyhow::Result<()> {
    let study = Study::open(dir)?;
    let judgments = read_judgments(dir, &study)?;
    let report = Report::new(&study, names(args, &study.names), &judgments, options(args));
    if let Some(path) = &args.json {
        fs_err::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(path) = &args.csv {
        fs_err::write(path, to_csv(&study, &judgments))?;
    }
    Ok(write!(std::io::stdout().lock(), "{}", to_markdown(&report))?)
}

fn options(args: &Args) -> ReportOptions {
    ReportOptions {
        max_failed_checks: args.max_failed_checks,
    }
}

#[expect(clippy::print_stdout, reason = "the address is this command's answer")]
fn announce(url: &str, dir: &Path) {
    println!("the comparison is at {url} (Ctrl-C stops it; raters may come back)");
    println!("judgements are kept in `{}`", dir.display());
}

fn method(text: &str) -> Result<Method, String> {
    let found = Method::ALL.into_iter().find(|method| method.name() == text);
    found.ok_or_else(|| format!("it is one of {}", Method::ALL.map(Method::name).join(", ")))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it is a number from 0 to 1".to_owned())
}
