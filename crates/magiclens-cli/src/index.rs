//! `magiclens index`: brings images into an index.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::bail;
use indicatif::ProgressBar;
use magiclens_hub::ModelName;
use magiclens_index::{Counts, Index, SkipReason, Skipped};
#[cfg(feature = "compare")]
use magiclens_search::LoadedModel;
use magiclens_search::{Encoder, IndexOptions, IndexProgress, IndexSummary, index_images, replace_model};
use serde_json::{Value, json};

use crate::model_choice;
use crate::progress::bar;

/// Bring images into an index, or what has changed since the last time.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folders and files to index; folders with all that lies below them
    #[arg(required_unless_present_any = ["list_skipped", "forget"])]
    paths: Vec<PathBuf>,
    /// Folder of the index; made if it does not exist
    #[arg(long, value_name = "DIR")]
    index: PathBuf,
    /// Model: `small`, a file or folder, `magiclens-base`, or `OWNER/NAME[@REVISION]` of the hub
    /// [default: that of the index, else $MAGICLENS_MODEL, else `small`]
    #[arg(long, value_name = "NAME")]
    model: Option<ModelName>,
    /// Images embedded and committed together
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Decode large JPEG files whole, as queries are, and not at a half of their size or less where that keeps twice the pixels
    /// that the model looks at
    #[arg(long)]
    exact_pixels: bool,
    /// Throw the index away and make it anew
    #[arg(long)]
    rebuild: bool,
    /// Take a file, or all files in a folder, out of the index; they need not exist any more
    #[arg(long, value_name = "PATH", conflicts_with = "rebuild")]
    forget: Vec<PathBuf>,
    /// List the files that could not be used, with the reasons
    #[arg(long)]
    list_skipped: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `magiclens index`.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if !args.forget.is_empty() {
        let forgotten = forget(&args)?;
        if !args.json {
            writeln!(out, "forgot {forgotten} files")?;
        } else if args.paths.is_empty() {
            writeln!(out, "{}", json!({ "forgotten": forgotten }))?;
        }
    }
    if !args.paths.is_empty() {
        let summary = index_paths(&args)?;
        match args.json {
            true => writeln!(out, "{}", to_json(&summary, args.list_skipped))?,
            false => write_summary(&mut out, &summary, &args)?,
        }
        check_finished(&summary)?;
    } else if args.list_skipped {
        let skipped = Index::open(&args.index)?.skipped()?;
        match args.json {
            true => writeln!(out, "{}", json!({ "skipped": skipped }))?,
            false => write_skipped(&mut out, &skipped)?,
        }
    }
    Ok(())
}

fn forget(args: &Args) -> anyhow::Result<usize> {
    let stamp = Index::open(&args.index)?.stamp().clone();
    let mut index = Index::create_or_open(&args.index, &stamp)?;
    let mut forgotten = 0;
    for path in &args.forget {
        forgotten += index.forget(path)?;
    }
    Ok(forgotten)
}

fn index_paths(args: &Args) -> anyhow::Result<IndexSummary> {
    let encoder = match args.rebuild {
        true => model_choice::load(args.model.as_ref())?,
        false => model_choice::load_for_folder(&args.index, args.model.as_ref())?,
    };
    let options = IndexOptions {
        batch: usize::from(args.batch),
        exact_pixels: args.exact_pixels,
        ..IndexOptions::default()
    };
    let progress = Bars::start()?;
    let mut index = match args.rebuild {
        true => Index::rebuild(&args.index, &encoder.stamp())?,
        false if Index::is_of_another_model(&args.index, &encoder.stamp())? => {
            return Ok(replace_model(&args.index, &encoder, &args.paths, &options, &progress)?);
        }
        false => Index::create_or_open(&args.index, &encoder.stamp())?,
    };
    Ok(index_images(&mut index, &encoder, &args.paths, &options, &progress)?)
}

/// Brings the images below a folder into an index, with progress bars.
#[cfg(feature = "compare")]
pub(crate) fn bring_up_to_date(
    index: &std::path::Path,
    images: &std::path::Path,
    encoder: &LoadedModel,
) -> anyhow::Result<()> {
    let mut index = Index::create_or_open(index, &encoder.stamp())?;
    let (paths, options) = ([images.to_owned()], IndexOptions::default());
    check_finished(&index_images(&mut index, encoder, &paths, &options, &Bars::start()?)?)
}

fn check_finished(summary: &IndexSummary) -> anyhow::Result<()> {
    if summary.interrupted {
        bail!("stopped before the end; what is done is safe\nhint: run the same command again to go on");
    }
    Ok(())
}

