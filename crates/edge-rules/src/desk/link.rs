//! A link at the desk: what its origin said, and what it holds.

use std::collections::BTreeSet;

use headstart_protocol::link::DEAD_AFTER_MS;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most leases that one link may hold, whatever capacity it claims.
const MAX_CAPACITY: u32 = 10_000;

/// What an origin said of itself in its hello. It is also what a link's socket remembers while the
/// desk sleeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The origin's name.
    pub origin: String,
    /// Names this run of the origin; empty where it did not say.
    #[serde(default)]
    pub instance: String,
    /// How many leases it wants to hold at once.
    pub capacity: u32,
    /// It wants no more.
    pub draining: bool,
}

/// A link that is open.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) greeting: Option<Greeting>,
    pub(super) held: BTreeSet<Uuid>,
    /// A lease of it ended in silence, and none was answered since: perhaps nobody is there.
    pub(super) silent: bool,
    /// When the desk knows that something was heard of it, pings included.
    pub(super) heard_at: u64,
    /// When it got its last lease, in the desk's own count.
    pub(super) last_turn: u64,
}

impl Link {
    /// Returns how many leases it may hold.
    pub(super) fn capacity(&self) -> usize {
        match &self.greeting {
            Some(greeting) if !greeting.draining => {
                // One lease finds out whether somebody is there again.
                let most = if self.silent { 1 } else { MAX_CAPACITY };
                greeting.capacity.min(most) as usize
            }
            _ => 0,
        }
    }

    /// Returns how many more it may hold.
    pub(super) fn free(&self) -> usize {
        self.capacity().saturating_sub(self.held.len())
    }

    /// Returns whether it is a link of this run of an origin.
    pub(super) fn is_of(&self, instance: &str) -> bool {
        let greeting = self.greeting.as_ref();
        !instance.is_empty() && greeting.is_some_and(|greeting| greeting.instance == instance)
    }

    /// Returns whether it may be dead.
    pub(super) fn is_unheard(&self, now: u64) -> bool {
        now >= self.heard_at + DEAD_AFTER_MS
    }
}
