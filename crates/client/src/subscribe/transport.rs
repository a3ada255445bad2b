//! How a subscription is carried.

use serde::Serialize;

/// Over what this client subscribes. Presence has a type of its own, since others may subscribe in ways that
/// this client does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Server-Sent Events.
    Sse,
    /// A WebSocket.
    Ws,
}

impl Transport {
    /// Returns the last segment of its route below a topic.
    #[must_use]
    pub fn segment(self) -> &'static str {
        match self {
            Self::Sse => "events",
            Self::Ws => "ws",
        }
    }
}
