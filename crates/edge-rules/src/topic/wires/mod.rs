//! Wires: how an edge and a client of topics speak, each in a file of its own.
//!
//! | question | file |
//! |---|---|
//! | What does a wire have to say of itself? | [`codec`] |
//! | What are the frames of Server-Sent Events? | [`sse`] |
//! | What are the JSON messages of a WebSocket? | [`json`] |

pub mod codec;
pub mod json;
pub mod sse;

use serde::{Deserialize, Serialize};

use self::{codec::Codec, json::Json, sse::Sse};

/// How a client is connected, and so what is written to it and heard from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Server-Sent Events.
    Sse,
    /// JSON over a WebSocket.
    Json,
}

impl Wire {
    /// Returns how it puts things.
    #[must_use]
    pub fn codec(self) -> &'static dyn Codec {
        match self {
            Self::Sse => &Sse,
            Self::Json => &Json,
        }
    }
}

#[cfg(test)]
mod tests;
