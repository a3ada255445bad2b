//! What one login, received in one way, came to.

use std::time::Duration;

use super::{
    edge_client::{ClientError, Offer},
    way::Way,
};

/// What one attempt came to.
#[derive(Debug)]
pub struct Attempt {
    /// The way.
    pub way: Way,
    /// The offer and the times, or why there are none.
    pub result: Result<Received, ClientError>,
}

impl Attempt {
    /// Returns whether the edge was not reached, or takes no login without a signature.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(
            self.result,
            Err(ClientError::Unreachable { .. } | ClientError::Unsigned)
        )
    }
}

/// An offer, received and timed by the client's clock.
#[derive(Debug)]
pub struct Received {
    /// From sending the login to having its ticket. Zero for the origin's own way, which has none.
    pub ticket_after: Duration,
    /// From the moment the user asks for the offer to having it: the wait that is felt. For the ways
    /// that wait from the start, the user asks by logging in.
    pub felt: Duration,
    /// The same once more for an offer that was read again at once; only when already positioned.
    pub felt_again: Option<(Duration, Offer)>,
    /// Requests that the client made, the login included.
    pub requests: u32,
    /// The offer.
    pub offer: Offer,
}
