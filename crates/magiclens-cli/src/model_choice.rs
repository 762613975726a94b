//! The model that a command uses: the one named, the one that an index was made with, or the default.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use magiclens_hub::{ModelName, Progress};
use magiclens_index::Index;
use magiclens_model::{DeviceName, Precision};
use magiclens_search::{LoadedModel, Method, ModelSource, Models, SearchError};

use crate::progress::{bytes_bar, tell};

/// The way in which all models are loaded.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct LoadOptions {
    /// Numbers that towers multiply: `f32`, `bf16` (faster where the CPU has it) or `int8` (fastest); see docs/speed.md
    #[arg(long, global = true, value_name = "PRECISION", default_value_t = Precision::F32)]
    precision: Precision,
    /// Keep the packed weights in the user's cache folder: later starts of any command map them from there, which takes a
    /// fraction of the time, and programs share their memory
    #[arg(long, global = true)]
    keep_packed: bool,
    /// Device that runs the towers: `cpu`, or in a program that was built for it `cuda`, `rocm`, `metal`, `vulkan` or `wgpu`, with a
    /// number as in `cuda:1` for another than the first one; several for `train`, as in `cuda:0,cuda:1`; see docs/devices.md
    #[arg(
        long,
        global = true,
        value_name = "DEVICE",
        value_delimiter = ',',
        default_value = "cpu"
    )]
    device: Vec<DeviceName>,
}

/// What a command heeds of the way in which models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heeds {
    /// All of it.
    All,
    /// The devices: its numbers are f32.
    #[cfg(feature = "train")]
    Devices,
    /// Nothing: it runs no towers, or runs them on the CPU in f32.
    Nothing,
}

static LOADING: OnceLock<LoadOptions> = OnceLock::new();

/// Sets the way of all models that are loaded from now on, and refuses what `command` would not heed.
pub(crate) fn set_loading(loading: LoadOptions, command: &str, heeds: Heeds) -> anyhow::Result<()> {
    let is_cpu = |device: &DeviceName| *device == DeviceName::default();
    ensure!(
        heeds == Heeds::All || (loading.precision == Precision::F32 && !loading.keep_packed),
        "`--precision` and `--keep-packed` change nothing in `{command}`\nhint: leave them out"
    );
    ensure!(
        heeds != Heeds::Nothing || loading.device.iter().all(is_cpu),
        "`{command}` runs on the CPU alone\nhint: leave out `--device`"
    );
    LOADING.get_or_init(|| loading);
    Ok(())
}

fn loading() -> LoadOptions {
    LOADING.get().cloned().unwrap_or_default()
}

fn models() -> anyhow::Result<Models> {
    let LoadOptions {
        precision,
        keep_packed,
        device,
    } = loading();
    ensure!(
        device.len() < 2,
        "only `train` works on several devices\nhint: name one with `--device`"
    );
    let device = device.first().copied().unwrap_or_default();
    ensure!(
        device == DeviceName::default() || (precision == Precision::F32 && !keep_packed),
        "`--precision` and `--keep-packed` are for the CPU\nhint: leave them out beside `--device {device}`"
    );
    let models = Models::default().with_precision(precision).with_packed(keep_packed);
    Ok(models.with_device(device))
}

/// The devices of a training.
#[cfg(feature = "train")]
pub(crate) fn devices() -> Vec<DeviceName> {
    loading().device
}

/// The files of a model, fetched where that is needed; of the default one if none is named.
pub(crate) fn locate(named: Option<&ModelName>) -> anyhow::Result<ModelSource> {
    let name = named.cloned().map_or_else(Models::default_name, Ok)?;
    Ok(Models::default().locate(&name, &mut Downloads::default())?)
}

/// A model, fetched where that is needed, and loaded; the default one if none is named.
pub(crate) fn load(named: Option<&ModelName>) -> anyhow::Result<LoadedModel> {
    let name = named.cloned().map_or_else(Models::default_name, Ok)?;
    Ok(models()?.load(&name, &mut Downloads::default())?)
}

/// The model that is named, else the one that the index was made with.
pub(crate) fn load_for(index: &Index, named: Option<&ModelName>) -> anyhow::Result<LoadedModel> {
    let recorded = &index.stamp().name;
    if named.is_some() || recorded.is_empty() {
        return load(named);
    }
    let dir = index.dir().display();
    let (models, name) = (models()?, recorded.parse());
    let loaded = name
        .map_err(anyhow::Error::from)
        .and_then(|name| Ok(models.load(&name, &mut Downloads::default())?));
    match loaded {
        // Another place of the model would not help.
        Err(error) if matches!(error.downcast_ref(), Some(SearchError::Device(_))) => Err(error),
        other => other.with_context(|| {
            format!("`{dir}` was made with the model `{recorded}`; name its new place with `--model`")
        }),
    }
}

/// The model that is named, else the one of the index in a folder if there is one.
pub(crate) fn load_for_folder(index: &Path, named: Option<&ModelName>) -> anyhow::Result<LoadedModel> {
    match Index::open(index) {
        Ok(index) => load_for(&index, named),
        // It is to be made, or whoever writes to it says what is wrong with it.
        Err(_) => load(named),
    }
}

/// Lets image + instruction be asked by a method.
pub(crate) fn ask_by(method: Method, model: &mut LoadedModel) -> anyhow::Result<()> {
    Ok(Models::default().ask_by(method, model, &mut Downloads::default())?)
}

/// Shows downloads as bars.
#[derive(Default)]
pub(crate) struct Downloads(Option<ProgressBar>);

impl Progress for Downloads {
    fn begin(&mut self, file: &str, size: Option<u64>, have: u64) {
        self.end();
        let bar = bytes_bar(size.unwrap_or(0), file);
        bar.set_position(have);
        bar.reset_eta();
        self.0 = Some(bar);
    }

    fn advance(&mut self, bytes: u64) {
        self.0.iter().for_each(|bar| bar.inc(bytes));
    }

    fn end(&mut self) {
        self.0.take().iter().for_each(ProgressBar::finish_and_clear);
    }

    fn note(&mut self, line: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }
}
