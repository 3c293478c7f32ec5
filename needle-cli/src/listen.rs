//! Connections: accepted until the process is asked to end, then served to the end of their requests.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router as Routes;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::{Outcome, note};

/// How long a client may take for the head of a request, and an idle connection stays open.
const HEAD: Duration = Duration::from_secs(30);

/// How long requests may go on after the process was asked to end.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// Serves until the process is asked to end, then lets open requests finish.
pub(crate) fn run(address: SocketAddr, routes: Routes) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("cannot listen on {address}: {error}"))?;
        note(format_args!("listening on http://{}", listener.local_addr()?));
        serve(listener, routes, asked_to_end()).await;
        Ok(())
    })
}

/// Serves connections until `end`.
async fn serve(listener: TcpListener, routes: Routes, end: impl Future<Output = ()>) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD).keep_alive_timeout(HEAD);
    let open = GracefulShutdown::new();
    let mut end = std::pin::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(failure) => {
                // Such as too many open files: others will be closed.
                tracing::warn!(%failure, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Small answers must not wait for more.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(routes.clone());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = open.watch(connection.into_owned());
        tokio::spawn(async move {
            // Clients that break off are no concern.
            let _ = connection.await;
        });
    }
    // What is not finished then is cut off.
    let _ = tokio::time::timeout(LAST_WORDS, open.shutdown()).await;
}

/// Ctrl-C, or the signal with which service managers stop a process.
async fn asked_to_end() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    // If the handler cannot be installed, the server runs until it is killed.
    if interrupted.await.is_err() {
        std::future::pending::<()>().await;
    }
}
