//! `magiclens model`: what a checkpoint is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use magiclens_model::checkpoint::Checkpoint;
use serde_json::json;

/// Look into a checkpoint
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Sizes, parameters, tower files and identity of a checkpoint
    Info {
        /// The checkpoint
        file: PathBuf,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Reads the checkpoint whole and prints what it is.
#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let What::Info { file, json } = args.what;
    let checkpoint = Checkpoint::read(&file)?;
    let mut parts: BTreeMap<String, usize> = BTreeMap::new();
    for (name, weights) in &checkpoint.tensors {
        *parts
            .entry(name.split('.').next().unwrap_or(name).to_string())
            .or_default() += weights.values.len();
    }
    let parameters: usize = parts.values().sum();
    let tensors = checkpoint.tensors.len();
    let (config, id, towers) = (
        checkpoint.config.clone(),
        checkpoint.digest.clone(),
        checkpoint.towers.clone(),
    );
    checkpoint.into_model(&Default::default())?;
    if json {
        let value = json!({ "model_id": id, "config": config, "tensors": tensors, "parameters": parameters, "parts": parts, "towers": towers });
        println!("{value}");
        return Ok(());
    }
    println!(
        "{}, embeddings of {} numbers, {parameters} parameters in {tensors} tensors",
        config.name, config.dim
    );
    for (part, count) in parts {
        println!("  {part:<12} {count:>12}");
    }
    for tower in towers {
        println!("  with `{}`", tower.file);
    }
    println!("model id {id}");
    println!("{}", serde_json::to_string_pretty(&config)?);
    Ok(())
}
