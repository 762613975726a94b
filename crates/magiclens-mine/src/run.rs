//! A run: its place and its manifest, which says the configuration and the shards of the input.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use magiclens_web::input::{self, Entry};
use serde::{Deserialize, Serialize};

use crate::config::MineConfig;
use crate::store::Store;

/// The facts that are fixed at the begin of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    config: MineConfig,
    entries: Vec<Entry>,
}

/// A run.
#[derive(Debug)]
pub struct Run {
    store: Store,
    manifest: Manifest,
    /// Steps that this process has found done; they stay so until a task is forgotten.
    done: Mutex<BTreeSet<&'static str>>,
}

const MANIFEST: &str = "run.json";
/// The weights that a run was begun with.
const MODELS: &str = "models.json";

impl Run {
    /// Begins a run at `address` over `inputs`, or goes on with the run that is there.
    ///
    /// # Errors
    /// A place that holds a run of another configuration or other inputs; inputs that cannot be read.
    pub fn create(address: &str, config: &MineConfig, inputs: &[PathBuf]) -> anyhow::Result<Self> {
        config.check()?;
        // Tasks may be done from other folders than this one.
        let absolute = |input: &PathBuf| match input.to_str() {
            Some(text) if text.contains("://") => Ok(input.clone()),
            _ => std::path::absolute(input).with_context(|| format!("input `{}`", input.display())),
        };
        let inputs = inputs.iter().map(absolute).collect::<anyhow::Result<Vec<_>>>()?;
        let manifest = Manifest {
            config: config.clone(),
            entries: input::plan(&inputs, &config.input)?,
        };
        let store = Store::open(address)?;
        let bytes = serde_json::to_vec_pretty(&manifest)?;
        if store.create_exclusive(MANIFEST, &bytes)? {
            let run = Self::of(store, manifest);
            run.write_config()?;
            return Ok(run);
        }
        let run = Self::open(address)?;
        ensure!(
            run.manifest.config == manifest.config,
            "`{address}` holds a run with another configuration\nhint: go on with it by leaving out `--config` and inputs, or choose a new place"
        );
        ensure!(
            run.manifest.entries == manifest.entries,
            "`{address}` holds a run over other inputs ({} shards there, {} here)\nhint: go on with it by leaving out `--config` and inputs, or choose a \
             new place",
            run.manifest.entries.len(),
            manifest.entries.len()
        );
        run.write_config()?;
        Ok(run)
    }

    /// The configuration for people to read; the manifest is what counts.
    fn write_config(&self) -> anyhow::Result<()> {
        match self.store.exists("config.toml")? {
            true => Ok(()),
            false => self
                .store
                .write("config.toml", toml::to_string(self.config())?.as_bytes()),
        }
    }

    /// Fixes the weights of the run's encoders when it begins to use them.
    ///
    /// # Errors
    /// A run that was begun with other weights: their vectors do not compare.
    pub(crate) fn fix_models(&self, models: &[String]) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(models)?;
        if self.store.create_exclusive(MODELS, &text)? {
            return Ok(());
        }
        let begun = self.models()?;
        ensure!(
            begun == models,
            "the run was begun with the weights {begun:?}, not {models:?}\nhint: name those weights with `--model`, or begin a new run"
        );
        Ok(())
    }

    /// Names and digests of the encoders' weights; none before the first pages are done.
    ///
    /// # Errors
    /// A place that cannot be read.
    pub fn models(&self) -> anyhow::Result<Vec<String>> {
        if !self.store.exists(MODELS)? {
            return Ok(Vec::new());
        }
        Ok(serde_json::from_slice(&self.store.read(MODELS)?)?)
    }

    /// Opens a run that was begun.
    ///
    /// # Errors
    /// A place without a run.
    pub fn open(address: &str) -> anyhow::Result<Self> {
        let store = Store::open(address)?;
        ensure!(
            store.exists(MANIFEST)?,
            "`{address}` holds no run\nhint: begin one with `magiclens mine plan {address} --input FILES`"
        );
        let manifest = serde_json::from_slice(&store.read(MANIFEST)?)
            .with_context(|| format!("`{address}/{MANIFEST}` is no manifest of this version\nhint: begin a new run"))?;
        Ok(Self::of(store, manifest))
    }

    fn of(store: Store, manifest: Manifest) -> Self {
        Self {
            store,
            manifest,
            done: Mutex::default(),
        }
    }

    /// The place where it lives.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its settings.
    pub fn config(&self) -> &MineConfig {
        &self.manifest.config
    }

    /// The shards of its input.
    pub fn entries(&self) -> &[Entry] {
        &self.manifest.entries
    }

    /// Removes what killed processes left behind. For the one machine that does a whole run; the files of others that
    /// are still at work are left alone.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub fn clean_leftovers(&self) -> anyhow::Result<()> {
        const A_DAY: Duration = Duration::from_secs(24 * 3600);
        self.store.clean(A_DAY)?;
        Ok(())
    }

    /// The steps that this process has found done.
    pub(crate) fn done(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
