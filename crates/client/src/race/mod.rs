//! The user's side of a login: fires a login at an edge, waits for the offer in one of several ways,
//! and measures what the user would have felt.
//!
//! | question | file |
//! |---|---|
//! | Which ways are there to receive an offer? | [`way`] |
//! | What is sent to an edge, and how is it read? | [`edge_client`] |
//! | How is one way run and timed? | `receive.rs` |
//! | What came of it? | [`attempt`] |
//! | Which parts did the time go into? | [`spans`] |
//! | Who hears what happens? | [`listener`] |
//! | What does a person see while it happens? | [`story`] |
//! | What is printed in the end? | [`table`], [`gain`], [`report`], [`offer_view`] |

pub mod attempt;
pub mod edge_client;
pub mod gain;
pub mod listener;
pub mod offer_view;
mod receive;
pub mod report;
pub mod spans;
pub mod statistics;
pub mod story;
pub mod table;
pub mod way;

use std::{sync::Arc, time::Duration};

use headstart_protocol::{keys::Key, login::LoginRequest};
use url::Url;

use self::{
    attempt::Attempt,
    edge_client::{ClientError, EdgeClient},
    listener::Listener,
    way::Way,
};

/// What to run.
#[derive(Debug)]
pub struct Plan {
    /// Who logs in, and with which attributes.
    pub login: LoginRequest,
    /// The edge.
    pub edge: Url,
    /// The origin's own listener, for the way that waits on it; not measured where absent.
    pub origin: Option<Url>,
    /// Signs the logins, for an edge that asks for it.
    pub login_key: Option<Key>,
    /// The ways to run, in this order.
    pub ways: Vec<Way>,
    /// How often each way is run.
    pub repeat: u32,
    /// How often a client that polls asks.
    pub poll_every: Duration,
    /// How long the visitor does something else before asking for an offer that is positioned.
    pub think: Duration,
    /// When a way is given up.
    pub give_up: Duration,
}

impl Plan {
    /// Runs every way, one after the other so that they do not disturb each other, each time with a
    /// login of its own, and tells `listener` what happens.
    ///
    /// # Errors
    /// When no client can be made; when from the start the edge cannot be reached, or takes no login
    /// without a signature: then no other way does better. What else goes wrong on the way is part of the [`Attempt`].
    pub async fn run(&self, listener: &dyn Listener) -> Result<Vec<Attempt>, ClientError> {
        let client = Arc::new(EdgeClient::new(
            self.edge.clone(),
            self.origin.clone(),
            self.login_key.clone(),
        )?);
        let mut attempts = Vec::new();
        for round in 1..=self.repeat {
            for &way in self.measured_ways() {
                listener.begins(way, round, self);
                let attempt = receive::run(way, &client, self, listener).await;
                if way != Way::Origin && attempts.iter().all(Attempt::is_lost) && attempt.is_lost()
                {
                    return attempt.result.map(|_| attempts);
                }
                listener.ended(&attempt);
                attempts.push(attempt);
            }
        }
        Ok(attempts)
    }

    /// Returns the ways that can be run: the origin's own only where an origin is given.
    fn measured_ways(&self) -> impl Iterator<Item = &Way> {
        self.ways
            .iter()
            .filter(|way| **way != Way::Origin || self.origin.is_some())
    }
}
