//! Accepts connections, until the shutdown; requests in work are finished.

use std::{net::SocketAddr, time::Duration};

use tokio::net::TcpListener;
use tower_http::timeout::TimeoutLayer;

use super::Listener;

/// Time for a whole request beyond the generation itself: body, signature, outbox.
const REQUEST_MARGIN: Duration = Duration::from_secs(15);

/// Serves until the shutdown begins and the requests in work are answered.
///
/// # Errors
/// When the socket fails.
pub async fn serve(listener: Listener, socket: TcpListener) -> std::io::Result<()> {
    let shutdown = listener.inner.shutdown.clone();
    let timeout = listener.inner.pipeline.timeout() + REQUEST_MARGIN;
    let layer = TimeoutLayer::with_status_code(http::StatusCode::GATEWAY_TIMEOUT, timeout);
    let router = listener.router().layer(layer);
    let over = shutdown.clone();
    let serving = axum::serve(
        socket,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .with_graceful_shutdown(async move { shutdown.drained().await });
    tokio::select! {
        result = serving => result,
        () = over.over() => Ok(()),
    }
}
