//! `magiclens index`: brings images into an index.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use magiclens_data::Embedding;
use magiclens_data::decode::Limits;
use magiclens_index::{Batch, Counts, Index, Loaded, ModelStamp, NewImage, SkipReason, Skipped, load_in_batches};
use magiclens_model::Embedder;
use serde::Serialize;

use crate::model_choice;

/// Bring images into an index, or what has changed since the last time.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folders and files to index; folders with all that lies below them
    #[arg(required_unless_present_any = ["list_skipped", "forget"])]
    paths: Vec<PathBuf>,
    /// Folder of the index; made if it does not exist
    #[arg(long, value_name = "DIR")]
    index: PathBuf,
    /// Model to embed with; without it, the one that comes with the program
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Images embedded and committed together
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
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
            writeln!(out, "{}", serde_json::json!({ "forgotten": forgotten }))?;
        }
    }
    if !args.paths.is_empty() {
        let report = index_paths(&args)?;
        match args.json {
            true => writeln!(out, "{}", serde_json::to_string(&report)?)?,
            false => report.write(&mut out, &args)?,
        }
        if report.interrupted {
            bail!("stopped before the end; what is done is safe\nhint: run the same command again to go on");
        }
    } else if args.list_skipped {
        let skipped = Index::open(&args.index)?.skipped()?;
        match args.json {
            true => writeln!(out, "{}", serde_json::json!({ "skipped": skipped }))?,
            false => write_skipped(&mut out, &skipped)?,
        }
    }
    Ok(())
}

/// Brings the images below a folder into an index of this model, as `magiclens index` does.
pub(crate) fn bring_up_to_date(index: &Path, images: &Path, model: &Path) -> anyhow::Result<()> {
    let args = Args {
        paths: vec![images.to_owned()],
        index: index.to_owned(),
        model: Some(model.to_owned()),
        batch: 32,
        rebuild: false,
        forget: Vec::new(),
        list_skipped: false,
        json: false,
    };
    if index_paths(&args)?.interrupted {
        bail!("stopped before the end; what is done is safe\nhint: run the same command again to go on");
    }
    Ok(())
}

/// What a run did.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    counts: Counts,
    /// Files that could not be used, this time or before, under the paths given.
    skipped: usize,
    skipped_by_reason: BTreeMap<SkipReason, usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped_files: Option<Vec<Skipped>>,
    /// Images in the index now.
    #[serde(rename = "pictures")]
    images: usize,
    embedded: usize,
    seconds: f64,
    #[serde(rename = "pictures_per_second")]
    images_per_second: f64,
    interrupted: bool,
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

