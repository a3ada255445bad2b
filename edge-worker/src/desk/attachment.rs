//! What stands with a desk's WebSocket while the desk sleeps.

use headstart_edge_rules::desk::Greeting;
use serde::{Deserialize, Serialize};

/// Whose WebSocket it is.
#[derive(Debug, Serialize, Deserialize)]
pub enum Attachment {
    /// An origin's link.
    Link {
        /// Its id: the `webhook-id` of its handshake, which no other link can have.
        link: String,
        /// What its origin has said of itself.
        greeting: Option<Greeting>,
    },
    /// Somebody waits for a ticket to settle.
    Waiter {
        /// The ticket.
        ticket: String,
    },
}
