//! `magiclens mine`: web pages to triplets.

use std::io::{BufRead, Write};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use magiclens_data::files::write_atomic_bytes;
use magiclens_hub::ModelName;
use magiclens_mine::collect::collect;
use magiclens_mine::report::{self, ReportConfig};
use magiclens_mine::{MineConfig, Run, Step, Task, Tools};

use crate::model_choice;
use crate::progress::{bar, tell};

/// Mine triplets from web pages: images that share a page, and what leads from one to the other
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Run(RunArgs),
    Plan(PlanArgs),
    Steps(StepsArgs),
    Shard(ShardArgs),
    Retry(PlaceArgs),
    Report(ReportArgs),
    Collect(CollectArgs),
}

/// Do everything on this machine; goes on where it was cut off
#[derive(clap::Args, Debug)]
struct RunArgs {
    #[command(flatten)]
    plan: PlanArgs,
    #[command(flatten)]
    tools: ToolArgs,
}

/// Begin a run: cut the input into shards and fix the configuration
#[derive(clap::Args, Debug)]
struct PlanArgs {
    /// Place of the run: a folder, or s3://bucket/prefix, gs://bucket/prefix, az://container/prefix
    #[arg(value_name = "RUN")]
    run: String,
    /// WARC, WAT and Parquet files, or folders of them or of saved pages
    #[arg(long, value_name = "PATH", num_args = 1..)]
    input: Vec<PathBuf>,
    /// Settings, TOML; see `configs/mine.toml` [default: the defaults]
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
}

/// Print the steps of a run and their tasks, one JSON line each
#[derive(clap::Args, Debug)]
struct StepsArgs {
    /// Place of the run
    #[arg(value_name = "RUN")]
    run: String,
}

/// Do single tasks of a step and publish their results: what a cluster's engine calls
#[derive(clap::Args, Debug)]
struct ShardArgs {
    /// Place of the run
    #[arg(value_name = "RUN")]
    run: String,
    /// Read tasks from standard input, one JSON line each: {"step":"pages","task":3}
    #[arg(value_name = "-", value_parser = ["-"], conflicts_with_all = ["step", "task"])]
    lines: Option<String>,
    /// The step
    #[arg(long, value_name = "NAME", requires = "task")]
    step: Option<Step>,
    /// The task's number, from 0
    #[arg(long, value_name = "N", requires = "step")]
    task: Option<usize>,
    #[command(flatten)]
    tools: ToolArgs,
}

/// Fetch again what failed and may come now, and do again what depends on it at the next `run`
#[derive(clap::Args, Debug)]
struct PlaceArgs {
    /// Place of the run
    #[arg(value_name = "RUN")]
    run: String,
}

/// Write what a run did as a page, as JSON and as Markdown: funnel, reasons, words, samples with images
#[derive(clap::Args, Debug)]
struct ReportArgs {
    /// Place of the run
    #[arg(value_name = "RUN")]
    run: String,
    /// Folder for `report.html`, `report.json` and `report.md` [default: `report` in the run, if it is a folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Triplets shown with their images
    #[arg(long, value_name = "N", default_value_t = 100)]
    samples: usize,
    /// Seed of the choice of samples
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Write triplets and images of a finished run as a collection, which `train` and `index` read
#[derive(clap::Args, Debug)]
struct CollectArgs {
    /// Place of the run
    #[arg(value_name = "RUN")]
    run: String,
    /// Folder of the collection; made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(clap::Args, Debug)]
struct ToolArgs {
    /// Model of the encoders that name none: `small`, a file or folder, or `OWNER/NAME[@REVISION]` of the hub
    /// [default: $MAGICLENS_MODEL, else `small`]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Folder for replies of language models, so that none is paid for twice [default: `replies` in the run, if it is a folder]
    #[arg(long, value_name = "DIR")]
    replies: Option<PathBuf>,
}

/// Runs `magiclens mine`.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Run(args) => run_all(&args),
        Command::Plan(args) => plan(&args).map(drop),
        Command::Steps(args) => print_steps(&Run::open(&args.run)?),
        Command::Shard(args) => shard(&args),
        Command::Retry(args) => retry(&args),
        Command::Report(args) => write_report(&args),
        Command::Collect(args) => write_collection(&args),
    }
}

fn plan(args: &PlanArgs) -> anyhow::Result<Run> {
    if args.input.is_empty() {
        ensure!(
            args.config.is_none(),
            "`--config` is given, but no `--input`\nhint: a run's configuration is fixed when it begins; leave `--config` out to go on"
        );
        return Run::open(&args.run);
    }
    let config = args
        .config
        .as_deref()
        .map(MineConfig::read)
        .transpose()?
        .unwrap_or_default();
    let run = Run::create(&args.run, &config, &args.input)?;
    tell(&format!("`{}`: {} shards", args.run, run.entries().len()));
    Ok(run)
}

