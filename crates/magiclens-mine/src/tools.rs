//! Models, filters and connections that tasks compute with; loaded once a process, when first needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use magiclens_web::fetch::Fetcher;

use crate::config::MineConfig;
use crate::encoder::Encoders;
use crate::filter::Filters;
use crate::language_model::{Cache, ChatEndpoint, Usage};

/// From the name of a model in the configuration to its files.
pub type Locate = dyn Fn(&Path) -> anyhow::Result<PathBuf> + Send + Sync;

/// The tools of this process.
#[derive(Default)]
pub struct Tools {
    default_model: PathBuf,
    locate: Option<Box<Locate>>,
    encoders: OnceLock<Encoders>,
    filters: OnceLock<Filters>,
    fetcher: OnceLock<Fetcher>,
    captioner: OnceLock<ChatEndpoint>,
    writer: OnceLock<ChatEndpoint>,
    /// Folder of replies; none keeps none.
    reply_cache: Option<PathBuf>,
}

impl Tools {
    /// Nothing is loaded yet. `default_model` is the checkpoint of encoders that name none; replies of language models are kept in
    /// `reply_cache`, which any number of processes and runs may share.
    pub fn new(default_model: PathBuf, reply_cache: Option<PathBuf>) -> Self {
        Self {
            default_model,
            reply_cache,
            ..Self::default()
        }
    }

    /// The same tools, which take names of models in the configuration to their files; without it, names are paths.
    #[must_use]
    pub fn with_locate(mut self, locate: impl Fn(&Path) -> anyhow::Result<PathBuf> + Send + Sync + 'static) -> Self {
        self.locate = Some(Box::new(locate));
        self
    }

    fn located(&self, name: &Path) -> anyhow::Result<PathBuf> {
        match &self.locate {
            Some(locate) => locate(name),
            None => Ok(name.to_owned()),
        }
    }

    pub(crate) fn encoders(&self, config: &MineConfig) -> anyhow::Result<&Encoders> {
        loaded(&self.encoders, || {
            Encoders::load(&config.encoder, &self.default_model, |name| self.located(name))
        })
    }

    pub(crate) fn filters(&self, config: &MineConfig) -> anyhow::Result<&Filters> {
        loaded(&self.filters, || Filters::new(&config.filter))
    }

    pub(crate) fn fetcher(&self, config: &MineConfig) -> anyhow::Result<&Fetcher> {
        loaded(&self.fetcher, || Fetcher::new(&config.fetch))
    }

    /// The model that describes images, if the configuration has one.
    pub(crate) fn captioner(&self, config: &MineConfig) -> anyhow::Result<Option<&ChatEndpoint>> {
        let load = |caption| loaded(&self.captioner, || ChatEndpoint::new(caption, self.cache()));
        config.caption.as_ref().map(|caption| load(&caption.model)).transpose()
    }

    /// The model that writes instructions.
    pub(crate) fn writer(&self, config: &MineConfig) -> anyhow::Result<&ChatEndpoint> {
        let writer = config.writer.as_ref().context("there is no `[writer.model]`")?;
        loaded(&self.writer, || ChatEndpoint::new(&writer.model, self.cache()))
    }

    fn cache(&self) -> Option<Cache> {
        self.reply_cache.as_ref().map(Cache::new)
    }

    /// Requests, tokens and money so far, by model.
    pub(crate) fn usage(&self) -> BTreeMap<String, Usage> {
        let models = [("caption", &self.captioner), ("writer", &self.writer)].into_iter();
        let used = models.filter_map(|(name, model)| Some((name.to_owned(), model.get()?.usage())));
        used.collect()
    }

    /// The use since then.
    pub(crate) fn usage_since(&self, before: &BTreeMap<String, Usage>) -> BTreeMap<String, Usage> {
        let since = |(name, usage): (String, Usage)| {
            let before = before.get(&name).copied().unwrap_or_default();
            (name, usage - before)
        };
        self.usage().into_iter().map(since).collect()
    }
}

fn loaded<T>(cell: &OnceLock<T>, load: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<&T> {
    if let Some(loaded) = cell.get() {
        return Ok(loaded);
    }
    let new = load()?;
    Ok(cell.get_or_init(|| new))
}
