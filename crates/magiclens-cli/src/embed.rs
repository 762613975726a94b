//! `magiclens embed`: pairs of image and text to embeddings.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use image::RgbImage;
use magiclens_data::decode::{Limits, read_rgb};
use magiclens_hub::ModelName;
use magiclens_model::Embedder;
use serde::{Deserialize, Serialize};

use crate::model_choice;

/// Pairs that are embedded together.
const TOGETHER: usize = 32;

/// Embed pairs of an image and a text
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Model: `small`, a file or folder, `magiclens-base`, or `OWNER/NAME[@REVISION]` of the hub
    /// [default: $MAGICLENS_MODEL, else `small`]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// Lines `{"image": path, "text": string}`; `-` is standard input. Paths are relative to the current folder
    #[arg(long, value_name = "PAIRS")]
    jsonl: PathBuf,
    /// Also give what the two towers say, before fusion and not normalized: `image_embed` and `text_embed`
    #[arg(long)]
    towers: bool,
}

/// Other fields of a line, such as an id of the caller's, are left alone.
#[derive(Deserialize)]
struct Pair {
    image: PathBuf,
    #[serde(default)]
    text: String,
}

#[derive(Serialize)]
struct Line<'a> {
    embedding: &'a [f32],
    #[serde(skip_serializing_if = "Option::is_none")]
    image_embed: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_embed: Option<&'a [f32]>,
}

/// Writes a line `{"embedding": [..]}` for each pair, in their order.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let embedder = model_choice::load(args.model.as_ref())?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut waiting = Vec::with_capacity(TOGETHER);
    for (number, line) in lines(&args.jsonl)?.enumerate() {
        let place = || format!("line {} of `{}`", number + 1, args.jsonl.display());
        let line = line.with_context(|| format!("{} cannot be read", place()))?;
        if line.trim().is_empty() {
            continue;
        }
        let pair: Pair = serde_json::from_str(&line)
            .with_context(|| format!("{} is not `{{\"image\": path, \"text\": string}}`", place()))?;
        let image = read_rgb(&pair.image, &Limits::default())
            .with_context(|| format!("{}: image `{}` cannot be used", place(), pair.image.display()))?;
        waiting.push((image, pair.text));
        if waiting.len() == TOGETHER {
            embed(&embedder, &std::mem::take(&mut waiting), args.towers, &mut out)?;
        }
    }
    embed(&embedder, &waiting, args.towers, &mut out)?;
    Ok(out.flush()?)
}

fn embed(embedder: &Embedder, pairs: &[(RgbImage, String)], towers: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let images: Vec<&RgbImage> = pairs.iter().map(|(image, _)| image).collect();
    let texts: Vec<&str> = pairs.iter().map(|(_, text)| text.as_str()).collect();
    let images = embedder.encode_images(&images)?;
    let texts = embedder.encode_texts(&texts)?;
    for (row, embedding) in embedder.fuse(&images, &texts)?.iter().enumerate() {
        let line = Line {
            embedding: embedding.as_slice(),
            image_embed: towers.then_some(&images[row]),
            text_embed: towers.then_some(&texts[row]),
        };
        serde_json::to_writer(&mut *out, &line)?;
        writeln!(out)?;
    }
    Ok(())
}

fn lines(path: &Path) -> anyhow::Result<Box<dyn Iterator<Item = std::io::Result<String>>>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock().lines()));
    }
    Ok(Box::new(BufReader::new(fs_err::File::open(path)?).lines()))
}
