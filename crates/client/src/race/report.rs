//! The outcome for machines: `origin-publisher login --json`.

use std::time::Duration;

use headstart_protocol::stamps::Stamps;
use serde::Serialize;

use super::{
    Plan,
    attempt::{Attempt, Received},
    spans::{Span, spans},
    statistics::{Percentiles, as_ms},
    way::Way,
};

/// Everything that was run, in milliseconds of the client's clock unless a stamp says otherwise.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// The edge's URL.
    pub edge: &'a str,
    /// Who logged in.
    pub user: &'a str,
    /// How often each way was run.
    pub repeat: u32,
    /// How often polling asked.
    #[serde(rename = "poll_every_ms", serialize_with = "as_ms")]
    pub poll_every: Duration,
    /// How long the visitor looked around before asking for the positioned offer.
    #[serde(rename = "think_ms", serialize_with = "as_ms")]
    pub think: Duration,
    /// One entry for each way.
    pub ways: Vec<WayReport>,
}

/// One way.
#[derive(Debug, Serialize)]
pub struct WayReport {
    /// The way.
    pub way: Way,
    /// The wait that was felt; absent when no attempt succeeded or the way was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub felt: Option<Percentiles>,
    /// The same for the offer read once more; only when already positioned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub felt_again: Option<Percentiles>,
    /// Every attempt; none for a way that was not measured.
    pub attempts: Vec<AttemptReport>,
}

/// One attempt.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum AttemptReport {
    /// The offer came.
    Received {
        /// From login to ticket.
        #[serde(rename = "ticket_after_ms", serialize_with = "as_ms")]
        ticket_after: Duration,
        /// From asking to the offer.
        #[serde(rename = "felt_ms", serialize_with = "as_ms")]
        felt: Duration,
        /// Requests made, the login included.
        requests: u32,
        /// Size of the offer in bytes.
        offer_bytes: usize,
        /// Where the edge had it.
        #[serde(skip_serializing_if = "Option::is_none")]
        served_from: Option<String>,
        /// The offer's stamps.
        stamps: Stamps,
        /// The time between them.
        spans: Vec<Span>,
    },
    /// It did not.
    Failed {
        /// Why.
        error: String,
    },
}

impl<'a> Report<'a> {
    /// Returns the report of `attempts`.
    #[must_use]
    pub fn new(plan: &'a Plan, attempts: &[Attempt]) -> Self {
        Self {
            edge: plan.edge.as_str(),
            user: &plan.login.user,
            repeat: plan.repeat,
            poll_every: plan.poll_every,
            think: plan.think,
            ways: plan
                .ways
                .iter()
                .map(|&way| WayReport::new(way, attempts))
                .collect(),
        }
    }
}

impl WayReport {
    fn new(way: Way, attempts: &[Attempt]) -> Self {
        let received = || received(way, attempts);
        Self {
            way,
            felt: Percentiles::of(received().map(|received| received.felt)),
            felt_again: Percentiles::of(
                received().filter_map(|received| Some(received.felt_again.as_ref()?.0)),
            ),
            attempts: attempts
                .iter()
                .filter(|attempt| attempt.way == way)
                .map(AttemptReport::new)
                .collect(),
        }
    }
}

impl AttemptReport {
    fn new(attempt: &Attempt) -> Self {
        match &attempt.result {
            Ok(received) => Self::Received {
                ticket_after: received.ticket_after,
                felt: received.felt,
                requests: received.requests,
                offer_bytes: received.offer.body.len(),
                served_from: received.offer.served_from.clone(),
                stamps: received.offer.stamps,
                spans: spans(&received.offer.stamps),
            },
            Err(error) => Self::Failed {
                error: error.to_string(),
            },
        }
    }
}

/// Returns the attempts of one way that got their offer.
pub fn received(way: Way, attempts: &[Attempt]) -> impl Iterator<Item = &Received> {
    attempts
        .iter()
        .filter(move |attempt| attempt.way == way)
        .filter_map(|attempt| attempt.result.as_ref().ok())
}
