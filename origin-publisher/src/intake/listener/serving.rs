//! Accepts connections until the shutdown, and answers the requests that are in work by then.
//!
//! By hand, because a slow client must not hold a connection for ever by sending its headers one
//! byte at a time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{Listener, answers::Refusal};

/// Time for a whole request beyond the generation itself: body, signature, outbox.
const REQUEST_MARGIN: Duration = Duration::from_secs(15);

/// How long a client may take for the headers of a request, and so how long a connection may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Most connections at once; more wait to be accepted. Each costs some tens of kilobytes.
const MAX_CONNECTIONS: usize = 4096;

/// How long after a failure to accept it is tried again: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the shutdown begins and the requests in work are answered, or until it is over.
pub async fn serve(listener: Listener, socket: TcpListener) {
    let shutdown = listener.inner.shutdown.clone();
    let timeout = listener.inner.pipeline.timeout() + REQUEST_MARGIN;
    let router = listener
        .router()
        .layer(from_fn_with_state(timeout, answer_in_time));
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        tokio::select! {
            (stream, place) = accept(&socket, &places) => {
                let connection = graceful.watch(connection(stream, router.clone()));
                tokio::spawn(async move {
                    // Fails when the client breaks the connection off, which is its right.
                    let _ = connection.await;
                    drop(place);
                });
            }
            () = shutdown.drained() => break,
        }
    }
    drop(socket);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = shutdown.over() => {}
    }
}

/// Accepts the next connection, once there is a place for it.
async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Fails only for a semaphore that is closed, which this one never is.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match socket.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves one connection, HTTP/1 or HTTP/2.
fn connection(
    stream: TcpStream,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error: Send> + Send + 'static {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIMEOUT);
    builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .into_owned()
}

/// Answers 504 for whatever takes too long.
async fn answer_in_time(
    State(timeout): State<Duration>,
    request: Request,
    next: Next,
) -> Result<Response, Infallible> {
    let answer = tokio::time::timeout(timeout, next.run(request)).await;
    Ok(answer.unwrap_or_else(|_| Refusal::Late.into_response()))
}
