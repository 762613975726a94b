//! From a configuration to a running server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use magiclens_http::{Hosts, listen, serve_until_stopped};
use magiclens_index::IndexError;
use magiclens_search::Encoder;

use crate::app::{AppState, Limits, router};
use crate::model::ModelQueue;
use crate::store::Store;

/// An index to serve, and the address to serve it at.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Folder of the index.
    pub index: PathBuf,
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
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 7878,
            allowed_hosts: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Serves until the process is told to stop (Ctrl-C or SIGTERM), then lets running requests end. `load` gives the model,
/// the same that the index was built with.
///
/// `ready` is called once with the page's address, as soon as requests are answered.
///
/// # Errors
/// If the port is taken, or the index or the model cannot be opened, or they do not belong together.
pub async fn run<E: Encoder + Send + Sync + 'static>(
    config: ServeConfig,
    load: impl FnOnce() -> anyhow::Result<E> + Send + 'static,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    // The port first: that it is taken should not be said after a long start.
    let listener = listen(SocketAddr::new(config.host, config.port)).await?;
    let state = tokio::task::spawn_blocking(move || open(config, load)).await??;
    serve_until_stopped(listener, router(state), ready).await
}

/// Opens the index and the model, and starts the model's thread.
fn open<E: Encoder + Send + Sync + 'static>(
    config: ServeConfig,
    load: impl FnOnce() -> anyhow::Result<E>,
) -> anyhow::Result<AppState> {
    let store = Store::open(&config.index)?;
    let model = load()?;
    let wanted = model.stamp();
    if *store.stamp() != wanted {
        let (dir, found) = (config.index, store.stamp().clone());
        return Err(IndexError::OtherModel { dir, found, wanted }.into());
    }
    let (queue, _) = ModelQueue::start(model, config.limits.max_searches)?;
    if !config.host.is_loopback() {
        tracing::warn!(host = %config.host, "everyone who reaches this address can search and see the indexed images");
    }
    let hosts = Hosts::for_address(config.host, config.allowed_hosts);
    Ok(AppState::new(queue, store, config.limits, hosts))
}
