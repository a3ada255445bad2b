//! Opens a link: a WebSocket whose opening request is signed.

use std::time::Duration;

use headstart_client::signing::signed_headers;
use headstart_protocol::{limits::MAX_LINK_MESSAGE_BYTES, link::handshake_text};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{self, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::Links;

/// How long opening may take, TLS and all.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An open link.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a link could not be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// The edge did not answer in time.
    #[error("the edge did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// The edge does not take our signature.
    #[error(
        "the edge refused the signature ({0}): it must have this origin's key in ORIGIN_KEYS, and both clocks must be right"
    )]
    Signature(u16),
    /// The edge answered something else.
    #[error("the edge answered {0}")]
    Status(u16),
    /// There was no connection, or what came over it was no WebSocket.
    #[error("{0}")]
    Connection(Box<tungstenite::Error>),
}

impl From<tungstenite::Error> for HandshakeError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => match response.status().as_u16() {
                status @ (401 | 403) => Self::Signature(status),
                status => Self::Status(status),
            },
            error => Self::Connection(Box::new(error)),
        }
    }
}

/// Opens the link to one desk.
pub(super) async fn open(links: &Links, desk: u32) -> Result<Socket, HandshakeError> {
    let url = links.edge.at(&format!("/origin/link?desk={desk}"));
    // `http` becomes `ws` and `https` becomes `wss`.
    let mut request = url.replacen("http", "ws", 1).into_client_request()?;
    request
        .headers_mut()
        .extend(signed_headers(handshake_text(desk).as_bytes(), &links.key));
    let config = WebSocketConfig::default()
        .max_message_size(Some(2 * MAX_LINK_MESSAGE_BYTES))
        .max_frame_size(Some(2 * MAX_LINK_MESSAGE_BYTES));
    let connect = connect_async_tls_with_config(request, Some(config), true, None);
    let (socket, _) = tokio::time::timeout(TIMEOUT, connect)
        .await
        .map_err(|_| HandshakeError::Timeout)??;
    Ok(socket)
}
