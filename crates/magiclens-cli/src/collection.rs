//! `magiclens collection build`: images with labels, and triplets, out of fetched packages.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Subcommand;
use indicatif::ProgressBar;
use magiclens_collection::{BuildConfig, Progress, Report, build};

use crate::progress::bar;

/// Make a collection: images with labels, and triplets for training and tests
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Build(BuildArgs),
}

/// Build a collection out of the packages that `scripts/fetch-packages` brought
///
/// A second run does only what is missing.
#[derive(clap::Args, Debug)]
struct BuildArgs {
    /// Folder that `scripts/fetch-packages` filled
    #[arg(long, value_name = "DIR")]
    packages: PathBuf,
    /// Folder of the collection; made if it does not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Width and height of rendered drawings, in pixels
    #[arg(long, value_name = "N", default_value_t = 256)]
    size_px: u32,
    /// Seed of the choice of triplets and wordings
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Take flags too, which are many and all alike
    #[arg(long)]
    flags: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `magiclens collection`.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let Command::Build(args) = args.command;
    let config = BuildConfig {
        image_size_px: args.size_px,
        include_flags: args.flags,
        seed: args.seed,
        ..BuildConfig::new(&args.packages, &args.out)
    };
    let start = Instant::now();
    let bar = bar(0, "packages");
    let report = build(&config, &|progress| show(&bar, progress))?;
    bar.finish_and_clear();
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        summarize(&mut out, &report, start.elapsed())?;
        writeln!(out, "written to `{}`, details in its `report.json`", args.out.display())?;
    }
    Ok(())
}

fn show(bar: &ProgressBar, progress: Progress<'_>) {
    match progress {
        Progress::Reading(package) => bar.set_message(format!("reading {package}")),
        Progress::Images { done, total } => {
            if done == 1 {
                bar.set_message("images rendered");
                bar.set_length(total as u64);
            }
            bar.set_position(done as u64);
        }
        Progress::Triplets(split) => bar.set_message(format!("making triplets for {split}")),
        Progress::Unchanged => bar.set_message("nothing has changed"),
    }
}

fn summarize(out: &mut impl Write, report: &Report, elapsed: Duration) -> std::io::Result<()> {
    writeln!(out, "{} images in {:.0} s", report.images, elapsed.as_secs_f64())?;
    writeln!(out, "  by kind: {}", counts(&report.kinds))?;
    writeln!(out, "  by style: {}", counts(&report.styles))?;
    writeln!(out, "  by split: {}", counts(&report.splits))?;
    writeln!(
        out,
        "  merged with an identical one: {}",
        report.merged + report.merged_across_styles
    )?;
    for (split, relations) in &report.triplets {
        writeln!(out, "triplets of {split}: {}", counts(relations))?;
    }
    if report.food_images > 0 {
        writeln!(
            out,
            "food: {} photographs, {} queries, for evaluation only",
            report.food_images, report.food_triplets
        )?;
    }
    for missing in &report.missing {
        writeln!(out, "missing: `{}`: {}", missing.package, missing.reason)?;
    }
    if !report.failed.is_empty() {
        writeln!(out, "could not be rendered: {}", report.failed.len())?;
    }
    Ok(())
}

fn counts(counts: &BTreeMap<String, usize>) -> String {
    counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}
