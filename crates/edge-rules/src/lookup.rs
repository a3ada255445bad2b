//! Where an offer is looked for, and in which order: memory, then KV once the ticket is old, then the
//! ticket's Durable Object.
//!
//! KV remembers a *miss* for 60 s or more: one read before the write hides the key at that location
//! long after it was written. So KV is not asked while the ticket is young, when the offer may not be
//! positioned yet; and a miss is never the last word, since the object is asked after it.
//!
//! An offer too large for its event is in KV only. Its key has the event's id in it, which nobody can know
//! before the object does: so it cannot have been missed before.

use headstart_protocol::{
    kv::OfferMetadata,
    ticket::{Ticket, TicketTimes},
};

use crate::ticket::Failure;

/// Whether KV may be asked for a ticket's offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Minted a moment ago: the offer may not be positioned yet.
    Young,
    /// Positioned everywhere by now, if it was in time.
    Old,
}

impl Age {
    /// Returns the age of `ticket` at `now_ms`.
    pub fn of(ticket: &Ticket, now_ms: u64, times: TicketTimes) -> Self {
        if ticket.is_young(now_ms, times) {
            Self::Young
        } else {
            Self::Old
        }
    }
}

/// What the object says of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled<O> {
    /// Here is the offer.
    Ready(O),
    /// This is known of the offer; its content is in KV.
    Positioned(OfferMetadata),
    /// Not settled yet.
    Pending,
    /// Settled as failed.
    Failed(Failure),
}

/// A tier that an offer is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// The isolate's memory.
    Memory,
    /// The KV namespace.
    Kv,
    /// The ticket's Durable Object.
    Object,
}

impl Tier {
    /// Returns its name in `Cache-Status` and `Server-Timing`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Kv => "kv",
            Self::Object => "object",
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<O, C> {
    /// The offer, and where.
    Offer(O, Tier),
    /// What is known of a large offer, and its content, from KV.
    Large(OfferMetadata, C),
    /// Not settled yet; or a large offer, and KV cannot be read now.
    Pending,
    /// Settled as failed.
    Failed(Failure),
}

/// The places that the offer of one ticket may be in.
pub trait Stores {
    /// An offer.
    type Offer: Clone;

    /// The content of a large offer, as it comes.
    type Content;

    /// Why the object cannot be asked.
    type Error;

    /// Returns what the isolate remembers.
    fn memory(&self) -> Option<Self::Offer>;

    /// Puts an offer into the isolate's memory.
    fn remember(&self, offer: &Self::Offer);

    /// Returns what KV has. A read that fails counts as a miss: the object is asked after it.
    fn kv(&self) -> impl Future<Output = Option<Self::Offer>>;

    /// Returns the content of a large offer.
    fn large(&self, offer: &OfferMetadata) -> impl Future<Output = Option<Self::Content>>;

    /// Returns what the object says.
    fn object(&self) -> impl Future<Output = Result<Settled<Self::Offer>, Self::Error>>;
}

/// Looks in the places that do not need the object.
pub async fn without_object<S: Stores>(stores: &S, age: Age) -> Option<(S::Offer, Tier)> {
    if let Some(offer) = stores.memory() {
        return Some((offer, Tier::Memory));
    }
    match age {
        Age::Young => None,
        Age::Old => from_kv(stores).await,
    }
}

/// Looks everywhere.
///
/// # Errors
/// Those of the object.
pub async fn everywhere<S: Stores>(
    stores: &S,
    age: Age,
) -> Result<Found<S::Offer, S::Content>, S::Error> {
    if let Some((offer, place)) = without_object(stores, age).await {
        return Ok(Found::Offer(offer, place));
    }
    Ok(match stores.object().await? {
        Settled::Ready(offer) => {
            stores.remember(&offer);
            Found::Offer(offer, Tier::Object)
        }
        // The event that said so was sent after the write, so KV may be asked at any age.
        Settled::Positioned(offer) => match stores.large(&offer).await {
            Some(content) => Found::Large(offer, content),
            None => Found::Pending,
        },
        Settled::Pending => Found::Pending,
        Settled::Failed(failure) => Found::Failed(failure),
    })
}

async fn from_kv<S: Stores>(stores: &S) -> Option<(S::Offer, Tier)> {
    let offer = stores.kv().await?;
    stores.remember(&offer);
    Some((offer, Tier::Kv))
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        collections::HashMap,
    };

    use futures::executor::block_on;
    use headstart_protocol::{
        keys::Key,
        kv::{large_offer_key, offer_key},
        settlement::Attributes,
        stamps::Stamps,
    };
    use uuid::Uuid;

    use super::*;

    const MINTED: u64 = 1_700_000_000_000;
    const WITH_RULE: u64 = 60_000;
    const WITHOUT_RULE: u64 = 0;

    /// What was found: in these tests offers and their content are texts.
    type TextFound = Found<&'static str, &'static str>;

    /// One location of the platform, under a clock of the test's own: a KV that caches misses for
    /// 60 s, and an object that can be out of reach.
    struct World {
        now: Cell<u64>,
        /// By their keys.
        positioned: RefCell<HashMap<String, &'static str>>,
        /// Until when a key is missed.
        miss_until: RefCell<HashMap<String, u64>>,
        kv_reads: Cell<u32>,
        settled: RefCell<Settled<&'static str>>,
        object_in_reach: Cell<bool>,
        memory: Cell<Option<&'static str>>,
    }

    impl World {
        fn new() -> Self {
            Self {
                now: Cell::new(MINTED),
                positioned: RefCell::default(),
                miss_until: RefCell::default(),
                kv_reads: Cell::new(0),
                settled: RefCell::new(Settled::Pending),
                object_in_reach: Cell::new(true),
                memory: Cell::new(None),
            }
        }

