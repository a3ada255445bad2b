//! The link: what edge and origin say to each other over the WebSocket that the origin opens to
//! `GET /origin/link?desk=K`. Every message is one JSON object with one member, whose name says what
//! it is.
//!
//! ```text
//! edge -> origin   {"welcome": {"desk": 0, "desks": 1, "lease_ms": 30000}}
//! origin -> edge   {"hello": {"origin": "london-1", "instance": "...", "capacity": 64, "held": []}}
//! edge -> origin   {"lease": {"lease": "...", "expires_in_ms": 30000, "event": {login event}}}
//! origin -> edge   {"ack": {"leases": ["..."]}}    the offers or failures are durable at the origin
//! origin -> edge   {"release": {"lease": "..."}}   not begun, or given up: hand it to another
//! origin -> edge   {"drain": {}}                   lease me no more; I am going
//! ```
//!
//! Beside these, the text [`PING_TEXT`] is answered [`PONG_TEXT`] without waking the desk. By that each side
//! learns that the other is gone though no connection broke: see [`DEAD_AFTER_MS`].
//!
//! [`PING_TEXT`]: crate::channel::PING_TEXT
//! [`PONG_TEXT`]: crate::channel::PONG_TEXT

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// How often an origin pings, in milliseconds: three times before it counts as gone.
pub const PING_EVERY_MS: u64 = 5_000;

/// A link over which nothing was heard for so long is dead, in milliseconds. The origin opens another one;
/// the desk, of an origin that has pinged, gives its leases back to the queue.
pub const DEAD_AFTER_MS: u64 = 15_000;

/// Most leases that one hello names. A lease's name has at most 47 bytes, so they stay below
/// [`MAX_LINK_MESSAGE_BYTES`](crate::limits::MAX_LINK_MESSAGE_BYTES).
pub const MAX_HELD_PER_HELLO: usize = 1_000;

/// Returns what the origin signs, in place of a body, to open the link to `desk`. It names the desk, so that
/// a handshake that was seen by someone else opens no other desk's link; the same desk refuses it because it
/// remembers the `webhook-id`.
#[must_use]
pub fn handshake_text(desk: u32) -> String {
    format!("GET /origin/link?desk={desk}")
}

/// A message from the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromEdge {
    /// The first message, before anything is leased.
    Welcome {
        /// Which desk this link is to, counted from 0.
        desk: u32,
        /// How many desks there are; the origin opens a link to each.
        desks: u32,
        /// How long a lease lasts, in milliseconds.
        lease_ms: u64,
    },
    /// A login, leased to this origin.
    Lease {
        /// Names the lease; another lease of the same login has another name.
        lease: String,
        /// Milliseconds from sending until the login may go to another origin.
        expires_in_ms: u64,
        /// The login event.
        event: Box<Event>,
    },
}

/// A message from the origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromOrigin {
    /// The first message: leases flow once it has come. It may come again, and then says anew how many
    /// leases are wanted; an origin that holds more than [`MAX_HELD_PER_HELLO`] wants none before the last.
    Hello {
        /// The origin's name, for logs.
        origin: String,
        /// Names this run of the origin, unlike every other. The desk closes its other links to it: they are
        /// left over. Empty where the origin does not say.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        instance: String,
        /// How many leases the origin wants to hold at once over this link.
        capacity: u32,
        /// Leases that it still holds from an earlier link and goes on with.
        held: Vec<String>,
    },
    /// Logins are done: their offers, or failures, are durable at the origin.
    Ack {
        /// Names of their leases; at most [`MAX_HELD_PER_HELLO`].
        leases: Vec<String>,
    },
    /// The origin hands the login back.
    Release {
        /// Name of the lease.
        lease: String,
    },
    /// The origin is going: no more leases. What it holds it finishes or releases.
    Drain {},
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_as_documented() {
        let cases = [
            (
                FromOrigin::Hello {
                    origin: "london-1".to_owned(),
                    instance: "i".to_owned(),
                    capacity: 64,
                    held: vec![],
                },
                r#"{"hello":{"origin":"london-1","instance":"i","capacity":64,"held":[]}}"#,
            ),
            (
                FromOrigin::Hello {
                    origin: "london-1".to_owned(),
                    instance: String::new(),
                    capacity: 64,
                    held: vec![],
                },
                r#"{"hello":{"origin":"london-1","capacity":64,"held":[]}}"#,
            ),
            (
                FromOrigin::Ack {
                    leases: vec!["a".to_owned()],
                },
                r#"{"ack":{"leases":["a"]}}"#,
            ),
            (FromOrigin::Drain {}, r#"{"drain":{}}"#),
        ];
        for (message, json) in cases {
            assert_eq!(serde_json::to_string(&message).unwrap(), json);
            assert_eq!(serde_json::from_str::<FromOrigin>(json).unwrap(), message);
        }
    }

    #[test]
    fn a_lease_keeps_the_very_bytes_of_the_event() {
        let json = r#"{"lease":{"lease":"a","expires_in_ms":1,"event":{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{ "b":1,"a":2 }}}}"#;
        let message: FromEdge = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&message).unwrap(), json);
    }
}
