//! `magiclens search`: the images of an index nearest to an image, a text, or both.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use magiclens_data::ImageId;
use magiclens_data::decode::Limits;
use magiclens_hub::ModelName;
use magiclens_index::{Hit, Index, Selection, make_thumbnail};
use magiclens_search::{Encoder, ImageInput, Method, QueryImage, SearchQuery, embed_query};
use serde_json::{Value, json};

use crate::index::one_line;
use crate::model_choice;
use crate::sheet::{self, Card, Sheet};

/// Search an index by image, by text, or by an image and the change that is wanted.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folder of the index
    #[arg(long, value_name = "DIR")]
    index: PathBuf,
    /// Image to start from: a file, or the id of an image in the index
    #[arg(long, value_name = "FILE|ID", required_unless_present = "text")]
    image: Option<PathBuf>,
    /// Second image, which `--text` is about, too: "the first in the style of the second"
    #[arg(long, value_name = "FILE|ID", requires = "image", requires = "text")]
    second: Option<PathBuf>,
    /// Text to look for; with an image, the change that is wanted
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
    /// Model: `small`, a file or folder, `magiclens-base`, or `OWNER/NAME[@REVISION]` of the hub
    /// [default: that of the index]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// Way to ask image + text: `fusion` (of models without one the sum), or `basic`, which compares both apart and needs no
    /// training
    #[arg(long, value_name = "METHOD", default_value_t = Method::Fusion)]
    method: Method,
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
        bail!("nothing to search for: `--text` is empty\nhint: give a text, an image with `--image`, or both");
    }
    let index = Index::open(&args.index)?;
    let image = args.image.as_deref();
    let image = image.map(|image| QueryImage::find(image, &index)).transpose()?;
    let second = args.second.as_deref();
    let second = second.map(|image| QueryImage::find(image, &index)).transpose()?;
    if second.is_some() && args.method != Method::Fusion {
        bail!(
            "`--method {}` asks by one image\nhint: leave out `--method`, or `--second`",
            args.method
        );
    }
    let mut encoder = model_choice::load_for(&index, args.model.as_ref())?;
    index.check_model(&encoder.stamp())?;
    if image.is_some() && !text.is_empty() {
        model_choice::ask_by(args.method, &mut encoder)?;
    }

    let query = match &image {
        None => SearchQuery::Text(text),
        Some(image) => SearchQuery::Image {
            image: ImageInput::Pixels(&image.rgb),
            second: second.as_ref().map(|second| ImageInput::Pixels(&second.rgb)),
            instruction: text,
        },
    };
    let asked = image.iter().chain(&second).filter(|_| !args.include_query);
    let exclude: Vec<ImageId> = asked.map(|image| image.id).collect();
    let selection = Selection {
        limit: usize::try_from(args.k)?,
        exclude: &exclude,
        min_score: args.min_score,
    };
    let hits = embed_query(&encoder, query)?.search(&index, &selection)?;

    if let Some(path) = &args.sheet {
        write_sheet(path, &index, image.as_ref(), text, &hits)?;
    }
    let mut out = std::io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", to_json(&hits))?,
        false => write_table(&mut out, &hits)?,
    }
    Ok(())
}

fn to_json(hits: &[Hit]) -> Value {
    let with_path = |hit: &Hit| {
        let mut json = json!(hit);
        json["path"] = json!(hit.image.path().to_string_lossy());
        json["license"] = json!(hit.image.payload.license);
        json
    };
    json!({ "hits": hits.iter().map(with_path).collect::<Vec<_>>() })
}

fn write_table(out: &mut impl Write, hits: &[Hit]) -> std::io::Result<()> {
    if hits.is_empty() {
        return writeln!(out, "nothing found");
    }
    let rank_width = hits.len().to_string().len();
    for (rank, hit) in (1..).zip(hits) {
        let caption = hit
            .image
            .payload
            .caption
            .as_deref()
            .map(|caption| format!("  ({})", one_line(caption)))
            .unwrap_or_default();
        writeln!(
            out,
            "{rank:>rank_width$}  {:6.3}  {}{caption}",
            hit.score,
            one_line(&hit.image.path().to_string_lossy())
        )?;
    }
    Ok(())
}

fn write_sheet(path: &Path, index: &Index, image: Option<&QueryImage>, text: &str, hits: &[Hit]) -> anyhow::Result<()> {
    let mut cards = Vec::with_capacity(hits.len());
    for hit in hits {
        let jpeg = index.thumbnail_path(hit.image.id)?.map(fs_err::read).transpose()?;
        cards.push(Card { hit, jpeg });
    }
    let query_jpeg = image.map(|image| make_thumbnail(&image.bytes, &Limits::default()));
    let query_jpeg = query_jpeg.transpose()?.map(|thumbnail| thumbnail.jpeg);
    Ok(fs_err::write(
        path,
        sheet::html(&Sheet {
            query_jpeg,
            text,
            cards,
        }),
    )?)
}
