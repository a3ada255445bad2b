//! One session's WebSocket at a Durable Object: what its client says, and what is said to it alone.

use headstart_edge_rules::topic::{
    sessions::Session,
    wires::codec::{HearError, Message},
};
use headstart_protocol::{
    channel::{CLOSE_FORBIDDEN, CLOSE_TOKEN, Down, MessageError, Up},
    report::{EventResult, Status},
};
use worker::{WebSocket, WebSocketIncomingMessage};

use crate::{
    config::Config,
    http::error::Error,
    platform::{
        self, sockets,
        websocket::{self, MALFORMED, TOO_BIG, UNSUPPORTED},
    },
    topic::access,
};

/// What a client asks of the object.
#[derive(Debug)]
pub enum Asked {
    /// To let the session in, whose token is good.
    Admit,
    /// To note what the client says of itself.
    Note(Up),
    /// Nothing: it was answered here.
    Nothing,
}

/// Reads a message of a session's client. One that breaks a rule ends the connection.
pub fn hear(socket: &WebSocket, session: &Session, message: WebSocketIncomingMessage) -> Vec<Up> {
    let message = match message {
        WebSocketIncomingMessage::String(text) => Message::Text(text),
        WebSocketIncomingMessage::Binary(bytes) => Message::Bytes(bytes),
    };
    session
        .subscription
        .wire
        .codec()
        .hear(&message)
        .unwrap_or_else(|error| {
            let code = match &error {
                HearError::Kind(_) => UNSUPPORTED,
                HearError::TooLarge => TOO_BIG,
                HearError::Message(MessageError::Malformed { .. }) => MALFORMED,
                HearError::Message(MessageError::Event(error)) => {
                    publish_failed(socket, "", Status::Rejected, error.to_string());
                    return vec![];
                }
            };
            websocket::close(socket, code, &error.to_string());
            vec![]
        })
}

/// Finds out what a client asks of the object: who it is, and what it may, is judged here.
pub fn judge(socket: &WebSocket, session: &mut Session, up: Up, config: &Config) -> Asked {
    let refused = match up {
        Up::Auth { token } => match admit(session, token.as_str(), config) {
            Ok(asked) => return asked,
            Err(error) => error,
        },
        _ if session.subscription.awaited => Error::TokenRequired,
        up => return Asked::Note(up),
    };
    refuse(socket, &refused);
    Asked::Nothing
}

fn admit(session: &mut Session, token: &str, config: &Config) -> Result<Asked, Error> {
    let subscription = &mut session.subscription;
    let topics = subscription.topics();
    let claims = access::admit_token(token, config, &topics, platform::now_ms())?;
    subscription.claims = Some(claims);
    if std::mem::take(&mut subscription.awaited) {
        return Ok(Asked::Admit);
    }
    // A fresh token in time: the connection lives on under it.
    Ok(Asked::Note(Up::Here { place: None }))
}

/// Tells a client why it may not stay, and closes.
pub fn refuse(socket: &WebSocket, error: &Error) {
    let problem = error.problem();
    let code = match error {
        Error::TopicForbidden => CLOSE_FORBIDDEN,
        Error::TokenRequired | Error::TokenRefused(_) | Error::TokensUnsupported => CLOSE_TOKEN,
        _ => websocket::TRY_AGAIN,
    };
    say(socket, &Down::Problem(problem));
    websocket::close(socket, code, &error.to_string());
}

/// Tells a client what became of what it published.
pub fn published(socket: &WebSocket, result: EventResult) {
    say(socket, &Down::Published(result));
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

/// Says something to a client, unless it has gone.
fn say(socket: &WebSocket, down: &Down) {
    if let Some(session) = sockets::attachment::<Session>(socket) {
        for message in session.subscription.wire.codec().say(down) {
            let _ = websocket::send(socket, &message);
        }
    }
}

/// Returns a new session's secret id: what says at which object it is, and 128 random bits.
///
/// # Errors
/// [`Error::Platform`] where the platform has no random bits.
pub fn new_id(address: &str) -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Platform(error.to_string()))?;
    Ok(format!("{address}.{:032x}", u128::from_be_bytes(random)))
}