fn run_all(args: &RunArgs) -> anyhow::Result<()> {
    let run = plan(&args.plan)?;
    let tools = tools(&run, &args.tools)?;
    run.clean_leftovers()?;
    let mut done = Vec::new();
    // Later steps may only know their number of tasks when the earlier ones are done.
    while let Some(plan) = run.steps()?.into_iter().find(|plan| !done.contains(&plan.step)) {
        let bar = bar(plan.tasks, plan.step.name());
        for task in 0..plan.tasks {
            run.run_task(Task { step: plan.step, task }, &tools)?;
            bar.inc(1);
        }
        bar.finish();
        done.push(plan.step);
    }
    let triplets: u64 = run
        .results(Step::TRIPLETS)?
        .iter()
        .filter_map(|(counts, _)| counts.numbers.get("triplets"))
        .sum();
    tell(&format!(
        "{triplets} triplets in `{0}/triplets`\nhint: `magiclens mine report {0}` shows what was kept and what was dropped, and why",
        args.plan.run
    ));
    Ok(())
}

fn tools(run: &Run, args: &ToolArgs) -> anyhow::Result<Tools> {
    if let Some(threads) = args.threads {
        ensure!(threads > 0, "`--threads` must be at least 1");
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .context("the threads cannot be started")?;
    }
    let model = model_choice::locate(args.model.as_ref())?.path;
    let replies = args
        .replies
        .clone()
        .or_else(|| run.store().folder().map(|folder| folder.join("replies")));
    Ok(Tools::new(model, replies).with_locate(|name| {
        let name = name.to_string_lossy().parse()?;
        Ok(model_choice::locate(Some(&name))?.path)
    }))
}

fn print_steps(run: &Run) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for plan in run.steps()? {
        writeln!(out, "{}", serde_json::to_string(&plan)?)?;
    }
    Ok(())
}

fn shard(args: &ShardArgs) -> anyhow::Result<()> {
    let run = Run::open(&args.run)?;
    let tools = tools(&run, &args.tools)?;
    let mut out = std::io::stdout().lock();
    let mut one = |task: Task| -> anyhow::Result<()> {
        run.run_task(task, &tools)?;
        writeln!(out, "{}", serde_json::to_string(&task)?)?;
        Ok(out.flush()?)
    };
    match (args.step, args.task, &args.lines) {
        (Some(step), Some(task), None) => one(Task { step, task }),
        (None, None, Some(_)) => {
            for line in std::io::stdin().lock().lines() {
                let line = line?;
                if line.trim().is_empty() {
                    continue;
                }
                let task = serde_json::from_str(&line).with_context(|| format!("`{line}` is no task"))?;
                one(task)?;
            }
            Ok(())
        }
        _ => bail!("no task is named\nhint: give `--step NAME --task N`, or `-` and lines on standard input"),
    }
}

fn retry(args: &PlaceArgs) -> anyhow::Result<()> {
    let tasks = Run::open(&args.run)?.retry_failed()?;
    tell(&match tasks {
        0 => "nothing failed that may come now".to_owned(),
        tasks => format!(
            "{tasks} shards will ask again\nhint: `magiclens mine run {}` does it",
            args.run
        ),
    });
    Ok(())
}

fn write_report(args: &ReportArgs) -> anyhow::Result<()> {
    let run = Run::open(&args.run)?;
    let out = match (&args.out, run.store().folder()) {
        (Some(out), _) => out.clone(),
        (None, Some(folder)) => folder.join("report"),
        (None, None) => bail!("the run is in an object store\nhint: name a folder for the report with `--out`"),
    };
    let config = ReportConfig {
        samples: args.samples,
        seed: args.seed,
    };
    let (report, thumbnails) = report::of_run(&run, config)?;
    fs_err::create_dir_all(&out)?;
    let write = |name: &str, text: String| write_atomic_bytes(out.join(name), text);
    write("report.json", report.to_json())?;
    let document = report.document(&thumbnails);
    write("report.md", document.to_markdown())?;
    write("report.html", document.to_html())?;
    tell(&format!("wrote `{}`", out.join("report.html").display()));
    Ok(())
}

fn write_collection(args: &CollectArgs) -> anyhow::Result<()> {
    let collected = collect(&Run::open(&args.run)?, &args.out)?;
    tell(&format!(
        "{} triplets and {} images in `{}`",
        collected.triplets,
        collected.images,
        args.out.display()
    ));
    Ok(())
}
