//! What `POST /events` answers: one result for each event, in the order of the batch.

use serde::{Deserialize, Serialize};

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Taken.
    Accepted,
    /// The same `source` and `id` had been taken before; nothing changed.
    Duplicate,
    /// Well formed, but too late to matter: another event settled the ticket first, or it expired.
    Ignored,
    /// Will never be taken: malformed, or not about a ticket of ours.
    Rejected,
    /// Could not be taken now: send it again.
    Retry,
}

impl Status {
    /// Returns whether the sender is done with the event.
    #[must_use]
    pub fn is_final(self) -> bool {
        self != Self::Retry
    }
}

/// The result of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventResult {
    /// The event's id; empty for one that could not be read.
    pub id: String,
    /// What became of it.
    pub status: Status,
    /// Why, where the status does not say enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The body of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishReport {
    /// One result for each event, in the order of the batch.
    pub results: Vec<EventResult>,
}
