//! `magiclens compare`: the blinded comparison of two systems by people.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::ProgressBar;
use magiclens_compare::{
    AppState, Host, Judgments, MAX_FAILED_CHECKS, Method, Preparation, Settings, Study, StudyReport, SystemSource,
    read_judgments, router, to_csv,
};
use magiclens_data::files::write_atomic_bytes;
use magiclens_http::{listen, serve_until_stopped};
use magiclens_hub::ModelName;
use magiclens_search::{LoadedModel, Models};

use crate::index::bring_up_to_date;
use crate::model_choice;
use crate::progress::bar;
use crate::serve::open_browser;

/// Let people compare two systems side by side, blinded, and count their judgments
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// First system: a folder made by `magiclens index`, or a model by name or file
    #[arg(long, value_name = "INDEX|MODEL", required_unless_present_any = ["resume", "export"])]
    a: Option<PathBuf>,

    /// Second system: a folder made by `magiclens index`, or a model by name or file
    #[arg(long, value_name = "INDEX|MODEL", required_unless_present_any = ["resume", "export"])]
    b: Option<PathBuf>,

    /// Queries, one JSON object a line: image, instruction, intent; see docs/comparison.md
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "export"])]
    queries: Option<PathBuf>,

    /// Parts of a query that the first system uses: image+text, image or text
    #[arg(long, value_name = "METHOD", default_value = "image+text", value_parser = method)]
    a_method: Method,

    /// Parts of a query that the second system uses: image+text, image or text
    #[arg(long, value_name = "METHOD", default_value = "image+text", value_parser = method)]
    b_method: Method,

    /// Name of the first system in the report [default: its file name]; raters never see it
    #[arg(long, value_name = "NAME")]
    a_name: Option<String>,

    /// Name of the second system in the report [default: its file name]; raters never see it
    #[arg(long, value_name = "NAME")]
    b_name: Option<String>,

    /// Folder of the images to search among, where `--a` or `--b` names a model; indexed into the study folder
    #[arg(long, alias = "pictures", value_name = "DIR")]
    images: Option<PathBuf>,

    /// Models that an index of `--a` or `--b` may have been made with, where it does not say; may be repeated
    #[arg(long, value_name = "NAME")]
    weights: Vec<ModelName>,

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

    /// Question to raters
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

    /// With `--export`: also write the report as one HTML page
    #[arg(long, value_name = "FILE", requires = "export")]
    html: Option<PathBuf>,

    /// Raters who fail a larger share of their checks do not count in a second table
    #[arg(long, value_name = "SHARE", default_value_t = MAX_FAILED_CHECKS, value_parser = share)]
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

/// Finds or makes the study. Gives its folder.
fn prepare(args: &Args) -> anyhow::Result<PathBuf> {
    let missing = "the arguments are checked when they are parsed";
    let source = |path: &Option<PathBuf>, method, name: &Option<String>| -> anyhow::Result<SystemSource> {
        let (path, name) = (path.clone().context(missing)?, name.clone());
        // An index, a file, or something missing, which is told by that name; else a model by its name.
        match path.to_string_lossy().parse::<ModelName>() {
            Ok(ModelName::Path(_)) | Err(_) => Ok(SystemSource { path, method, name }),
            Ok(model) => {
                let path = model_choice::locate(Some(&model))?.path;
                let name = name.or_else(|| Some(model.short()));
                Ok(SystemSource { path, method, name })
            }
        }
    };
    let preparation = Preparation {
        systems: [
            source(&args.a, args.a_method, &args.a_name)?,
            source(&args.b, args.b_method, &args.b_name)?,
        ],
        queries: args.queries.clone().context(missing)?,
        images: args.images.clone(),
        out: args.out.clone(),
        k: usize::from(args.k),
        seed: args.seed,
        checks: args.checks,
        question: args.question.clone(),
        allow_different_galleries: args.allow_different_galleries,
    };
    let host = Program {
        args,
        bar: RefCell::new(None),
    };
    Ok(preparation.run(&host)?)
}

/// The models and the progress bars of a preparation.
struct Program<'a> {
    args: &'a Args,
    bar: RefCell<Option<ProgressBar>>,
}

impl Host for Program<'_> {
    type Model = LoadedModel;

    fn load(&self, weights: &Path) -> anyhow::Result<LoadedModel> {
        model_choice::load(Some(&weights.to_string_lossy().parse()?))
    }

    fn known_weights(&self) -> Vec<PathBuf> {
        self.args
            .weights
            .iter()
            .cloned()
            .chain(Models::default_name())
            .map(|name| PathBuf::from(name.to_string()))
            .collect()
    }

    fn index(&self, index: &Path, images: &Path, model: &LoadedModel) -> anyhow::Result<()> {
        bring_up_to_date(index, images, model)
    }

    fn ranked(&self, done: usize, total: usize) {
        let mut current = self.bar.borrow_mut();
        current
            .get_or_insert_with(|| bar(total, "queries ranked"))
            .set_position(done as u64);
        if done == total {
            current.take().iter().for_each(ProgressBar::finish_and_clear);
        }
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
        let report = report(args, &Study::open(dir)?, &judgments);
        write!(std::io::stdout().lock(), "\n{}", report.document().to_markdown())?;
    }
    Ok(())
}

fn export(args: &Args, dir: &Path) -> anyhow::Result<()> {
    let study = Study::open(dir)?;
    let judgments = read_judgments(dir, &study)?;
    let report = report(args, &study, &judgments);
    let document = report.document();
    if let Some(path) = &args.json {
        write_atomic_bytes(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(path) = &args.csv {
        write_atomic_bytes(path, to_csv(&study, &judgments))?;
    }
    if let Some(path) = &args.html {
        write_atomic_bytes(path, document.to_html())?;
    }
    Ok(write!(std::io::stdout().lock(), "{}", document.to_markdown())?)
}

fn report(args: &Args, study: &Study, judgments: &Judgments) -> StudyReport {
    let [a, b] = study.names.clone();
    let names = [args.a_name.clone().unwrap_or(a), args.b_name.clone().unwrap_or(b)];
    StudyReport::new(study, names, judgments, args.max_failed_checks)
}

#[expect(clippy::print_stdout, reason = "the address is this command's answer")]
fn announce(url: &str, dir: &Path) {
    println!("the comparison is at {url} (Ctrl-C stops it; raters may come back)");
    println!("judgments are kept in `{}`", dir.display());
}

fn method(text: &str) -> Result<Method, String> {
    let found = Method::ALL.into_iter().find(|method| method.name() == text);
    found.ok_or_else(|| format!("it is one of {}", Method::ALL.map(Method::name).join(", ")))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it is a number from 0 to 1".to_owned())
}
