//! The subscriber's side of topics: follows one or several over one connection, and goes on by its
//! cursor when that breaks, so that no update comes twice and none is missed in silence.
//!
//! | question | file |
//! |---|---|
//! | What does one keep who follows topics? | [`subscription`] |
//! | What has been received, and where does it go on? | [`tracker`] |
//! | Over what is it carried? | [`transport`] |
//! | What is asked of the edge? | [`request`] |
//! | How is a connection opened, and the edge asked? | [`connect`], `ask.rs` |
//! | How is a stream of Server-Sent Events read? | [`sse`], [`event_stream`] |
//! | How is a WebSocket read? | [`socket`] |
//! | What is either as frames? | [`mod@line`] |
//! | How does the edge learn what has arrived? | `acks.rs` |
//! | How is an update shown, with its times? | [`render`] |

mod acks;
mod ask;
pub mod connect;
pub mod event_stream;
pub mod line;
pub mod render;
pub mod request;
pub mod socket;
pub mod sse;
pub mod subscription;
pub mod tracker;
pub mod transport;

use headstart_protocol::problem::Problem;
use http::StatusCode;

pub use subscription::{Start, Subscribe, Subscription, SubscriptionEvent, Update};

/// Why a subscriber gets nothing, or nothing more. Never names a token.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The URL of the edge is not one of HTTP, or the topics do not make a request.
    #[error("{0}")]
    Request(String),
    /// There is no connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// The edge answered with an error.
    #[error("the edge answered {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The problem's detail, or a word on the body.
        detail: String,
        /// How long the edge asked to be left alone, in seconds.
        retry_after: Option<u64>,
    },
    /// The edge closed the connection for good.
    #[error("the edge closed the connection: {code} {reason}")]
    Closed {
        /// The close code of the WebSocket.
        code: u16,
        /// Why.
        reason: String,
    },
    /// What came is not what the contract says.
    #[error("the edge's message is not understood: {0}")]
    Malformed(String),
}

impl SubscribeError {
    /// Returns a connection that failed, from any error.
    pub(crate) fn connection(error: impl std::fmt::Display) -> Self {
        Self::Connection(error.to_string())
    }

    /// Returns an answer that is no stream, with what its body says.
    pub(crate) fn refused(status: StatusCode, body: &[u8], retry_after: Option<u64>) -> Self {
        let in_a_word = status.canonical_reason().unwrap_or("it does not say why");
        Self::Refused {
            status: status.as_u16(),
            detail: serde_json::from_slice::<Problem>(body)
                .map_or_else(|_| in_a_word.to_owned(), |problem| problem.detail),
            retry_after,
        }
    }

    /// Returns whether trying again may help: the connection broke, or the edge is not well.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Malformed(_) => true,
            Self::Refused { status, .. } => *status >= 500 || matches!(status, 408 | 425 | 429),
            Self::Request(_) | Self::Closed { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
