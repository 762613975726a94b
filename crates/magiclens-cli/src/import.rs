//! `magiclens import`: other people's checkpoints to ours. They are read as data; nothing in them is executed.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use magiclens_model::checkpoint::{NamedWeights, Precision, tensors_of, write_checkpoint, write_tower};
use magiclens_model::import::official::read_official;
use magiclens_model::import::towers::{read_efficientnet_lite0, read_minilm_l6};
use magiclens_model::{ModelConfig, OfficialConfig};

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
    /// The checkpoint to write
    #[arg(short, long, value_name = "FILE.safetensors")]
    output: PathBuf,
    /// Store 2 bytes a number instead of 4
    #[arg(long)]
    f16: bool,
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
        What::Towers(towers) => import_towers(&towers),
    }
}

fn import_official(args: &Official) -> anyhow::Result<()> {
    let (config, tensors) = match &args.config {
        Some(path) => read_official(&args.file, &read_config(path)?)?,
        None => read_base_or_large(&args.file)?,
    };
    let precision = if args.f16 { Precision::F16 } else { Precision::F32 };
    write_checkpoint(&args.output, &config, &tensors, precision, &[])?;
    tell(&format!(
        "wrote `{}`: {}, {} tensors",
        args.output.display(),
        config.name,
        tensors.len()
    ));
    Ok(())
}

/// The two published sizes differ in the file's length by a factor of nearly 3.
fn read_base_or_large(file: &Path) -> anyhow::Result<(ModelConfig, NamedWeights)> {
    const BETWEEN: u64 = 1_200_000_000;
    let config = if fs_err::metadata(file)?.len() < BETWEEN {
        OfficialConfig::base()
    } else {
        OfficialConfig::large()
    };
    read_official(file, &config).with_context(|| {
        format!(
            "`{}` is not the official `{}` checkpoint\nhint: for other sizes name them with `--config FILE.json`",
            file.display(),
            config.name
        )
    })
}

fn read_config(path: &Path) -> anyhow::Result<OfficialConfig> {
    let text = fs_err::read_to_string(path)?;
    serde_json::from_str(&text)
        .with_context(|| format!("`{}` is not a configuration in the official words", path.display()))
}

fn import_towers(args: &Towers) -> anyhow::Result<()> {
    let lite0 = read_efficientnet_lite0(&args.lite0)?;
    let minilm = read_minilm_l6(&args.minilm)?;
    let prefixed = |prefix: &str, tensors: NamedWeights| -> NamedWeights {
        tensors
            .into_iter()
            .map(|(name, weights)| (format!("{prefix}.trunk.{name}"), weights))
            .collect()
    };
    fs_err::create_dir_all(&args.output)?;
    fs_err::copy(&args.tokenizer, args.output.join("tokenizer.json"))?;
    let towers = [
        ("efficientnet-lite0", prefixed("vision", lite0)),
        ("minilm-l6", prefixed("text", minilm)),
    ];
    let files = towers
        .iter()
        .map(|(name, tensors)| {
            write_tower(
                &args.output.join(format!("{name}.safetensors")),
                tensors,
                Precision::F16,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;

    let config = ModelConfig::small();
    let mut tensors = tensors_of(&config.init_seeded(args.seed));
    for (_, tower) in &towers {
        for (name, weights) in tower {
            match tensors.remove(name) {
                Some(expected) if expected.shape == weights.shape => {}
                Some(expected) => bail!(
                    "tensor `{name}` has shape {:?}, not {:?}",
                    weights.shape,
                    expected.shape
                ),
                None => bail!("tensor `{name}` has no place in `small`"),
            }
        }
    }
    if let Some(name) = tensors.keys().find(|name| name.contains(".trunk.")) {
        bail!("tensor `{name}` is missing in the tower files");
    }
    let start = args.output.join("small-start.safetensors");
    write_checkpoint(&start, &config, &tensors, Precision::F32, &files)?;
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
