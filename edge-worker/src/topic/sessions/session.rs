//! One connection at a Durable Object: who it is, and what its WebSocket says.

use headstart_protocol::{
    channel::{CLOSE_FORBIDDEN, CLOSE_TOKEN, Down, MessageError, Up},
    limits::MAX_SUBSCRIBER_MESSAGE_BYTES,
    presence::Transport,
    report::{EventResult, Status},
};
use serde::{Deserialize, Serialize};
use worker::{WebSocket, WebSocketIncomingMessage};

use crate::{
    config::Config,
    http::error::Error,
    platform::{self, websocket},
    topic::{access, subscription::Subscription},
};

/// What stands with a connection: with a stream as long as it lasts, with a WebSocket over the sleep of
/// its object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The connection's secret id, under which it acks.
    pub id: String,
    /// When it connected, in milliseconds since the Unix epoch.
    pub connected_at_ms: u64,
    /// How it is connected.
    pub transport: Transport,
    /// What it asked for.
    pub subscription: Subscription,
}

impl Session {
    /// When the right of a WebSocket ends, in milliseconds since the Unix epoch; a stream ends by itself.
    pub fn socket_expires_at_ms(&self) -> Option<u64> {
        let of_socket = self.transport == Transport::Ws;
        self.subscription.expires_at_ms().filter(|_| of_socket)
    }
}

/// What a message asks of the object.
#[derive(Debug)]
pub enum Asked {
    /// To let the connection in, whose token is good.
    Admit(Session),
    /// To note what the client says of itself.
    Note(Session, Box<Up>),
    /// Nothing: the message was answered here.
    Nothing,
}

/// Reads a message of the connection `session`. One that breaks a rule ends it.
pub fn hear(
    socket: &WebSocket,
    session: Session,
    message: WebSocketIncomingMessage,
    config: &Config,
) -> Asked {
    let WebSocketIncomingMessage::String(text) = message else {
        websocket::close(socket, websocket::UNSUPPORTED, "messages are JSON text");
        return Asked::Nothing;
    };
    if text.len() > MAX_SUBSCRIBER_MESSAGE_BYTES {
        websocket::close(socket, websocket::TOO_BIG, "the message is too large");
        return Asked::Nothing;
    }
    match Up::from_json(&text) {
        Err(MessageError::Event(error)) => {
            publish_failed(socket, "", Status::Rejected, error.to_string());
            Asked::Nothing
        }
        Err(error @ MessageError::Malformed { .. }) => {
            websocket::close(socket, websocket::MALFORMED, &error.to_string());
            Asked::Nothing
        }
        Ok(Up::Auth { token }) => admit(socket, session, token.as_str(), config),
        Ok(_) if session.subscription.awaited => {
            refuse(socket, &Error::TokenRequired);
            Asked::Nothing
        }
        Ok(up) => Asked::Note(session, Box::new(up)),
    }
}

fn admit(socket: &WebSocket, mut session: Session, token: &str, config: &Config) -> Asked {
    let topics = session.subscription.topics();
    match access::admit_token(token, config, &topics, platform::now_ms()) {
        Ok(claims) => {
            let first = session.subscription.awaited;
            session.subscription.claims = Some(claims);
            session.subscription.awaited = false;
            if first {
                Asked::Admit(session)
            } else {
                // A fresh token in time: the connection lives on under it.
                Asked::Note(session, Box::new(Up::Here { place: None }))
            }
        }
        Err(error) => {
            refuse(socket, &error);
            Asked::Nothing
        }
    }
}

/// Tells a client why it may not stay, and closes.
pub fn refuse(socket: &WebSocket, error: &Error) {
    let problem = error.problem();
    let code = match error {
        Error::TopicForbidden => CLOSE_FORBIDDEN,
        Error::TokenRequired | Error::TokenRefused(_) | Error::TokensUnsupported => CLOSE_TOKEN,
        _ => websocket::TRY_AGAIN,
    };
    let _ = socket.send_with_str(Down::Problem(problem).to_json());
    websocket::close(socket, code, &error.to_string());
}

/// Tells a client what became of what it published.
pub fn published(socket: &WebSocket, result: EventResult) {
    let _ = socket.send_with_str(Down::Published(result).to_json());
}

/// Tells a client why what it published was not taken.
pub fn publish_failed(socket: &WebSocket, id: &str, status: Status, reason: impl Into<String>) {
    let result = EventResult {
        id: id.to_owned(),
        status,
        reason: Some(reason.into()),
    };
    published(socket, result);
}

/// A new connection's secret id: what says at which object it is, and 128 random bits.
///
/// # Errors
/// [`Error::Platform`] where the platform has no random bits.
pub fn new_id(address: &str) -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Platform(error.to_string()))?;
    Ok(format!("{address}.{:032x}", u128::from_be_bytes(random)))
}
