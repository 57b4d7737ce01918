//! The host's end of the control API.

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Operations, routes,
    socket::{Accepted, ControlSocket, Listener},
};

/// The most connections at a time; more wait in the system's queue.
pub const CONNECTION_LIMIT: usize = 64;

/// How long a stopping server waits for the answers under way.
pub const GRACE: Duration = Duration::from_secs(5);

/// The time for a request's head, and for a connection to lie idle.
const HEAD_TIME_LIMIT: Duration = Duration::from_secs(10);

/// A client that stops reading must not keep its place among [`CONNECTION_LIMIT`] for ever.
const CONNECTION_TIME_LIMIT: Duration = Duration::from_secs(300);

const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Serves the control API until `stop` resolves. Then the socket goes away, answers under way
/// get [`GRACE`] to be given, and what is left is cut off.
pub async fn serve(
    socket: ControlSocket,
    operations: Arc<dyn Operations>,
    stop: impl Future<Output = ()>,
) {
    let app = routes::router(operations);
    let (mut listener, file) = socket.into_parts();
    let places = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            (stream, place) = accept(&mut listener, &places) => {
                connections.spawn(converse(stream, place, app.clone(), stopped.clone()));
            }
        }
    }
    drop(listener);
    drop(file);
    stopping.send_replace(true);
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    if timeout(GRACE, all_ended).await.is_err() {
        tracing::warn!("requests to the control API were cut off: the host stops");
    }
}

async fn accept(
    listener: &mut Listener,
    places: &Arc<Semaphore>,
) -> (Accepted, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so there is always a permit.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // Out of descriptors, most likely: that passes, and spinning would not help.
            Err(error) => {
                tracing::warn!(%error, "the control socket accepts no connection");
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

async fn converse(
    stream: Accepted,
    place: Option<OwnedSemaphorePermit>,
    app: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_LIMIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    let mut connection = pin!(connection);
    let over = async {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            () = sleep(CONNECTION_TIME_LIMIT) => {}
        }
    };
    let result = tokio::select! {
        result = &mut connection => result,
        () = over => {
            connection.as_mut().graceful_shutdown();
            match timeout(GRACE, connection).await {
                Ok(result) => result,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the control API broke");
    }
    drop(place);
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended.map_err(io::Error::from) {
        tracing::error!(%error, "a request to the control API failed inside the host");
    }
}
