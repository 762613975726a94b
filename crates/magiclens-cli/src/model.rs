//! `magiclens model`: the models there are, on this machine and by name.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use indicatif::HumanBytes;
use magiclens_hub::{Entry, Hub, ModelName, Published, PublishedFile, catalog};
use magiclens_model::ModelConfig;
use magiclens_model::checkpoint::{Checkpoint, StoredFloat};
use magiclens_model::export::export_towers;
use magiclens_model::import::open::open_model;
use magiclens_search::{ModelSource, Models};
use serde_json::{Value, json};

use crate::model_choice::{self, Downloads};
use crate::progress::tell;

/// List models, fetch them, look into them, remove them
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Models worth knowing and models on this machine: size, dimension, license, strength
    List {
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model, or what has changed of it; goes on where it was cut off
    Pull {
        /// `magiclens-base`, or `OWNER/NAME[@REVISION]` of the hub
        name: ModelName,
    },
    /// Sizes, parameters, tower files, identity and published strength of a model
    Info {
        /// `small`, a file or folder, `magiclens-base`, or `OWNER/NAME[@REVISION]` of the hub
        name: ModelName,
        /// As one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Write the CLIP towers of a model as a folder that transformers and sentence-transformers open
    Export {
        /// `magiclens-base`, a file or folder, or `OWNER/NAME[@REVISION]` of the hub
        name: ModelName,
        /// Folder to write
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Store 2 bytes a number instead of 4
        #[arg(long)]
        f16: bool,
    },
    /// Remove a downloaded model: one revision if the name has one, else all
    Rm {
        /// `magiclens-base`, or `OWNER/NAME[@REVISION]` of the hub
        name: ModelName,
    },
}

/// Runs `magiclens model`.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::List { json } => list(json),
        What::Pull { name } => pull(&name),
        What::Info { name, json } => info(&name, json),
        What::Export { name, to, f16 } => export(&name, &to, f16),
        What::Rm { name } => remove(&name),
    }
}

/// A line of the list.
struct Listed<'a> {
    name: String,
    entry: Option<&'a Entry>,
    here: Option<u64>,
    license: Option<String>,
}

fn list(as_json: bool) -> anyhow::Result<()> {
    let models = Models::default();
    let lines = listed(models.hub());
    let mut out = std::io::stdout().lock();
    if as_json {
        let lines: Vec<Value> = lines.iter().map(to_json).collect();
        return Ok(writeln!(out, "{}", json!({ "models": lines }))?);
    }
    let width = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    for line in &lines {
        let place = line
            .here
            .map_or_else(|| absence(&line.name).to_owned(), |bytes| HumanBytes(bytes).to_string());
        let license = line.license.as_deref().unwrap_or("license not stated");
        let about = line.entry.map_or_else(String::new, |entry| {
            let Entry {
                dim,
                parameters_m,
                download_mb,
                kind,
                good_at,
                ..
            } = entry;
            format!("{dim} numbers, {parameters_m} M parameters, {download_mb} MB; {kind}; {good_at}")
        });
        writeln!(out, "{:<width$}  {place:<11}  {license:<12}  {about}", line.name)?;
    }
    let cache = models.hub().config().cache.display();
    Ok(writeln!(
        out,
        "any other CLIP, SigLIP or CoCa of the hub works by its name too; downloads lie in `{cache}`"
    )?)
}

fn absence(name: &str) -> &'static str {
    match name {
        "small" => "built in",
        _ => "not here",
    }
}

/// The catalog, then what else is on this machine.
fn listed(hub: &Hub) -> Vec<Listed<'static>> {
    let snapshots = hub.all();
    let of_catalog = catalog().iter().map(|entry| {
        let mut here = snapshots
            .iter()
            .filter(|snapshot| snapshot.name.repository == entry.name);
        let published = Published::ALL.into_iter().find(|model| model.name() == entry.name);
        Listed {
            name: entry.name.clone(),
            entry: Some(entry),
            here: here
                .next()
                .map(|snapshot| snapshot.bytes)
                .or_else(|| published_bytes(hub, published?)),
            license: Some(entry.license.clone()),
        }
    });
    let is_listed = |repository: &str| catalog().iter().any(|entry| entry.name == repository);
    let others = snapshots
        .iter()
        .filter(|snapshot| !is_listed(&snapshot.name.repository));
    let others = others.map(|snapshot| Listed {
        name: snapshot.name.to_string(),
        entry: None,
        here: Some(snapshot.bytes),
        license: snapshot.license.clone(),
    });
    of_catalog.chain(others).collect()
}

fn published_bytes(hub: &Hub, model: Published) -> Option<u64> {
    let (PublishedFile::Imported(path) | PublishedFile::Pickle { path, .. }) = hub.find_published(model)?;
    Some(fs_err::metadata(path).ok()?.len())
}

