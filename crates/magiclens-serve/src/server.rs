//! From a configuration to a running server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use magiclens_http::{Hosts, listen, serve_until_stopped};
use magiclens_index::{Index, IndexError};
use magiclens_search::{Encoder, IndexProgress};

use crate::app::router;
use crate::indexing::Indexing;
use crate::model::ModelQueue;
use crate::state::{AppState, Limits};
use crate::store::Store;

/// An index to serve, and the address to serve it at.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Folder of the index.
    pub index: PathBuf,
    /// Folders and files to index while the index is served; the index is made if it does not exist.
    pub paths: Vec<PathBuf>,
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 picks a free one.
    pub port: u16,
    /// Names under which the server is reached, besides `localhost` and addresses in digits; see [`Hosts`].
    pub allowed_hosts: Vec<String>,
    /// Most that one request may cost.
    pub limits: Limits,
}

impl ServeConfig {
    /// The usual configuration: 127.0.0.1, port 7878.
    pub fn new(index: impl Into<PathBuf>) -> Self {
        Self {
            index: index.into(),
            paths: Vec::new(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 7878,
            allowed_hosts: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Serves until the process is told to stop (Ctrl-C or SIGTERM), then lets running requests end. `load` gives the model,
/// the same that the index was built with; `progress` hears of indexing in the background, which just ends with the
/// process: what is committed is safe, and the next run goes on.
///
/// `ready` is called once with the page's address, as soon as requests are answered.
///
/// # Errors
/// If the port is taken, or the index or the model cannot be opened, or they do not belong together.
pub async fn run<E: Encoder + Send + Sync + 'static>(
    config: ServeConfig,
    load: impl FnOnce() -> anyhow::Result<E> + Send + 'static,
    progress: impl IndexProgress + Send + 'static,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    // The port first: that it is taken should not be said after a long start.
    let listener = listen(SocketAddr::new(config.host, config.port)).await?;
    let state = tokio::task::spawn_blocking(move || open(config, load, progress)).await??;
    serve_until_stopped(listener, router(state), ready).await
}

/// Opens the index and the model, and starts the model's thread and the indexing.
fn open<E: Encoder + Send + Sync + 'static>(
    config: ServeConfig,
    load: impl FnOnce() -> anyhow::Result<E>,
    progress: impl IndexProgress + Send + 'static,
) -> anyhow::Result<AppState> {
    if let Some(path) = config.paths.iter().find(|path| !path.exists()) {
        let path = path.clone();
        return Err(IndexError::NoSuchPath { path }.into());
    }
    let model = load()?;
    let writer = match config.paths.is_empty() {
        true => None,
        false => Some(Index::create_or_open(&config.index, &model.stamp())),
    };
    let (store, wanted) = (Store::open(&config.index)?, model.stamp());
    if *store.stamp() != wanted {
        let (dir, found, wanted) = (config.index, Box::new(store.stamp().clone()), Box::new(wanted));
        return Err(IndexError::OtherModel { dir, found, wanted }.into());
    }
    let (queue, background) = ModelQueue::start(model, config.limits.max_searches)?;
    if !config.host.is_loopback() {
        tracing::warn!(host = %config.host, "everyone who reaches this address can search and see the indexed images");
    }
    let hosts = Hosts::for_address(config.host, config.allowed_hosts);
    let state = AppState::new(queue, store, config.limits, hosts);
    Ok(match writer {
        None => state,
        Some(Ok(index)) => state.with_indexing(Indexing::start(index, background, config.paths, progress)?),
        // Another process is indexing: its images can be searched all the same.
        Some(Err(error @ IndexError::Busy { .. })) => state.with_indexing(Indexing::failed(&error)),
        Some(Err(error)) => return Err(error.into()),
    })
}