        /// Returns a request `seconds` after minting, to an isolate that was just started.
        fn ask(&self, seconds: u64, young_ms: u64) -> Result<TextFound, &'static str> {
            self.now.set(MINTED + seconds * 1000);
            self.memory.set(None);
            self.ask_again(young_ms)
        }

        /// Returns a request to the same isolate, at the same time.
        fn ask_again(&self, young_ms: u64) -> Result<TextFound, &'static str> {
            let times = TicketTimes {
                ttl_ms: 3_600_000,
                young_ms,
            };
            let key = Key::from_bytes(&[1; 32]).unwrap();
            let ticket = Ticket::mint(MINTED, 0, [7; 8], &key);
            block_on(everywhere(self, Age::of(&ticket, self.now.get(), times)))
        }

        fn position(&self, offer: &'static str) {
            self.write(offer_key(Uuid::nil()), offer);
        }

        fn write(&self, key: String, value: &'static str) {
            self.positioned.borrow_mut().insert(key, value);
        }

        fn read(&self, key: &str) -> Option<&'static str> {
            self.kv_reads.set(self.kv_reads.get() + 1);
            let mut misses = self.miss_until.borrow_mut();
            if misses.get(key).is_some_and(|until| self.now.get() < *until) {
                return None;
            }
            let found = self.positioned.borrow().get(key).copied();
            if found.is_none() {
                misses.insert(key.to_owned(), self.now.get() + 60_000);
            }
            found
        }

        fn settle(&self, settled: Settled<&'static str>) {
            *self.settled.borrow_mut() = settled;
        }
    }

    impl Stores for World {
        type Offer = &'static str;
        type Content = &'static str;
        type Error = &'static str;

        fn memory(&self) -> Option<&'static str> {
            self.memory.get()
        }

        fn remember(&self, offer: &&'static str) {
            self.memory.set(Some(offer));
        }

        async fn kv(&self) -> Option<&'static str> {
            self.read(&offer_key(Uuid::nil()))
        }

        async fn large(&self, offer: &OfferMetadata) -> Option<&'static str> {
            self.read(&large_offer_key(Uuid::nil(), &offer.event_id))
        }

        async fn object(&self) -> Result<Settled<&'static str>, &'static str> {
            if self.object_in_reach.get() {
                Ok(self.settled.borrow().clone())
            } else {
                Err("the object is out of reach")
            }
        }
    }

    /// Plays a user who polls from the fifth second on, while the offer is generated for 20 s; a minute after
    /// the login, when the object cannot be reached, they ask again.
    fn poll_then_read_from_kv(young_ms: u64) -> Result<TextFound, &'static str> {
        let world = World::new();
        for second in 5..20 {
            assert_eq!(world.ask(second, young_ms).unwrap(), Found::Pending);
        }
        world.settle(Settled::Ready("offer"));
        world.position("offer");
        let now = world.ask(21, young_ms).unwrap();
        assert_eq!(
            now,
            Found::Offer("offer", Tier::Object),
            "who waits is served"
        );
        world.object_in_reach.set(false);
        world.ask(61, young_ms)
    }

    #[test]
    fn a_cached_miss_never_hides_a_positioned_offer() {
        assert_eq!(
            poll_then_read_from_kv(WITH_RULE).unwrap(),
            Found::Offer("offer", Tier::Kv)
        );
    }

    #[test]
    fn without_the_rule_a_cached_miss_hides_it() {
        assert!(poll_then_read_from_kv(WITHOUT_RULE).is_err());
    }

    #[test]
    fn kv_is_not_asked_while_the_ticket_is_young() {
        let world = World::new();
        world.position("offer");
        for second in [0, 1, 30, 59] {
            assert_eq!(world.ask(second, WITH_RULE).unwrap(), Found::Pending);
        }
        assert_eq!(world.kv_reads.get(), 0);
    }

    #[test]
    fn a_miss_is_never_the_last_word() {
        let world = World::new();
        assert_eq!(world.ask(90, WITH_RULE).unwrap(), Found::Pending);
        world.settle(Settled::Ready("late"));
        world.position("late");
        let found = world.ask(91, WITH_RULE).unwrap();
        assert_eq!(found, Found::Offer("late", Tier::Object));
    }

    #[test]
    fn the_second_read_comes_from_memory() {
        let world = World::new();
        world.settle(Settled::Ready("offer"));
        world.ask(1, WITH_RULE).unwrap();
        world.object_in_reach.set(false);
        let found = world.ask_again(WITH_RULE).unwrap();
        assert_eq!(found, Found::Offer("offer", Tier::Memory));
        assert_eq!(world.kv_reads.get(), 0);
    }

    fn large_offer() -> OfferMetadata {
        OfferMetadata {
            media_type: "text/html".to_owned(),
            event_id: "e1".to_owned(),
            source: "/origin".to_owned(),
            attributes: Attributes::default(),
            stamps: Stamps::default(),
        }
    }

    #[test]
    fn a_large_offer_that_is_told_is_there_whoever_asked_for_it_before() {
        let world = World::new();
        for second in 55..70 {
            assert_eq!(world.ask(second, WITH_RULE).unwrap(), Found::Pending);
        }
        world.write(large_offer_key(Uuid::nil(), "e1"), "large");
        world.settle(Settled::Positioned(large_offer()));
        for second in [70, 71, 3000] {
            let found = world.ask(second, WITH_RULE).unwrap();
            assert_eq!(found, Found::Large(large_offer(), "large"));
        }
    }

    #[test]
    fn a_large_offer_that_cannot_be_read_now_is_pending() {
        let world = World::new();
        world.settle(Settled::Positioned(large_offer()));
        assert_eq!(world.ask(1, WITH_RULE).unwrap(), Found::Pending);
    }
}
