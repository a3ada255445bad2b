//! The links that origins hold open at a desk: their hibernating WebSockets, and what comes over them.

use headstart_edge_rules::desk::{CloseReason, Greeting};
use headstart_protocol::{
    limits::{MAX_ATTRIBUTE_BYTES, MAX_LINK_MESSAGE_BYTES},
    link::{FromEdge, FromOrigin},
};
use worker::{State, WebSocket, WebSocketIncomingMessage, console_log};

use crate::{desk::attachment::Attachment, http::error::Error, platform::websocket};

/// The tag of every link. The id of a link has no space.
const TAG: &str = "all links";

/// Why a link is closed, as its origin is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: u16,
    /// In words.
    pub reason: &'static str,
}

/// Accepts the socket of a link.
///
/// # Errors
/// [`Error::Platform`].
pub fn accept(state: &State, socket: &WebSocket, link: String) -> Result<(), Error> {
    state.accept_websocket_with_tags(socket, &[&link, TAG]);
    remember(socket, link, None)
}

/// Stores with a link's socket what its origin has said of itself.
///
/// # Errors
/// [`Error::Platform`].
pub fn remember(socket: &WebSocket, link: String, greeting: Option<Greeting>) -> Result<(), Error> {
    socket.serialize_attachment(Attachment::Link { link, greeting })?;
    Ok(())
}

/// Returns the links that are open, each with what its origin said and when it was last heard.
pub fn open(state: &State, now_ms: u64) -> Vec<(String, Option<Greeting>, u64)> {
    let sockets = state.get_websockets_with_tag(TAG).into_iter();
    let links = sockets.filter_map(|socket| match socket.deserialize_attachment() {
        Ok(Some(Attachment::Link { link, greeting })) => {
            Some((link, greeting, last_ping(state, &socket, now_ms)))
        }
        _ => None,
    });
    links.collect()
}

/// Returns when a link was last heard; 0 where it is not open. One that has never pinged does not tell: it
/// counts as heard now.
pub fn last_heard(state: &State, link: &str, now_ms: u64) -> u64 {
    let sockets = state.get_websockets_with_tag(link);
    sockets
        .first()
        .map_or(0, |socket| last_ping(state, socket, now_ms))
}

fn last_ping(state: &State, socket: &WebSocket, now_ms: u64) -> u64 {
    websocket::last_ping_ms(state.as_raw().as_ref(), socket).unwrap_or(now_ms)
}

/// Sends a message over a link; false when it is gone.
pub fn send(state: &State, link: &str, message: &FromEdge) -> bool {
    let sockets = state.get_websockets_with_tag(link);
    sockets
        .first()
        .is_some_and(|socket| socket.send(message).is_ok())
}

/// Closes the socket of a link that the desk has closed.
///
/// # Errors
/// [`Error::Platform`].
pub fn close(state: &State, link: String, why: CloseReason) -> Result<(), Error> {
    let (code, reason) = match why {
        CloseReason::Replaced => (websocket::REPLACED, "another link has said hello"),
        CloseReason::Dead => (websocket::TIMED_OUT, "nothing was heard for too long"),
    };
    console_log!("link {link} is closed: {reason}");
    if let Some(socket) = state.get_websockets_with_tag(&link).first() {
        // The platform may have it for a while: a desk that is built anew leases nothing to it.
        remember(socket, link, None)?;
        websocket::close(socket, code, reason);
    }
    Ok(())
}

/// Reads a message from a link.
///
/// # Errors
/// [`Refusal`], for what is not a message of an origin.
pub fn read(message: WebSocketIncomingMessage) -> Result<FromOrigin, Refusal> {
    let refuse = |code, reason| Err(Refusal { code, reason });
    let text = match message {
        WebSocketIncomingMessage::Binary(_) => {
            return refuse(websocket::UNSUPPORTED, "messages must be text");
        }
        WebSocketIncomingMessage::String(text) => text,
    };
    if text.len() > MAX_LINK_MESSAGE_BYTES {
        return refuse(websocket::TOO_BIG, "the message is too large");
    }
    let Ok(message) = serde_json::from_str(&text) else {
        return refuse(websocket::MALFORMED, "not a message of this link");
    };
    match &message {
        FromOrigin::Hello { origin, .. }
            if origin.is_empty()
                || origin.len() > MAX_ATTRIBUTE_BYTES
                || origin.chars().any(char::is_control) =>
        {
            refuse(
                websocket::POLICY,
                "the origin needs a name of up to 256 bytes",
            )
        }
        FromOrigin::Hello { instance, .. } if instance.len() > MAX_ATTRIBUTE_BYTES => refuse(
            websocket::POLICY,
            "an instance has a name of up to 256 bytes",
        ),
        _ => Ok(message),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(json: &str) -> WebSocketIncomingMessage {
        WebSocketIncomingMessage::String(json.to_owned())
    }

    #[test]
    fn a_message_of_the_link_is_read() {
        let message = read(text(r#"{"ack":{"leases":["a.1"]}}"#)).unwrap();
        let leases = vec!["a.1".to_owned()];
        assert_eq!(message, FromOrigin::Ack { leases });
    }

    #[test]
    fn anything_else_closes_the_link_with_a_fitting_code() {
        let long = "x".repeat(MAX_LINK_MESSAGE_BYTES + 1);
        let nameless = r#"{"hello":{"origin":"","capacity":1,"held":[]}}"#;
        let instance = "x".repeat(MAX_ATTRIBUTE_BYTES + 1);
        let hello = json!({ "origin": "a", "instance": instance, "capacity": 1, "held": [] });
        let long_instance = json!({ "hello": hello }).to_string();
        for (message, code) in [
            (WebSocketIncomingMessage::Binary(vec![1]), 1003),
            (text(&long), 1009),
            (text("{"), 1007),
            (text(r#"{"shutdown":{}}"#), 1007),
            (text(nameless), 1008),
            (text(&long_instance), 1008),
        ] {
            assert_eq!(read(message).unwrap_err().code, code);
        }
    }
}
