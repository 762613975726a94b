//! `magiclens import`: other people's checkpoints to ours. They are read as data; nothing in them is executed.

use std::path::{Path, PathBuf};

use anyhow::Context;
use magiclens_model::checkpoint::{NamedWeights, StoredFloat, write_checkpoint};
use magiclens_model::import::RawClip;
use magiclens_model::import::clip::read_clip;
use magiclens_model::import::inversion::read_inversion;
use magiclens_model::import::official::{read_base_or_large, read_official};
use magiclens_model::import::small::{SmallFiles, write_small_start};
use magiclens_model::inversion::write_inversion;
use magiclens_model::towers::ClipActivation;
use magiclens_model::{InversionKind, ModelConfig, OfficialConfig, TextualInversion};

/// Convert checkpoints of other programs; nothing in them is executed
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The published MagicLens checkpoints: a pickle of Flax msgpack
    Official(Official),
    /// CLIP with a vision transformer, of Hugging Face transformers, OpenAI or open_clip; image and text are summed
    Clip(Clip),
    /// The projection of a textual inversion: Pic2Word, SEARLE or LinCIR
    Inversion(Inversion),
    /// The pretrained towers of `small`: EfficientNet-Lite0 and all-MiniLM-L6-v2, each into a file of its own
    Towers(Towers),
}

#[derive(Debug, clap::Args)]
struct Official {
    /// `magiclens_clip_base.pkl`, `magiclens_clip_large.pkl`, or one of other sizes with `--config`
    file: PathBuf,
    /// Sizes other than base and large, as JSON in the official words
    #[arg(long, value_name = "FILE.json")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Clip {
    /// A folder with `config.json` and weights, or a state dictionary in OpenAI's names (safetensors or torch)
    #[arg(value_name = "FILE_OR_DIR")]
    source: PathBuf,
    /// The activation that a state dictionary was trained with: `quick_gelu` by OpenAI, `gelu` by most others
    #[arg(long, value_enum)]
    activation: Option<Activation>,
    /// Heads of a state dictionary's image tower, where the width does not tell
    #[arg(long, value_name = "N")]
    vision_heads: Option<usize>,
    /// Heads of a state dictionary's text tower, where the width does not tell
    #[arg(long, value_name = "N")]
    text_heads: Option<usize>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Output {
    /// The checkpoint to write
    #[arg(short, long, value_name = "FILE.safetensors")]
    output: PathBuf,
    /// Store 2 bytes a number instead of 4
    #[arg(long)]
    f16: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
enum Activation {
    QuickGelu,
    Gelu,
}

#[derive(Debug, clap::Args)]
struct Inversion {
    /// The published torch checkpoint
    file: PathBuf,
    /// Its authors
    #[arg(long, value_enum)]
    kind: Kind,
    /// The projection was trained on image embeddings of length 1 (LinCIR's own `--l2_normalize`)
    #[arg(long)]
    l2_normalize: bool,
    /// The file to write
    #[arg(short, long, value_name = "FILE.safetensors")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
#[value(rename_all = "lower")]
enum Kind {
    Pic2Word,
    Searle,
    LinCir,
}

#[derive(Debug, clap::Args)]
struct Towers {
    /// `efficientnet-lite0-*.pth`
    #[arg(long, value_name = "FILE.pth")]
    lite0: PathBuf,
    /// `model.safetensors` of all-MiniLM-L6-v2
    #[arg(long, value_name = "FILE.safetensors")]
    minilm: PathBuf,
    /// `tokenizer.json` of all-MiniLM-L6-v2
    #[arg(long, value_name = "FILE.json")]
    tokenizer: PathBuf,
    /// Words for ImageNet's classes: the folder `timm/data/_info` of PyPI's timm
    #[arg(long, value_name = "DIR")]
    words: PathBuf,
    /// Folder for the tower files, the tokenizer, and `small-start.safetensors`, where training starts
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Seed of the random fusion that training starts from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Converts, checks every name and shape, writes aside and renames.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.what {
        What::Official(official) => import_official(&official),
        What::Clip(clip) => import_clip(&clip),
        What::Inversion(inversion) => import_inversion(&inversion),
        What::Towers(towers) => import_towers(&towers),
    }
}

fn import_official(args: &Official) -> anyhow::Result<()> {
    let (config, tensors) = match &args.config {
        Some(path) => read_official(&args.file, &read_config(path)?)?,
        None => read_base_or_large(&args.file)?,
    };
    write(&args.output, &config, &tensors)
}

fn import_clip(args: &Clip) -> anyhow::Result<()> {
    let raw = RawClip {
        activation: args.activation.map(|activation| match activation {
            Activation::QuickGelu => ClipActivation::QuickGelu,
            Activation::Gelu => ClipActivation::Gelu,
        }),
        vision_heads: args.vision_heads,
        text_heads: args.text_heads,
    };
    let (config, tensors) = read_clip(&args.source, &raw)?;
    write(&args.output, &config, &tensors)
}

fn write(to: &Output, config: &ModelConfig, tensors: &NamedWeights) -> anyhow::Result<()> {
    let stored = if to.f16 { StoredFloat::F16 } else { StoredFloat::F32 };
    write_checkpoint(&to.output, config, tensors, stored, &[])?;
    let (output, count) = (to.output.display(), tensors.len());
    tell(&format!("wrote `{output}`: {}, {count} tensors", config.name));
    Ok(())
}

fn import_inversion(args: &Inversion) -> anyhow::Result<()> {
    let kind = match args.kind {
        Kind::Pic2Word => InversionKind::Pic2Word,
        Kind::Searle => InversionKind::Searle,
        Kind::LinCir => InversionKind::LinCir,
    };
    let (config, tensors) = read_inversion(&args.file, kind, args.l2_normalize)?;
    write_inversion(&args.output, &config, &tensors)?;
    let written = TextualInversion::load(&args.output)?;
    tell(&format!(
        "wrote `{}`: {}, {} numbers an image to {} a word, prompt `{}`",
        args.output.display(),
        kind.name(),
        written.image_width(),
        written.word_width(),
        written.template()
    ));
    Ok(())
}

fn read_config(path: &Path) -> anyhow::Result<OfficialConfig> {
    let text = fs_err::read_to_string(path)?;
    serde_json::from_str(&text)
        .with_context(|| format!("`{}` is not a configuration in the official words", path.display()))
}

fn import_towers(args: &Towers) -> anyhow::Result<()> {
    let files = SmallFiles {
        lite0: &args.lite0,
        minilm: &args.minilm,
        tokenizer: &args.tokenizer,
        words: &args.words,
    };
    let start = write_small_start(files, &args.output, args.seed)?;
    tell(&format!("wrote two towers and `{}`", start.display()));
    Ok(())
}

#[expect(
    clippy::print_stderr,
    reason = "a person waits for this line; standard output is for data"
)]
fn tell(line: &str) {
    eprintln!("{line}");
}
