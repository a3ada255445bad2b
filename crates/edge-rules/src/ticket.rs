//! How a ticket stands: `pending -> ready | failed`, once and for all, then
//! `expired`. The object `DeskDo` does the I/O.

use headstart_protocol::{report::Status, settlement::Settlement, stamps::Stamps};
use serde::{Deserialize, Serialize};

/// A generation that failed: a settled state, told to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Why, in the words of whoever settled the ticket.
    pub reason: String,
    /// Id of the event that settled it.
    pub event_id: String,
    /// The stamps it had.
    pub stamps: Stamps,
}

/// How a ticket stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketState {
    /// Nothing has come yet. A ticket that was never heard of is pending too: an origin may mint.
    Pending,
    /// It has settled.
    Settled(Box<Settlement>),
    /// Its time is over, and everything about it deleted.
    Expired,
}

/// What becomes of an event that would settle the ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// As it is reported.
    pub status: Status,
    /// Why, where the status does not say enough.
    pub reason: Option<&'static str>,
}

impl TicketState {
    /// Returns what becomes of `settlement`. The first one wins; the same event again changes nothing.
    pub fn judge(&self, settlement: &Settlement) -> Verdict {
        let (status, reason) = match self {
            Self::Pending => (Status::Accepted, None),
            Self::Settled(first)
                if first.event_id == settlement.event_id && first.source == settlement.source =>
            {
                (Status::Duplicate, None)
            }
            Self::Settled(_) => (Status::Ignored, Some("another event settled the ticket")),
            Self::Expired => (Status::Ignored, Some("the ticket has expired")),
        };
        Verdict { status, reason }
    }

    /// Returns the settlement, if there is one.
    pub fn settlement(&self) -> Option<&Settlement> {
        match self {
            Self::Settled(settlement) => Some(settlement),
            Self::Pending | Self::Expired => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{
        settlement::{Attributes, Outcome},
        stamps::Stamps,
    };

    use super::*;

    fn failed(event_id: &str, source: &str) -> Settlement {
        Settlement {
            event_id: event_id.to_owned(),
            source: source.to_owned(),
            attributes: Attributes::default(),
            stamps: Stamps::default(),
            outcome: Outcome::Failed {
                reason: "x".to_owned(),
            },
        }
    }

    #[test]
    fn the_first_settlement_wins() {
        let first = failed("1", "/a");
        assert_eq!(TicketState::Pending.judge(&first).status, Status::Accepted);
        let state = TicketState::Settled(Box::new(first.clone()));
        assert_eq!(state.judge(&failed("2", "/a")).status, Status::Ignored);
        assert_eq!(state.judge(&failed("1", "/b")).status, Status::Ignored);
        assert_eq!(state.settlement(), Some(&first));
    }

    #[test]
    fn the_same_event_again_is_a_duplicate() {
        let state = TicketState::Settled(Box::new(failed("1", "/a")));
        assert_eq!(state.judge(&failed("1", "/a")).status, Status::Duplicate);
    }

    #[test]
    fn an_expired_ticket_takes_nothing() {
        let verdict = TicketState::Expired.judge(&failed("1", "/a"));
        assert_eq!(verdict.status, Status::Ignored);
        assert!(TicketState::Expired.settlement().is_none());
    }
}
