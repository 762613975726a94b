//! From a configuration to a running server, and its orderly end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use magiclens_index::{IndexError, ModelStamp};
use magiclens_model::Embedder;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::app::{AppState, Limits, router};
use crate::guard::HostPolicy;
use crate::model::ModelQueue;
use crate::store::Store;

/// How long running requests may go on after the order to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Folder of the index.
    pub index: PathBuf,
    /// Weights, the same that the index was built with.
    pub model: PathBuf,
    /// Address to listen on. On a loopback address only this machine's names are answered, see [`HostPolicy`].
    pub host: IpAddr,
    /// Port to listen on; 0 picks a free one.
    pub port: u16,
    /// What one request may cost.
    pub limits: Limits,
}

impl ServeConfig {
    /// The usual configuration: 127.0.0.1, port 7878.
    pub fn new(index: impl Into<PathBuf>, model: impl Into<PathBuf>) -> Self {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            index: index.into(),
            model: model.into(),
            host,
            port: 7878,
            limits: Limits::default(),
        }
    }
}

/// Serves until the process is told to stop (Ctrl-C or SIGTERM), then lets running requests end.
///
/// `ready` is called once with the page's address, as soon as requests are answered.
///
/// # Errors
/// If the port is taken, or the index or the model cannot be opened, or they do not belong together.
pub async fn run(config: ServeConfig, ready: impl FnOnce(&str)) -> anyhow::Result<()> {
    // The port first: that it is taken should not be said after a long start.
    let listener = listen(SocketAddr::new(config.host, config.port)).await?;
    let state = tokio::task::spawn_blocking(move || open(&config)).await??;
    serve_until_stopped(listener, router(state), ready).await
}

/// Takes a port.
///
/// # Errors
/// If it is taken, or the address is not of this machine.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow!("cannot listen on `{address}`: {error}\nhint: choose another port with `--port`; 0 picks a free one")
    })
}

/// Answers requests until the process is told to stop (Ctrl-C or SIGTERM), then lets running ones end; `ready` is called
/// once with the address.
///
/// # Errors
/// If the socket fails.
pub async fn serve_until_stopped(
    listener: TcpListener,
    router: Router,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    let address = listener.local_addr().context("the listening socket has no address")?;
    let url = format!("http://{address}");
    tracing::info!(url, "serving");
    ready(&url);

    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop_signal().await;
        _ = stopping.send(());
    });
    tokio::select! {
        ended = async { server.await } => ended.context("the server ended")?,
        () = async { _ = stopped.await; tokio::time::sleep(SHUTDOWN_GRACE).await } => {
            tracing::warn!("some requests did not end in time and were cut off");
        }
    }
    Ok(())
}

/// Opens the index and the model, and starts the model's thread.
fn open(config: &ServeConfig) -> anyhow::Result<AppState> {
    let store = Store::open(&config.index)?;
    let model = Embedder::load(&config.model)?;
    let stamp = ModelStamp {
        model_id: model.model_id().to_owned(),
        dim: model.dim(),
    };
    if *store.stamp() != stamp {
        return Err(IndexError::OtherModel {
            dir: config.index.clone(),
            found: store.stamp().clone(),
            wanted: stamp,
        }
        .into());
    }
    let queue = ModelQueue::start(model, config.limits.max_searches)?;
    let hosts = HostPolicy::for_address(config.host);
    if hosts == HostPolicy::Any {
        tracing::warn!(host = %config.host, "everyone who reaches this address can search and see the indexed pictures");
    }
    Ok(AppState::new(queue, store, config.limits, hosts))
}

/// Returns when the process is told to stop.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} },
            Err(_) => _ = interrupt.await,
        }
    }
    #[cfg(not(unix))]
    {
        _ = interrupt.await;
    }
}
