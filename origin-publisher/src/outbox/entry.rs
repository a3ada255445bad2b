//! What the outbox keeps, and what it hands to the deliveries.

use std::ops::AddAssign;

use headstart_client::clock::now_ms;
use headstart_protocol::{
    event::{Event, EventError, is_json},
    kv,
    limits::MAX_INLINE_OFFER_BYTES,
    settlement::{Content, Outcome, Settlement},
    stamps::{Point, Stamps},
    ticket::Ticket,
    topic::TopicName,
    update::{self, UpdateError},
};

/// Names one delivery: one entry, to one edge, in one way. Grows with time.
pub type DeliveryId = i64;

/// A way in which an edge is to have an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// As an event, which settles the ticket and wakes whoever waits.
    Event,
    /// In KV, readable everywhere.
    Kv,
    /// As an event of a topic, in the topic's order. A way of its own, so that a flood of updates
    /// delays no offer. The topic itself puts its latest update into KV.
    Update,
}

impl Way {
    /// Returns the way's name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Kv => "kv",
            Self::Update => "update",
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

/// What is kept.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A settlement of a ticket.
    Settlement(TicketSettlement),
    /// An update of a topic.
    Update(TopicUpdate),
}

/// A settlement to be kept.
#[derive(Debug, Clone)]
pub struct TicketSettlement {
    /// The ticket it settles.
    pub ticket: Ticket,
    /// What the ticket settles to.
    pub settlement: Settlement,
    /// When nobody can ask for it any more, in ms since the Unix epoch.
    pub expires_at_ms: u64,
}

/// An update to be kept: an event that a topic will take.
#[derive(Debug, Clone)]
pub struct TopicUpdate {
    topic: TopicName,
    event: Event,
    expires_at_ms: u64,
}

/// Why an event is not kept as an update.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoUpdate {
    /// It breaks a rule of all events.
    #[error(transparent)]
    Event(#[from] EventError),
    /// It breaks a rule of updates.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

impl TopicUpdate {
    /// Makes an update of the topic that `event` names, of no use to anyone after `expires_at_ms`.
    ///
    /// # Errors
    /// [`NoUpdate`], for an event that no topic would take.
    pub fn new(event: Event, expires_at_ms: u64) -> Result<Self, NoUpdate> {
        // As it will travel: with the stamp it may be too large.
        let stamped = published(event.clone(), now_ms());
        stamped.validate()?;
        let topic = update::check(&stamped)?;
        Ok(Self {
            topic,
            event,
            expires_at_ms,
        })
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Returns the event.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns when it is of no use to anyone any more, in ms since the Unix epoch.
    #[must_use]
    pub fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }
}

impl From<TicketSettlement> for Entry {
    fn from(settlement: TicketSettlement) -> Self {
        Self::Settlement(settlement)
    }
}

impl From<TopicUpdate> for Entry {
    fn from(update: TopicUpdate) -> Self {
        Self::Update(update)
    }
}

/// Returns an update with the stamp of its being handed to a delivery.
#[must_use]
pub fn published(mut event: Event, at_ms: u64) -> Event {
    Stamps::default()
        .with(Point::Published, at_ms)
        .write_to(&mut event);
    event
}

/// Whether an entry was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It was.
    New,
    /// The ticket had settled before, and that settlement stands; or this very update, by its source
    /// and id, was kept before.
    Already,
}

/// A delivery that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Names the delivery.
    pub id: DeliveryId,
    /// What it is about: the whole ticket of a settlement, the topic of an update.
    pub subject: String,
    /// When it is of no use to anyone any more, in ms since the Unix epoch.
    pub expires_at_ms: u64,
    /// What is delivered.
    pub entry: PendingEntry,
}

/// An entry as its delivery needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PendingEntry {
    /// A settlement of a ticket.
    Settlement {
        /// What the ticket settles to, with the content inline.
        settlement: Settlement,
        /// The content is too large for an event and could not be positioned.
        unpositioned: bool,
    },
    /// An update of a topic.
    Update {
        /// Id of the event.
        event_id: String,
        /// The event, in JSON.
        json: String,
    },
}

impl Pending {
    /// Returns how many bytes it has, about and at most, once it is stamped and stands in a batch.
    #[must_use]
    pub fn travelling_bytes(&self) -> usize {
        match &self.entry {
            PendingEntry::Update { json, .. } => json.len() + STAMP_BYTES,
            PendingEntry::Settlement { settlement, .. } => {
                ENVELOPE_BYTES
                    + match &settlement.outcome {
                        Outcome::Ready {
                            media_type,
                            content: Content::Inline(bytes),
                        } => encoded_bytes(media_type, bytes),
                        Outcome::Ready { .. } => 0,
                        Outcome::Failed { reason } => reason.len(),
                    }
            }
        }
    }
}

/// Room for `"publishedat":"1763700000000"` and commas.
const STAMP_BYTES: usize = 64;

/// Room for the attributes of a settlement's event: ticket, id, source, stamps.
const ENVELOPE_BYTES: usize = 512;

/// Returns how many bytes content has in an event: JSON as it is, text with its escapes, else base64.
fn encoded_bytes(media_type: &str, bytes: &[u8]) -> usize {
    if is_json(media_type) {
        return bytes.len();
    }
    if std::str::from_utf8(bytes).is_err() {
        return bytes.len().div_ceil(3) * 4;
    }
    let escaped = |byte: &u8| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    bytes.iter().map(escaped).sum()
}

/// What a purge removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Settlements and updates that expired before every edge had them.
    pub undelivered: usize,
    /// Journalled logins that expired before they settled.
    pub unsettled: usize,
    /// Delivered settlements and updates that are no longer remembered.
    pub forgotten: usize,
}

impl AddAssign for Purged {
    fn add_assign(&mut self, more: Self) {
        self.undelivered += more.undelivered;
        self.unsettled += more.unsettled;
        self.forgotten += more.forgotten;
    }
}

/// Deliveries to one edge that were dropped because too much waits for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shed {
    /// Events. Where one carried an offer, it stays without it: whoever waits is told a failure.
    pub event: usize,
    /// Offers that were to be positioned in KV.
    pub kv: usize,
    /// Updates.
    pub update: usize,
}

impl AddAssign for Shed {
    fn add_assign(&mut self, more: Self) {
        self.event += more.event;
        self.kv += more.kv;
        self.update += more.update;
    }
}

/// Returns whether this content travels to KV before its event.
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

/// Returns whether the event of this settlement may go before it is durable: an offer that is in it.
pub(super) fn may_go_ahead(settlement: &Settlement) -> bool {
    let is_inline = matches!(
        settlement.outcome,
        Outcome::Ready {
            content: Content::Inline(_),
            ..
        }
    );
    is_inline && !is_positioned_first(settlement)
}

/// Returns what exists once for a ticket, whichever generation made it.
pub(super) fn once(ticket: &Ticket) -> String {
    kv::offer_key(ticket.uuid())
}

/// Returns what exists once for an update, however often it is published. No attribute holds a line end, so
/// no two updates share it.
pub(super) fn once_of_update(update: &TopicUpdate) -> String {
    let Event { source, id, .. } = &update.event;
    format!("{}\n{source}\n{id}", kv::topic_key(&update.topic))
}
