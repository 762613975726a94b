//! `magiclens evaluate`: the recall report of a model on a collection's held-out concepts.

use std::path::PathBuf;

use anyhow::Context;
use magiclens_data::Split;
use magiclens_model::Embedder;
use magiclens_train::report::{Method, Report, TowerOutputs, report};

use crate::model_choice;
use crate::train::{bar, read_split};

/// Measure a model on the test split of a collection, beside its rivals
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Model to measure; without it, the one that comes with the program
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The collection, made by `magiclens collection build`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Another model to show beside it, as NAME=FILE; may be given again
    #[arg(long, value_name = "NAME=FILE", value_parser = parse_rival)]
    rival: Vec<(String, PathBuf)>,
    /// Measure on the dev split, for choosing among models
    #[arg(long)]
    dev: bool,
    /// Folder for the frozen features [default: `features` in the collection]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// One JSON object in the place of the table
    #[arg(long)]
    json: bool,
}

fn parse_rival(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=FILE")?;
    Ok((name.to_string(), PathBuf::from(path)))
}

/// Embeds gallery and queries, ranks, prints.
#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let own = measure(&args, &model_choice::resolve(args.model.as_deref())?, &Method::ALL)?;
    let rivals = args
        .rival
        .iter()
        .map(|(name, path)| Ok((name.as_str(), measure(&args, path, &[Method::MagicLens])?)))
        .collect::<anyhow::Result<Vec<(&str, Report)>>>()?;
    if args.json {
        let rivals: serde_json::Map<String, serde_json::Value> = rivals
            .iter()
            .map(|(name, report)| Ok((name.to_string(), serde_json::to_value(report)?)))
            .collect::<anyhow::Result<_>>()?;
        println!("{}", serde_json::json!({ "model": own, "rivals": rivals }));
        return Ok(());
    }
    let rivals: Vec<(&str, &Report)> = rivals.iter().map(|(name, report)| (*name, report)).collect();
    println!(
        "gallery: {} pictures; figures in %, ± half the 95 % interval\n",
        own.gallery
    );
    print!("{}", own.to_markdown(&rivals));
    Ok(())
}

fn measure(args: &Args, model: &std::path::Path, methods: &[Method]) -> anyhow::Result<Report> {
    let embedder = Embedder::load(model)?;
    let (gallery, triplets) = read_split(&args.data, if args.dev { Split::Dev } else { Split::Test })?;
    let cache = args.cache.clone().unwrap_or_else(|| args.data.join("features"));
    let bar = bar(gallery.len(), "gallery pictures");
    let outputs = TowerOutputs::compute(&embedder, &args.data, &gallery, &triplets, &cache, &|count| {
        bar.inc(count as u64)
    })
    .with_context(|| format!("cannot measure `{}`", model.display()))?;
    bar.finish_and_clear();
    Ok(report(&embedder, &gallery, &triplets, &outputs, methods)?)
}
