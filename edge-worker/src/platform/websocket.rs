//! Rules of WebSockets that all Durable Objects follow.

use headstart_edge_rules::topic::wires::codec::Message;
use headstart_protocol::channel::{PING_TEXT, PONG_TEXT};
use wasm_bindgen::JsValue;
use worker::{State, WebSocket, WebSocketPair, worker_sys::WebSocketRequestResponsePair};

use super::last_ping_js;
use crate::http::{error::Error, request::RequestContext};

/// The purpose was fulfilled.
pub const NORMAL: u16 = 1000;
/// A message of a kind that is not taken, such as binary.
pub const UNSUPPORTED: u16 = 1003;
/// A message that is not what its kind promises, such as broken JSON.
pub const MALFORMED: u16 = 1007;
/// A message that breaks a rule.
pub const POLICY: u16 = 1008;
/// The server cannot go on now; the client may try again.
pub const TRY_AGAIN: u16 = 1013;
/// A message over the limit.
pub const TOO_BIG: u16 = 1009;
/// Nothing was heard for too long.
pub const TIMED_OUT: u16 = 4008;
/// Another connection has taken the place of this one.
pub const REPLACED: u16 = 4009;

/// Returns the code to answer a close with. Codes that only report, and never travel, may not be sent: 1005
/// (none was given), 1006 (the connection broke), 1015 (TLS failed).
pub fn closing_code(received: usize) -> u16 {
    match u16::try_from(received) {
        Ok(code @ (1000..=1003 | 1007..=1014 | 3000..=4999)) => code,
        _ => NORMAL,
    }
}

/// Returns whether a request asks for a WebSocket.
pub fn is_upgrade(context: &RequestContext) -> bool {
    context
        .header("upgrade")
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Checks that a request asks for a WebSocket.
///
/// # Errors
/// [`Error::UpgradeRequired`].
pub fn require_upgrade(context: &RequestContext) -> Result<(), Error> {
    if is_upgrade(context) {
        Ok(())
    } else {
        Err(Error::UpgradeRequired)
    }
}

/// Lets the platform answer `ping` at an object, which it does without waking it.
pub fn answer_pings(state: &State) {
    if let Ok(pair) = WebSocketRequestResponsePair::new(PING_TEXT, PONG_TEXT) {
        state.set_websocket_auto_response(&pair);
    }
}

/// Returns when the platform last answered a `ping` of a socket of the object with this context, in milliseconds since the Unix epoch; `None`
/// when it never did.
pub fn last_ping_ms(context: &JsValue, socket: &WebSocket) -> Option<u64> {
    let at_ms = last_ping_js(context, socket.as_ref()).ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time in milliseconds"
    )]
    let at_ms = at_ms as u64;
    (at_ms > 0).then_some(at_ms)
}

/// Returns a pair of connected sockets: the client's end and ours.
///
/// # Errors
/// [`Error::Platform`].
pub fn pair() -> Result<(WebSocket, WebSocket), Error> {
    let WebSocketPair { client, server } = WebSocketPair::new()?;
    Ok((client, server))
}

/// Sends a message.
///
/// # Errors
/// [`Error::Platform`] when the socket does not take it.
pub fn send(socket: &WebSocket, message: &Message) -> Result<(), Error> {
    match message {
        Message::Bytes(bytes) => socket.send_with_bytes(bytes)?,
        Message::Text(text) => socket.send_with_str(text)?,
    }
    Ok(())
}

/// Closes a socket. One that is closed already is left as it is.
pub fn close(socket: &WebSocket, code: u16, reason: &str) {
    let _ = socket.close(Some(code), Some(reason));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_that_may_not_be_sent_is_answered_with_a_normal_close() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 70_000] {
            assert_eq!(closing_code(code), NORMAL, "{code}");
        }
        assert_eq!(closing_code(1001), 1001);
        assert_eq!(closing_code(4000), 4000);
    }

    proptest! {
        #[test]
        fn any_code_becomes_one_that_may_be_sent(received: usize) {
            let code = closing_code(received);
            prop_assert!(matches!(code, 1000..=1014 | 3000..=4999));
            prop_assert!(!matches!(code, 1004..=1006));
        }
    }
}
