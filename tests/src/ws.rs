//! WebSockets, as a browser or an origin opens them.

use futures_util::{SinkExt, StreamExt};
use headstart_protocol::event::Event;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderName, HeaderValue},
    },
};

use crate::{answer::Answer, wait::within};

/// An open WebSocket.
#[derive(Debug)]
pub struct Ws(WebSocketStream<MaybeTlsStream<TcpStream>>);

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
    pub(crate) async fn open(url: &str, headers: &[(&str, &str)]) -> Result<Self, Answer> {
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            request.headers_mut().insert(
                name.parse::<HeaderName>().expect("a header's name"),
                HeaderValue::from_str(value).expect("a header's value"),
            );
        }
        match Box::pin(connect_async(request)).await {
            Ok((ws, _)) => Ok(Self(ws)),
            Err(Error::Http(response)) => {
                let (parts, body) = response.into_parts();
                Err(Answer {
                    status: parts.status.as_u16(),
                    headers: parts.headers,
                    body: body.unwrap_or_default(),
                })
            }
            Err(error) => panic!("no WebSocket: {error}"),
        }
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

    /// Says something.
    pub async fn say(&mut self, message: impl Into<Message>) {
        let sent = within("a message to be sent", self.0.send(message.into())).await;
        sent.expect("the WebSocket is open");
    }
}
