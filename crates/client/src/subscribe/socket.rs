//! A WebSocket over a connection of its own, and the channel's messages on it.

use futures_util::{SinkExt, StreamExt};
use headstart_protocol::channel::{CLOSE_FORBIDDEN, CLOSE_TOKEN, PING_TEXT, Up};
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{SubscribeError, ask::Answer, connect::Connection, request::Request};

/// Bytes read at a time. The library's default is 128 KiB, which thousands of subscribers in one process
/// would each hold.
const READ_BYTES: usize = 8 * 1024;

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket(WebSocketStream<Connection>);

impl Socket {
    /// Opens it.
    ///
    /// # Errors
    /// [`SubscribeError`]; an answer that is no WebSocket is [`SubscribeError::Refused`].
    pub async fn open(request: &Request) -> Result<Self, SubscribeError> {
        let key = generate_key();
        let fixed = |name, value| (name, HeaderValue::from_static(value));
        let headers = [
            fixed(CONNECTION, "upgrade"),
            fixed(UPGRADE, "websocket"),
            fixed(SEC_WEBSOCKET_VERSION, "13"),
            (
                SEC_WEBSOCKET_KEY,
                HeaderValue::from_str(&key).map_err(SubscribeError::connection)?,
            ),
        ];
        let answer = Answer::to(request, &headers).await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(answer.refusal().await);
        }
        let accept = answer.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accept.is_none_or(|value| value != &derive_accept_key(key.as_bytes())) {
            return Err(SubscribeError::Malformed(
                "the answer is no WebSocket".to_owned(),
            ));
        }
        let (connection, read) = answer.switched().await;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0);
        Ok(Self(
            WebSocketStream::from_partially_read(
                connection,
                read.to_vec(),
                Role::Client,
                Some(config),
            )
            .await,
        ))
    }

    /// Returns the next message; `None` where the edge has closed it and trying again may help.
    ///
    /// # Errors
    /// [`SubscribeError`]; [`SubscribeError::Closed`] where trying again does not help.
    pub async fn next(&mut self) -> Result<Option<Utf8Bytes>, SubscribeError> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Some(text)),
                Some(Ok(Message::Close(frame))) => return closed(frame),
                // The library answers pings by itself.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(SubscribeError::connection(error)),
                None => return Ok(None),
            }
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`SubscribeError::Connection`].
    pub async fn send(&mut self, message: &Up) -> Result<(), SubscribeError> {
        self.send_text(message.to_json()).await
    }

    /// Asks whether the edge is there, which wakes nothing there.
    ///
    /// # Errors
    /// [`SubscribeError::Connection`].
    pub async fn ping(&mut self) -> Result<(), SubscribeError> {
        self.send_text(PING_TEXT).await
    }

    async fn send_text(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), SubscribeError> {
        self.0
            .send(Message::text(text))
            .await
            .map_err(SubscribeError::connection)
    }

    /// Says goodbye; whether or not the edge answers, the subscriber goes.
    pub async fn close(&mut self) {
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: Utf8Bytes::default(),
        };
        if let Err(error) = self.0.close(Some(goodbye)).await {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Result<Option<Utf8Bytes>, SubscribeError> {
    let Some(frame) = frame else { return Ok(None) };
    let code = u16::from(frame.code);
    // A message that was refused would be refused again; a token too.
    let is_final = matches!(
        code,
        CLOSE_TOKEN | CLOSE_FORBIDDEN | 1002 | 1003 | 1007..=1010
    );
    if is_final {
        return Err(SubscribeError::Closed {
            code,
            reason: frame.reason.to_string(),
        });
    }
    tracing::debug!(code, reason = %frame.reason, "the edge closed a connection");
    Ok(None)
}
