//! The ways to receive an offer.

use clap::ValueEnum;
use serde::Serialize;

/// One way to receive an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub enum Way {
    /// Asks the origin itself, which generates while the client waits.
    Origin,
    /// Asks the edge again and again.
    Polling,
    /// Asks the edge once, and lets it hold the answer.
    LongPoll,
    /// Waits on a stream of Server-Sent Events.
    Sse,
    /// Waits on a WebSocket.
    WebSocket,
    /// Asks a little later, as a visitor does who first reads the page; the offer is there by then.
    Positioned,
}

impl Way {
    /// Every way, in the order in which they are shown.
    pub const ALL: [Self; 6] = [
        Self::Origin,
        Self::Polling,
        Self::LongPoll,
        Self::Sse,
        Self::WebSocket,
        Self::Positioned,
    ];

    /// Returns its name, as people read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Origin => "straight from the origin",
            Self::Polling => "polling",
            Self::LongPoll => "long-poll",
            Self::Sse => "SSE",
            Self::WebSocket => "WebSocket",
            Self::Positioned => "already positioned",
        }
    }
}
