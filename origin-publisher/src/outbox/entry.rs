//! What the outbox keeps, and what it hands to the deliveries.

use headstart_protocol::{
    kv,
    limits::MAX_INLINE_OFFER_BYTES,
    settlement::{Content, Outcome, Settlement},
    ticket::Ticket,
};

/// Names one delivery: one settlement, to one edge, in one way. Grows with time.
pub type DeliveryId = i64;

/// A way in which an edge is to have a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// As an event, which settles the ticket and wakes whoever waits.
    Event,
    /// In KV, readable everywhere.
    Kv,
}

impl Way {
    /// The way's name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Kv => "kv",
        }
    }
}

/// An edge, and whether it has KV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeWays {
    /// The edge's name in the configuration.
    pub name: String,
    /// Whether offers are positioned in its KV.
    pub kv: bool,
}

/// A settlement to be kept.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The ticket it settles.
    pub ticket: Ticket,
    /// What the ticket settles to.
    pub settlement: Settlement,
    /// When nobody can ask for it any more, in ms since the Unix epoch.
    pub expires_at_ms: u64,
}

/// Whether a settlement was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It was.
    New,
    /// The ticket had settled before, and that settlement stands.
    Already,
}

/// A delivery that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Names the delivery.
    pub id: DeliveryId,
    /// The whole ticket.
    pub ticket: String,
    /// What it settles to, with the content inline.
    pub settlement: Settlement,
    /// When nobody can ask for it any more, in ms since the Unix epoch.
    pub expires_at_ms: u64,
    /// The content is too large for an event and could not be positioned.
    pub unpositioned: bool,
}

/// Which deliveries to take, and how many at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// Those after this one; 0 for all.
    pub after: DeliveryId,
    /// Most deliveries.
    pub limit: usize,
    /// Most bytes of content in all; the first delivery is taken whatever its size.
    pub bytes: usize,
    /// Those named, and no others, whatever `after` says.
    pub only: Option<Vec<DeliveryId>>,
}

/// What a purge removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Settlements that expired before every edge had them.
    pub undelivered: usize,
    /// Journalled logins that expired before they settled.
    pub unsettled: usize,
    /// Delivered settlements that are no longer remembered.
    pub forgotten: usize,
}

/// Whether this content travels to KV before its event.
#[must_use]
pub fn is_positioned_first(settlement: &Settlement) -> bool {
    match &settlement.outcome {
        Outcome::Ready {
            content: Content::Inline(bytes),
            ..
        } => bytes.len() > MAX_INLINE_OFFER_BYTES,
        Outcome::Ready { .. } | Outcome::Failed { .. } => false,
    }
}

/// What exists once for a ticket, whichever generation made it.
pub(super) fn once(ticket: &Ticket) -> String {
    kv::offer_key(ticket.uuid())
}
