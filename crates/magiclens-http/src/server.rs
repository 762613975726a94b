//! From a router to a running server, and its orderly end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Time that running requests get after the order to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

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
