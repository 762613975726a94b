//! `magiclens search`: the images of an index nearest to an image, a text, or both.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use image::RgbImage;
use magiclens_data::decode::{self, DecodeError, Limits};
use magiclens_data::{Embedding, ImageId};
use magiclens_index::{Hit, Index, Query, Space, make_thumbnail};
use magiclens_model::Embedder;

use crate::index::{load_model, one_line, stamp_of};
use crate::sheet::{self, Card, Sheet};

/// Search an index by image, by text, or by an image and what is to be different.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    index: PathBuf,
    /// Image to start from: a file, or the id of an image in the index
    #[arg(long, value_name = "FILE|ID", required_unless_present = "text")]
    image: Option<PathBuf>,
    /// What to look for; with an image, what is to be different
    #[arg(long)]
    text: Option<String>,
    /// Largest number of results
    #[arg(short = 'k', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    k: u32,
    /// Leave out results with a lower score
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    min_score: Option<f32>,
    /// Keep the query image itself among the results; it is left out by default
    #[arg(long)]
    include_query: bool,
    /// Model to embed the query with; without it, the one that comes with the program
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Also write the results with images as one HTML file that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    sheet: Option<PathBuf>,
}

/// Runs `magiclens search`.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let text = args.text.as_deref().map(str::trim).unwrap_or_default();
    if args.image.is_none() && text.is_empty() {
        bail!("nothing to search for: `--text` is empty\nhint: give a text, a picture with `--image`, or both");
    }
    let index = Index::open(&args.index)?;
    let image = args
        .image
        .as_deref()
        .map(|image| QueryImage::find(image, &index))
        .transpose()?;
    let embedder = load_model(args.model.as_deref())?;
    index.check_model(&stamp_of(&embedder))?;

    let (vector, space) = embed(&embedder, image.as_ref(), text)?;
    let exclude = match &image {
        Some(image) if !args.include_query => vec![image.id],
        _ => Vec::new(),
    };
    let limit = usize::try_from(args.k)?;
    let hits = index.search(&Query {
        vector: &vector,
        space,
        limit,
        exclude: &exclude,
        min_score: args.min_score,
    })?;

    if let Some(path) = &args.sheet {
        write_sheet(path, &index, image.as_ref(), text, &hits)?;
    }
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", serde_json::json!({ "hits": hits }))?,
        false => write_table(&mut out, &hits)?,
    }
    Ok(())
}

/// The image to start from.
struct QueryImage {
    id: ImageId,
    bytes: Vec<u8>,
    rgb: RgbImage,
}

impl QueryImage {
    /// Reads the file, or the file of the image in the index with this id.
    fn find(image: &Path, index: &Index) -> anyhow::Result<Self> {
        if image.exists() {
            return Self::read(image);
        }
        let id = image.to_str().and_then(|text| text.parse::<ImageId>().ok());
        let image = id.map(|id| index.get(id)).transpose()?.flatten().with_context(|| {
            format!(
                "`{}` is neither a file nor the id of a picture in the index",
                image.display()
            )
        })?;
        let path = image
            .paths
            .iter()
            .map(Path::new)
            .find(|path| path.exists())
            .with_context(|| {
                format!(
                    "the file of picture `{}` is gone\nhint: run `magiclens index` again",
                    image.id
                )
            })?;
        Self::read(path)
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let limits = Limits::default();
        let bytes = read_within(path, &limits)?;
        let rgb = decode::decode_rgb(&bytes, &limits).with_context(|| format!("cannot use `{}`", path.display()))?;
        Ok(Self {
            id: ImageId::of_bytes(&bytes),
            bytes,
            rgb,
        })
    }
}

fn read_within(path: &Path, limits: &Limits) -> anyhow::Result<Vec<u8>> {
    let (bytes, max_bytes) = (fs_err::metadata(path)?.len(), limits.max_bytes);
    if max_bytes < bytes {
        let error = DecodeError::TooManyBytes { bytes, max_bytes };
        return Err(anyhow::Error::new(error).context(format!("cannot use `{}`", path.display())));
    }
    Ok(fs_err::read(path)?)
}

/// The query's vector, and the vectors of the images that it is compared with.
fn embed(embedder: &Embedder, image: Option<&QueryImage>, text: &str) -> anyhow::Result<(Embedding, Space)> {
    let Some(image) = image else {
        let output = embedder
            .encode_texts(&[text])?
            .into_iter()
            .next()
            .context("the model gave no vector")?;
        return Ok((Embedding::normalize(output)?, Space::Image));
    };
    let outputs = embedder.encode_images(std::slice::from_ref(&image.rgb))?;
    let output = outputs.first().context("the model gave no vector")?;
    Ok((embedder.embed_query(output, text)?, Space::Target))
}

fn write_table(out: &mut impl Write, hits: &[Hit]) -> std::io::Result<()> {
    if hits.is_empty() {
        return writeln!(out, "nothing found");
    }
    let rank_width = hits.len().to_string().len();
    for (rank, hit) in (1..).zip(hits) {
        let caption = hit
            .caption
            .as_deref()
            .map(|caption| format!("  ({})", one_line(caption)))
            .unwrap_or_default();
        writeln!(
            out,
            "{rank:>rank_width$}  {:6.3}  {}{caption}",
            hit.score,
            one_line(&hit.path)
        )?;
    }
    Ok(())
}

fn write_sheet(path: &Path, index: &Index, image: Option<&QueryImage>, text: &str, hits: &[Hit]) -> anyhow::Result<()> {
    let mut cards = Vec::with_capacity(hits.len());
    for hit in hits {
        let jpeg = index.thumbnail_path(hit.id)?.map(fs_err::read).transpose()?;
        cards.push(Card { hit, jpeg });
    }
    let query_jpeg = image.map(|image| make_thumbnail(&image.bytes, &image.rgb).jpeg);
    Ok(fs_err::write(
        path,
        sheet::html(&Sheet {
            query_jpeg,
            text,
            cards,
        }),
    )?)
}
