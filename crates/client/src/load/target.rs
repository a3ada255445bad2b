//! A server that can be measured: how to subscribe there, and how to publish.

use std::fmt;

use http::{HeaderMap, StatusCode};
use url::Url;

use super::payload::Payload;
use crate::subscribe::{SubscribeError, request::Request, sse::Frame, transport::Transport};

/// A `POST` that publishes.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Where.
    pub url: Url,
    /// Its headers, the content type among them.
    pub headers: HeaderMap,
    /// What.
    pub body: Vec<u8>,
}

/// A server. What it says about frames is asked for each frame at each subscriber, so it must be quick.
pub trait Target: fmt::Debug + Send + Sync + 'static {
    /// Returns how updates travel.
    fn transport(&self) -> Transport;

    /// Returns the request that opens a subscription; one that goes on after `cursor`, unless that is empty.
    ///
    /// # Errors
    /// [`SubscribeError::Request`].
    fn subscribe(&self, cursor: &[u8]) -> Result<Request, SubscribeError>;

    /// Returns whether a subscriber is connected only once a frame has come that [`Self::is_welcome`]. Else
    /// it is with the answer to its request.
    fn greets(&self) -> bool {
        false
    }

    /// Returns whether the server says with this frame that the subscriber is connected.
    fn is_welcome(&self, frame: Frame<'_>) -> bool {
        let _ = frame;
        false
    }

    /// Notes in `cursor` where to go on after this frame.
    fn follow(&self, frame: Frame<'_>, cursor: &mut Vec<u8>) {
        let _ = (frame, cursor);
    }

    /// Returns what must be answered to this frame: the number of a ping.
    fn ping(&self, frame: Frame<'_>) -> Option<u64> {
        let _ = frame;
        None
    }

    /// Returns the requests that publish these, to be sent one after the other. Asked again for each attempt;
    /// what has been taken before must not be taken twice.
    ///
    /// # Errors
    /// A sentence on why there are none.
    fn publish(&self, updates: &[Payload]) -> Result<Vec<Publication>, String>;

    /// Checks that the server has accepted all of a publication.
    ///
    /// # Errors
    /// A sentence on why it has not; it is then published again.
    fn check(&self, status: StatusCode, body: &[u8]) -> Result<(), String>;
}