/// The progress of a run on standard error.
#[derive(Default)]
pub(crate) struct Bars {
    hashing: OnceLock<ProgressBar>,
    indexing: OnceLock<ProgressBar>,
    interrupt: Arc<AtomicBool>,
}

impl Bars {
    /// Bars of a run that Ctrl-C ends well.
    fn start() -> anyhow::Result<Self> {
        Ok(Self {
            hashing: OnceLock::new(),
            indexing: OnceLock::new(),
            interrupt: interrupt_flag()?,
        })
    }
}

impl IndexProgress for Bars {
    fn hashed(&self, done: usize, total: usize) {
        let bar = self.hashing.get_or_init(|| bar(total, "files looked at"));
        bar.set_position(done as u64);
    }

    fn indexed(&self, done: usize, total: usize) {
        self.hashing.get().into_iter().for_each(ProgressBar::finish_and_clear);
        let bar = self.indexing.get_or_init(|| bar(total, "images indexed"));
        bar.set_position(done as u64);
    }

    fn is_stopped(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let bars = [self.hashing.get(), self.indexing.get()];
        bars.into_iter().flatten().for_each(ProgressBar::finish_and_clear);
    }
}

/// Set by the first Ctrl-C: the batch in hand is finished. A second one ends the program at once, which is safe too.
fn interrupt_flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let set = Arc::clone(&flag);
    std::thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if set.swap(true, Ordering::Relaxed) {
                    std::process::exit(130);
                }
            }
        });
    });
    Ok(flag)
}

fn to_json(summary: &IndexSummary, list_skipped: bool) -> Value {
    let mut json = json!(summary.counts);
    let rate = summary.images_per_second();
    let rest = json!({
        "skipped": summary.skipped.len(),
        "skipped_by_reason": skipped_by_reason(&summary.skipped),
        "images": summary.images,
        "embedded": summary.embedded,
        "seconds": summary.seconds,
        "images_per_second": rate,
        "interrupted": summary.interrupted,
        // The names of version 0.1, kept for one release.
        "pictures": summary.images,
        "pictures_per_second": rate,
    });
    let rest = rest.as_object().cloned().unwrap_or_default();
    json.as_object_mut().expect("counts are an object").extend(rest);
    if list_skipped {
        json["skipped_files"] = json!(summary.skipped);
    }
    json
}

fn skipped_by_reason(skipped: &[Skipped]) -> BTreeMap<SkipReason, usize> {
    let mut counts = BTreeMap::new();
    for one in skipped {
        *counts.entry(one.reason).or_default() += 1;
    }
    counts
}

fn write_summary(out: &mut impl Write, summary: &IndexSummary, args: &Args) -> std::io::Result<()> {
    let Counts {
        added,
        changed,
        moved,
        duplicates,
        removed,
        unchanged,
        other_files,
    } = summary.counts;
    writeln!(out, "{added:>9}  added")?;
    for (count, name) in [
        (changed, "changed"),
        (moved, "moved"),
        (duplicates, "duplicates"),
        (removed, "removed"),
        (unchanged, "unchanged"),
        (summary.skipped.len(), "skipped"),
    ] {
        if 0 < count {
            writeln!(out, "{count:>9}  {name}")?;
        }
    }
    for (reason, count) in skipped_by_reason(&summary.skipped) {
        writeln!(out, "{:>9}  {count} {reason}", "")?;
    }
    if 0 < other_files {
        writeln!(out, "{other_files:>9}  other files, no images")?;
    }
    if 0 < summary.embedded {
        let (seconds, rate) = (summary.seconds, summary.images_per_second());
        writeln!(
            out,
            "{} images embedded in {seconds:.1} s, {rate:.1} a second",
            summary.embedded
        )?;
    }
    let index = args.index.display();
    writeln!(out, "`{index}` holds {} images", summary.images)?;
    if args.list_skipped {
        write_skipped(out, &summary.skipped)?;
    } else if !summary.skipped.is_empty() {
        writeln!(
            out,
            "list the skipped files with `magiclens index --list-skipped --index {index}`"
        )?;
    }
    Ok(())
}

/// One line a file, whatever its name contains.
fn write_skipped(out: &mut impl Write, skipped: &[Skipped]) -> std::io::Result<()> {
    for Skipped {
        path, reason, detail, ..
    } in skipped
    {
        writeln!(out, "{reason:<14}  {}  ({detail})", one_line(&path.to_string_lossy()))?;
    }
    Ok(())
}

/// The text with control characters written out, so that a name cannot break the line or the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}
