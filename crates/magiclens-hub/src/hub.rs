//! Finding, fetching, listing and removing models.

use std::path::PathBuf;

use fs_err as fs;

use crate::cache::{Cache, Snapshot, lock};
use crate::config::HubConfig;
use crate::error::HubError;
use crate::name::{HubName, Published};
use crate::progress::Progress;

/// The models of this machine, and the way to more.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    cache: Cache,
}

/// A published checkpoint on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishedFile {
    /// Imported: a checkpoint of ours.
    Imported(PathBuf),
    /// The pickle as it was published, to be imported to `target`.
    Pickle {
        /// The pickle.
        path: PathBuf,
        /// Place of the imported checkpoint.
        target: PathBuf,
    },
}

impl Hub {
    /// The models that these settings lead to.
    pub fn new(config: HubConfig) -> Self {
        let cache = Cache::new(&config.cache);
        Self { config, cache }
    }

    /// The settings.
    pub fn config(&self) -> &HubConfig {
        &self.config
    }

    /// A model of the hub, from the cache if all of it is there, else fetched.
    ///
    /// # Errors
    /// A model that neither is here nor can be fetched.
    pub fn get(&self, name: &HubName, progress: &mut dyn Progress) -> Result<Snapshot, HubError> {
        match self.cache.find(name) {
            Some(snapshot) => Ok(snapshot),
            None => self.pull(name, progress),
        }
    }

    /// A model of the hub as it is there now. Files that are here already are not fetched again.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn pull(&self, name: &HubName, progress: &mut dyn Progress) -> Result<Snapshot, HubError> {
        self.check_allowed(&name.to_string())?;
        let commit = self.fetch(name, progress)?;
        self.cache.find(&commit).ok_or_else(|| HubError::NoModel {
            repository: name.repository.clone(),
        })
    }

    /// A model of the hub that is on this machine.
    pub fn find(&self, name: &HubName) -> Option<Snapshot> {
        self.cache.find(name)
    }

    /// All models of the hub on this machine.
    pub fn all(&self) -> Vec<Snapshot> {
        self.cache.all()
    }

    /// A published checkpoint, fetched unless it is here.
    ///
    /// # Errors
    /// See [`HubError`].
    pub fn published(&self, model: Published, progress: &mut dyn Progress) -> Result<PublishedFile, HubError> {
        if let Some(found) = self.find_published(model) {
            return Ok(found);
        }
        self.check_allowed(model.name())?;
        let lock_file = self.config.models.join(format!("{}.lock", model.file()));
        let waiting = || progress.note(&format!("another program fetches {}; waiting for it", model.name()));
        let _lock = lock(&lock_file, waiting)?;
        match self.find_published(model) {
            Some(found) => Ok(found),
            None => {
                self.fetch_published(model, progress)?;
                Ok(self.pickle(model))
            }
        }
    }

    /// A published checkpoint that is on this machine.
    pub fn find_published(&self, model: Published) -> Option<PublishedFile> {
        let imported = self.imported_path(model);
        if imported.is_file() {
            return Some(PublishedFile::Imported(imported));
        }
        self.pickle_path(model).is_file().then(|| self.pickle(model))
    }

    fn pickle(&self, model: Published) -> PublishedFile {
        PublishedFile::Pickle {
            path: self.pickle_path(model),
            target: self.imported_path(model),
        }
    }

    fn imported_path(&self, model: Published) -> PathBuf {
        self.config.models.join(format!("{}.safetensors", model.name()))
    }

    fn pickle_path(&self, model: Published) -> PathBuf {
        self.config.models.join(model.file())
    }

    /// Removes a model of the hub: one revision if the name has one, else all. Returns the bytes that this freed.
    ///
    /// # Errors
    /// A model that is not here, or files that cannot be removed.
    pub fn remove(&self, name: &HubName) -> Result<u64, HubError> {
        self.cache.remove(name)
    }

    /// Removes a published checkpoint. Returns the bytes that this freed.
    ///
    /// # Errors
    /// See [`Hub::remove`].
    pub fn remove_published(&self, model: Published) -> Result<u64, HubError> {
        let mut freed = 0;
        for path in [self.imported_path(model), self.pickle_path(model)] {
            if let Ok(metadata) = fs::metadata(&path) {
                fs::remove_file(path)?;
                freed += metadata.len();
            }
        }
        match freed {
            0 => Err(HubError::NotHere(model.name().to_owned())),
            _ => Ok(freed),
        }
    }

    fn check_allowed(&self, name: &str) -> Result<(), HubError> {
        match self.config.offline {
            true => Err(HubError::Offline { name: name.to_owned() }),
            false => Ok(()),
        }
    }

    /// Fetches the files of a model and returns its commit.
    #[cfg(feature = "download")]
    fn fetch(&self, name: &HubName, progress: &mut dyn Progress) -> Result<HubName, HubError> {
        crate::client::Client::new(&self.config)?.fetch(name, &self.cache, progress)
    }

    #[cfg(feature = "download")]
    fn fetch_published(&self, model: Published, progress: &mut dyn Progress) -> Result<(), HubError> {
        crate::client::Client::new(&self.config)?.fetch_published(model, &self.pickle_path(model), progress)
    }

    #[cfg(not(feature = "download"))]
    fn fetch(&self, name: &HubName, _progress: &mut dyn Progress) -> Result<HubName, HubError> {
        Err(HubError::NoDownloads { name: name.to_string() })
    }

    #[cfg(not(feature = "download"))]
    fn fetch_published(&self, model: Published, _progress: &mut dyn Progress) -> Result<(), HubError> {
        let name = model.name().to_owned();
        Err(HubError::NoDownloads { name })
    }
}
