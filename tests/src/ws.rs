//! WebSockets, as a browser or an origin opens them.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use headstart_protocol::event::Event;
use reqwest::{Response, Upgraded};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message, handshake::derive_accept_key, protocol::Role},
};

use crate::{answer::header, wait::within};

/// An open WebSocket.
#[derive(Debug)]
pub struct Ws(WebSocketStream<Upgraded>);

/// What came over a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A text message.
    Text(String),
    /// The other side closed, with this code.
    Closed(u16),
    /// The connection broke.
    Broken,
}

impl Ws {
    /// The WebSocket that `response` opens, to a request with this `Sec-WebSocket-Key`.
    pub(crate) async fn open(response: Response, key: &str) -> reqwest::Result<Self> {
        let accept = header(response.headers(), "sec-websocket-accept");
        assert_eq!(accept, derive_accept_key(key.as_bytes()));
        let connection = response.upgrade().await?;
        Ok(Self(
            WebSocketStream::from_raw_socket(connection, Role::Client, None).await,
        ))
    }

    /// What comes next. Pings and pongs are passed over.
    pub async fn hear(&mut self) -> Heard {
        loop {
            let message = within("the next message of a WebSocket", self.0.next()).await;
            return match message {
                Some(Ok(Message::Text(text))) => Heard::Text(text.to_string()),
                Some(Ok(Message::Close(frame))) => {
                    Heard::Closed(frame.map_or(1005, |frame| frame.code.into()))
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(other)) => panic!("unexpected: {other:?}"),
                Some(Err(_)) | None => Heard::Broken,
            };
        }
    }

    /// The payload of the pong that comes next, before anything else.
    pub async fn pong(&mut self) -> Vec<u8> {
        let message = within("the pong of a WebSocket", self.0.next()).await;
        match message {
            Some(Ok(Message::Pong(payload))) => payload.to_vec(),
            other => panic!("waited for a pong and got {other:?}"),
        }
    }

    /// The event that comes next.
    pub async fn event(&mut self) -> Event {
        match self.hear().await {
            Heard::Text(text) => {
                Event::from_json(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
            }
            other => panic!("waited for an event and got {other:?}"),
        }
    }

    /// The one event that comes before the other side closes in order.
    pub async fn only(mut self) -> Event {
        let event = self.event().await;
        assert_eq!(self.hear().await, Heard::Closed(1000), "after {event:?}");
        event
    }

    /// For how long the other side keeps the connection after it has closed in order.
    pub async fn lingers(mut self) -> Duration {
        let begun = Instant::now();
        let end = async { while self.0.next().await.is_some() {} };
        within("the end of a connection", end).await;
        begun.elapsed()
    }

    /// Says something.
    pub async fn say(&mut self, message: impl Into<Message>) {
        self.try_say(message).await.expect("the WebSocket is open");
    }

    /// Says something, unless the WebSocket is closed already.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn try_say(&mut self, message: impl Into<Message>) -> tungstenite::Result<()> {
        within("a message to be sent", self.0.send(message.into())).await
    }
}