fn index_paths(args: &Args) -> anyhow::Result<Report> {
    let embedder = load_model(args.model.as_deref())?;
    let stamp = stamp_of(&embedder);
    let mut index = match args.rebuild {
        true => Index::rebuild(&args.index, &stamp)?,
        false => Index::create_or_open(&args.index, &stamp)?,
    };
    let interrupt = interrupt_flag()?;
    let limits = Limits::default();
    let hashing = progress("looking for pictures {pos}/{len}");
    let plan = index.scan(&args.paths, &limits, |done, of| {
        hashing.set_length(of as u64);
        hashing.set_position(done as u64);
    })?;
    hashing.finish_and_clear();
    index.apply(&plan)?;

    let started = Instant::now();
    let mut counts = plan.counts;
    let mut skipped = plan.skipped;
    let mut embedded = 0;
    let mut interrupted = false;
    let bar = progress("{bar:32} {pos}/{len} pictures, {per_sec}, {eta} left");
    bar.set_length(plan.pending.len() as u64);
    std::thread::scope(|scope| -> anyhow::Result<()> {
        // One batch is decoded while the one before is embedded. If that fails, the receiver goes and the loading stops.
        let (sender, batches) = mpsc::sync_channel::<Batch>(1);
        let pending = &plan.pending;
        scope.spawn(move || {
            load_in_batches(pending, &limits, usize::from(args.batch), |batch| {
                match sender.send(batch) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            });
        });
        for batch in batches {
            if interrupt.load(Ordering::Relaxed) {
                interrupted = true;
                break;
            }
            let (images, unusable) = embed(&embedder, batch.loaded, &mut counts)?;
            index.add(&images)?;
            index.skip(&batch.skipped)?;
            index.skip(&unusable)?;
            skipped.extend(batch.skipped.into_iter().chain(unusable));
            embedded += images.len();
            bar.inc(batch.contents as u64);
        }
        Ok(())
    })?;
    bar.finish_and_clear();

    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    let mut skipped_by_reason = BTreeMap::new();
    for skipped in &skipped {
        *skipped_by_reason.entry(skipped.reason).or_default() += 1;
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(Report {
        counts,
        skipped: skipped.len(),
        skipped_by_reason,
        skipped_files: args.list_skipped.then_some(skipped),
        images: index.len()?,
        embedded,
        seconds,
        images_per_second: if embedded == 0 { 0.0 } else { embedded as f64 / seconds },
        interrupted,
    })
}

/// The images with their vectors, and the files of those for which the model has none.
fn embed(
    embedder: &Embedder,
    loaded: Vec<Loaded>,
    counts: &mut Counts,
) -> anyhow::Result<(Vec<NewImage>, Vec<Skipped>)> {
    let (mut pixels, mut rest) = (Vec::with_capacity(loaded.len()), Vec::with_capacity(loaded.len()));
    for mut loaded in loaded {
        pixels.push(std::mem::take(&mut loaded.rgb));
        rest.push(loaded);
    }
    let (mut images, mut skipped) = (Vec::new(), Vec::new());
    let (mut usable, mut tower_outputs, mut vectors) = (Vec::new(), Vec::new(), Vec::new());
    for (loaded, output) in rest.into_iter().zip(embedder.encode_images(&pixels)?) {
        match Embedding::normalize(output.clone()) {
            Ok(image) => {
                usable.push(loaded);
                tower_outputs.push(output);
                vectors.push(image);
            }
            Err(error) => skipped.extend(loaded.into_skipped(&format!("the model has no vector for it: {error}"))),
        }
    }
    let targets = embedder.embed_targets(&tower_outputs)?;
    for ((loaded, target), image) in usable.into_iter().zip(targets).zip(vectors) {
        counts.record(&loaded);
        images.push(loaded.into_new_image(target, image));
    }
    Ok((images, skipped))
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

pub(crate) fn progress(template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the templates in this file are valid");
    let bar = ProgressBar::new(0).with_style(style.progress_chars("━╸─"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Report {
    fn write(&self, out: &mut impl Write, args: &Args) -> std::io::Result<()> {
        let Counts {
            added,
            changed,
            moved,
            duplicates,
            removed,
            unchanged,
            other_files,
        } = self.counts;
        let counts = [
            (added, "added"),
            (changed, "changed"),
            (moved, "moved"),
            (duplicates, "duplicates"),
            (removed, "removed"),
            (unchanged, "unchanged"),
            (self.skipped, "skipped"),
        ];
        for (count, name) in counts
            .into_iter()
            .filter(|(count, name)| 0 < *count || *name == "added")
        {
            writeln!(out, "{count:>9}  {name}")?;
        }
        for (reason, count) in &self.skipped_by_reason {
            writeln!(out, "{:>9}  {count} {reason}", "")?;
        }
        if 0 < other_files {
            writeln!(out, "{other_files:>9}  other files, no pictures")?;
        }
        if 0 < self.embedded {
            let (seconds, rate) = (self.seconds, self.images_per_second);
            writeln!(
                out,
                "{} pictures embedded in {seconds:.1} s, {rate:.1} a second",
                self.embedded
            )?;
        }
        writeln!(out, "`{}` holds {} pictures", args.index.display(), self.images)?;
        match &self.skipped_files {
            Some(skipped) => write_skipped(out, skipped),
            None if 0 < self.skipped => {
                writeln!(
                    out,
                    "list the skipped files with `magiclens index --list-skipped --index {}`",
                    args.index.display()
                )
            }
            None => Ok(()),
        }
    }
}

/// One line a file, whatever its name contains.
fn write_skipped(out: &mut impl Write, skipped: &[Skipped]) -> std::io::Result<()> {
    for Skipped {
        path, reason, detail, ..
    } in skipped
    {
        writeln!(out, "{reason:<14}  {}  ({detail})", one_line(path))?;
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

/// Loads the model that was asked for, or the default one.
pub(crate) fn load_model(model: Option<&Path>) -> anyhow::Result<Embedder> {
    let path = model_choice::resolve(model)?;
    Embedder::load(&path).with_context(|| format!("cannot load the model `{}`", path.display()))
}

/// What an index records of the model.
pub(crate) fn stamp_of(embedder: &Embedder) -> ModelStamp {
    ModelStamp {
        model_id: embedder.model_id().to_owned(),
        dim: embedder.dim(),
    }
}