fn to_json(line: &Listed<'_>) -> Value {
    let mut value = json!({ "name": line.name, "bytes_here": line.here, "license": line.license });
    if let Some(entry) = line.entry {
        value["dim"] = json!(entry.dim);
        value["image_px"] = json!(entry.image_px);
        value["parameters"] = json!(u64::from(entry.parameters_m) * 1_000_000);
        value["download_bytes"] = json!(u64::from(entry.download_mb) * 1_000_000);
        value["kind"] = json!(entry.kind);
        value["languages"] = json!(entry.languages);
        value["good_at"] = json!(entry.good_at);
    }
    value
}

fn pull(name: &ModelName) -> anyhow::Result<()> {
    let source = match name {
        ModelName::Hub(wanted) => {
            let snapshot = Models::default().hub().pull(wanted, &mut Downloads::default())?;
            let license = snapshot.license.as_deref().unwrap_or("not stated");
            tell(&format!("{}, license: {license}", HumanBytes(snapshot.bytes)));
            ModelSource {
                name: snapshot.name.to_string(),
                path: snapshot.folder,
            }
        }
        _ => model_choice::locate(Some(name))?,
    };
    Ok(writeln!(
        std::io::stdout().lock(),
        "{} is in `{}`",
        source.name,
        source.path.display()
    )?)
}

fn export(name: &ModelName, to: &Path, f16: bool) -> anyhow::Result<()> {
    let source = model_choice::locate(Some(name))?;
    let checkpoint = open_model(&source.path)?;
    let stored = if f16 { StoredFloat::F16 } else { StoredFloat::F32 };
    let left = export_towers(&checkpoint, &source.path, to, stored)?;
    if left.fusion_tensors > 0 {
        tell(&format!(
            "the {} tensors of the fusion have no place in a model of transformers",
            left.fusion_tensors
        ));
    }
    if left.preprocessing {
        tell("the preprocessing is none of transformers'; `preprocessor_config.json` is not written");
    }
    if left.tokenizer {
        tell("the model comes without `tokenizer.json`; that of any model of its kind fits");
    }
    Ok(writeln!(
        std::io::stdout().lock(),
        "{} is in `{}`",
        source.name,
        to.display()
    )?)
}

fn remove(name: &ModelName) -> anyhow::Result<()> {
    let models = Models::default();
    let freed = match name {
        ModelName::Hub(name) => models.hub().remove(name)?,
        ModelName::Published(model) => models.hub().remove_published(*model)?,
        ModelName::Small | ModelName::Path(_) => {
            bail!("`{name}` is no download\nhint: `magiclens model rm` removes models that were fetched by name")
        }
    };
    Ok(writeln!(
        std::io::stdout().lock(),
        "removed {name}: {} freed",
        HumanBytes(freed)
    )?)
}

fn info(name: &ModelName, as_json: bool) -> anyhow::Result<()> {
    let source = model_choice::locate(Some(name))?;
    let checkpoint = open_model(&source.path)?;
    checkpoint.check()?;
    let parts = parts(&checkpoint);
    let parameters: usize = parts.values().sum();
    let Checkpoint {
        config,
        tensors,
        towers,
        digest: id,
    } = checkpoint;
    let strength = strength(name);
    let mut out = std::io::stdout().lock();
    if as_json {
        let value = json!({
            "name": source.name, "model_id": id, "config": config, "tensors": tensors.len(), "parameters": parameters,
            "parts": parts, "towers": towers, "published": strength,
        });
        return Ok(writeln!(out, "{value}")?);
    }
    let ModelConfig { name, dim, .. } = &config;
    writeln!(
        out,
        "{name}, embeddings of {dim} numbers, {parameters} parameters in {} tensors",
        tensors.len()
    )?;
    for (part, count) in parts {
        writeln!(out, "  {part:<12} {count:>12}")?;
    }
    for tower in towers {
        writeln!(out, "  with `{}`", tower.file)?;
    }
    for line in strength {
        writeln!(out, "published: {line}")?;
    }
    writeln!(out, "model id {id}")?;
    Ok(writeln!(out, "{}", serde_json::to_string_pretty(&config)?)?)
}

/// Number of parameters by the first part of their names.
fn parts(checkpoint: &Checkpoint) -> BTreeMap<String, usize> {
    let mut parts = BTreeMap::new();
    for (name, weights) in &checkpoint.tensors {
        let part = name.split('.').next().unwrap_or(name).to_owned();
        *parts.entry(part).or_default() += weights.values.len();
    }
    parts
}

/// Rows that are published for a model: benchmark, metrics and source.
#[cfg(feature = "eval")]
fn strength(name: &ModelName) -> Vec<String> {
    let wanted = match name {
        ModelName::Hub(name) => name.repository.clone(),
        other => other.to_string(),
    };
    let entry = catalog().iter().find(|entry| entry.name == wanted);
    let published_as = entry.and_then(|entry| entry.published_as.as_deref());
    published_as.map_or_else(Vec::new, magiclens_eval::report::published::published_lines)
}

#[cfg(not(feature = "eval"))]
fn strength(_name: &ModelName) -> Vec<String> {
    Vec::new()
}
