//! A login at the desk, and the names of its leases.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many leases may end in silence before a login fails: whatever the login does to origins, it does
/// it to no more than these.
pub const MAX_LOST_LEASES: u32 = 3;

/// Where a login is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginState {
    /// Waiting for an origin.
    Queued {
        /// The origin that gave it back, and until when it stays away from it.
        away_from: Option<(String, u64)>,
    },
    /// Held by an origin.
    Leased {
        /// The link it went out over.
        link: String,
        /// The origin's name.
        origin: String,
        /// When the lease ends.
        ends_at: u64,
        /// The link is closed: when the origin has to be back with it.
        back_by: Option<u64>,
    },
    /// Done by an origin, whose event is on its way.
    Acked {
        /// The origin's name.
        origin: String,
        /// When the event has to have come.
        settle_by: u64,
    },
}

/// A login, as the desk stores it. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Since when it waits for an origin; a release does not begin the wait anew.
    pub waits_since: u64,
    /// How often it has been leased: the number in the name of its lease.
    pub leases: u32,
    /// How many of its leases ended in silence.
    pub lost: u32,
    /// Where it is.
    pub place: LoginState,
}

impl Login {
    /// Returns a login that has just come.
    pub(super) fn new(now: u64) -> Self {
        Self {
            waits_since: now,
            leases: 0,
            lost: 0,
            place: LoginState::Queued { away_from: None },
        }
    }

    /// Queues a login whose lease led to nothing, away from an origin until a time; returns whether that
    /// lease was the last that it may have.
    pub(super) fn queue_again(&mut self, away_from: (String, u64), now: u64) -> bool {
        self.lost += 1;
        self.waits_since = now;
        self.place = LoginState::Queued {
            away_from: Some(away_from),
        };
        self.lost >= MAX_LOST_LEASES
    }
}

/// Returns the name of a login's lease: no other lease ever has it.
pub(super) fn lease_name(login: Uuid, number: u32) -> String {
    format!("{login}.{number}")
}

/// Reads the name of a lease: of which login, and which of its leases.
pub(super) fn parse_lease(lease: &str) -> Option<(Uuid, u32)> {
    let (login, number) = lease.split_once('.')?;
    Some((Uuid::try_parse(login).ok()?, number.parse().ok()?))
}
