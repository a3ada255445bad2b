//! Who is connected to a topic, how far away and where: the subscribers of one topic at one object,
//! the merged list of several objects, and what has changed since somebody was told.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use headstart_protocol::{
    channel::Place,
    limits::{MAX_PRESENCE_LIST, SILENT_AFTER_MS},
    presence::{
        RoundTrip, Subscriber, SubscriberChanges, SubscriberList, SubscriberPlace, Transport,
    },
    topic::TopicName,
};
use sha2::{Digest, Sha256};

/// Shortest time between two changes that somebody is told, in milliseconds.
pub const TELL_EVERY_MS: u64 = 1_000;

/// Of how many round trips the percentiles are.
const ROUND_TRIPS: usize = 100;

/// For how many updates it is remembered when they were sent. Our own: an ack of an older one comes so
/// late that it says nothing about the way.
const SENT: usize = 256;

/// Returns the name under which everybody may see a subscriber: 16 hexadecimal digits of the SHA-256 of its
/// secret id, from which nobody finds the way back.
#[must_use]
pub fn public_id(secret: &str) -> String {
    let digest = Sha256::digest(secret);
    let mut start = [0; 8];
    start.copy_from_slice(&digest[..8]);
    format!("{:016x}", u64::from_be_bytes(start))
}

#[derive(Debug)]
struct Entry {
    id: String,
    transport: Transport,
    place: SubscriberPlace,
    connected_at: u64,
    heard_at: u64,
    /// What it had missed was handed to it: up to this sequence, at this time.
    caught_up: Option<(u64, u64)>,
    acked: u64,
    round_trips: VecDeque<u64>,
}

impl Entry {
    fn public(&self, now: u64) -> Subscriber {
        Subscriber {
            id: self.id.clone(),
            transport: self.transport,
            place: self.place.clone(),
            connectedat: self.connected_at,
            seen: now.saturating_sub(self.heard_at),
            roundtrip: self.round_trip(),
        }
    }

    fn round_trip(&self) -> Option<RoundTrip> {
        let last = *self.round_trips.back()?;
        let mut sorted: Vec<u64> = self.round_trips.iter().copied().collect();
        sorted.sort_unstable();
        // By nearest rank: the smallest that so many of a hundred do not exceed.
        let percentile = |of_100: usize| sorted[(sorted.len() * of_100).div_ceil(100) - 1];
        Some(RoundTrip {
            last,
            p50: percentile(50),
            p90: percentile(90),
            p99: percentile(99),
        })
    }
}

/// The subscribers of one topic at one object, by their secret ids. All times are in milliseconds
/// since the Unix epoch, by the edge's clock.
#[derive(Debug, Default)]
pub struct Roster {
    entries: HashMap<String, Entry>,
    /// Sequences and when they were handed to everyone, oldest first.
    sent: VecDeque<(u64, u64)>,
}

impl Roster {
    /// Notes that a subscriber is connected: just now, or since earlier where the object was evicted meanwhile.
    /// Coordinates that it did not share itself are rounded to whole degrees.
    pub fn connected(
        &mut self,
        secret: &str,
        transport: Transport,
        place: SubscriberPlace,
        connected_at: u64,
        now: u64,
    ) {
        let entry = Entry {
            id: public_id(secret),
            transport,
            place: rounded_unless_shared(place),
            connected_at,
            heard_at: now,
            caught_up: None,
            acked: 0,
            round_trips: VecDeque::new(),
        };
        self.entries.insert(secret.to_owned(), entry);
    }

    /// Notes that a subscriber is gone.
    pub fn left(&mut self, secret: &str) {
        self.entries.remove(secret);
    }

    /// Notes a sign of life of a subscriber, and where it is if it said so. Returns whether it is known.
    pub fn heard(&mut self, secret: &str, place: Option<Place>, now: u64) -> bool {
        let Some(entry) = self.entries.get_mut(secret) else {
            return false;
        };
        entry.heard_at = entry.heard_at.max(now);
        if let Some(place) = place {
            entry.place.share(place);
        }
        true
    }

    /// Notes that a subscriber has just been handed what it had missed, up to `head`.
    pub fn caught_up(&mut self, secret: &str, head: u64, now: u64) {
        if let Some(entry) = self.entries.get_mut(secret) {
            entry.caught_up = Some((head, now));
        }
    }

    /// Notes that an update is handed to everyone.
    pub fn sent(&mut self, sequence: u64, now: u64) {
        self.sent.push_back((sequence, now));
        if self.sent.len() > SENT {
            self.sent.pop_front();
        }
    }

    /// Notes that an update has arrived at a subscriber. Returns whether the subscriber is known. The round
    /// trip counts from when the update was handed to it, at its first ack.
    pub fn acked(&mut self, secret: &str, sequence: u64, now: u64) -> bool {
        if !self.heard(secret, None, now) {
            return false;
        }
        let sent = self.sent.iter().rev().find(|sent| sent.0 == sequence);
        if let Some(entry) = self.entries.get_mut(secret)
            && sequence > entry.acked
            && let Some(at) = match (entry.caught_up, sent) {
                (Some((head, at)), _) if sequence <= head => Some(at),
                (_, Some(&(_, at))) => Some(at).filter(|at| *at >= entry.connected_at),
                _ => None,
            }
        {
            entry.acked = sequence;
            entry.round_trips.push_back(now.saturating_sub(at));
            if entry.round_trips.len() > ROUND_TRIPS {
                entry.round_trips.pop_front();
            }
        }
        true
    }

    /// Returns those who were heard lately, longest connected first.
    #[must_use]
    pub fn list(&self, topic: &TopicName, now: u64) -> SubscriberList {
        let mut heard: Vec<&Entry> = self
            .entries
            .values()
            .filter(|entry| now.saturating_sub(entry.heard_at) < SILENT_AFTER_MS)
            .collect();
        heard.sort_by(|a, b| (a.connected_at, &a.id).cmp(&(b.connected_at, &b.id)));
        SubscriberList {
            topic: topic.clone(),
            count: heard.len() as u64,
            subscribers: heard
                .into_iter()
                .take(MAX_PRESENCE_LIST)
                .map(|entry| entry.public(now))
                .collect(),
        }
    }
}

fn rounded_unless_shared(mut place: SubscriberPlace) -> SubscriberPlace {
    if !place.shared {
        for degrees in [&mut place.latitude, &mut place.longitude] {
            // Adding zero makes a plain 0 of what was rounded to -0.
            *degrees = degrees.map(|degrees| degrees.round() + 0.0);
        }
    }
    place
}

/// Returns the list of a topic whose subscribers are at several objects.
#[must_use]
pub fn merge(topic: &TopicName, lists: impl IntoIterator<Item = SubscriberList>) -> SubscriberList {
    let mut merged = SubscriberList {
        topic: topic.clone(),
        count: 0,
        subscribers: vec![],
    };
    for list in lists {
        merged.count += list.count;
        merged.subscribers.extend(list.subscribers);
    }
    merged
        .subscribers
        .sort_by(|a, b| (a.connectedat, &a.id).cmp(&(b.connectedat, &b.id)));
    merged.subscribers.truncate(MAX_PRESENCE_LIST);
    merged
}

/// What somebody who watches was told last.
#[derive(Debug)]
pub struct Snapshot {
    count: u64,
    subscribers: BTreeMap<String, Subscriber>,
    /// What a list has shown since then to a watcher that came meanwhile.
    shown: BTreeMap<String, Subscriber>,
    at: u64,
}

impl Snapshot {
    /// Notes that the whole list was told.
    #[must_use]
    pub fn list(list: &SubscriberList, now: u64) -> Self {
        Self {
            count: list.count,
            subscribers: by_id(list),
            shown: BTreeMap::new(),
            at: now,
        }
    }

    /// Notes that a watcher that came between two tellings was shown this list: the next changes also
    /// say what is no longer as it stands there.
    pub fn shown(&mut self, list: &SubscriberList) {
        self.shown.extend(by_id(list));
    }

    /// Returns when the next changes may be told.
    #[must_use]
    pub fn next_due(&self) -> u64 {
        self.at + TELL_EVERY_MS
    }

    /// Returns what to tell now that the list is this one; `None` where nothing has changed, or it is too
    /// early. That time has passed since somebody was heard is no change.
    pub fn changes(&mut self, list: &SubscriberList, now: u64) -> Option<SubscriberChanges> {
        if now < self.next_due() {
            return None;
        }
        let subscribers = by_id(list);
        let mut changes = SubscriberChanges {
            count: list.count,
            ..SubscriberChanges::default()
        };
        for (id, subscriber) in &subscribers {
            let shown = self.shown.get(id);
            match self.subscribers.get(id) {
                None => changes.joined.push(subscriber.clone()),
                Some(told)
                    if differs(told, subscriber)
                        || shown.is_some_and(|shown| differs(shown, subscriber)) =>
                {
                    changes.changed.push(subscriber.clone());
                }
                Some(_) => {}
            }
        }
        let known: BTreeSet<&String> = self.subscribers.keys().chain(self.shown.keys()).collect();
        changes.left = known
            .into_iter()
            .filter(|id| !subscribers.contains_key(*id))
            .cloned()
            .collect();
        self.shown.clear();
        let nothing =
            changes.joined.is_empty() && changes.changed.is_empty() && changes.left.is_empty();
        if nothing && self.count == list.count {
            return None;
        }
        *self = Self {
            count: list.count,
            subscribers,
            shown: BTreeMap::new(),
            at: now,
        };
        Some(changes)
    }
}

fn by_id(list: &SubscriberList) -> BTreeMap<String, Subscriber> {
    let subscribers = list.subscribers.iter();
    subscribers
        .map(|subscriber| (subscriber.id.clone(), subscriber.clone()))
        .collect()
}

fn differs(told: &Subscriber, subscriber: &Subscriber) -> bool {
    let same_time = Subscriber {
        seen: told.seen,
        ..subscriber.clone()
    };
    *told != same_time
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic() -> TopicName {
        TopicName::parse("a").unwrap()
    }

    fn at(latitude: f64, longitude: f64, shared: bool) -> SubscriberPlace {
        SubscriberPlace {
            latitude: Some(latitude),
            longitude: Some(longitude),
            shared,
            ..SubscriberPlace::default()
        }
    }

    /// Returns a roster of these, connected at 0 and heard then.
    fn roster(secrets: &[&str]) -> Roster {
        let mut roster = Roster::default();
        for secret in secrets {
            roster.connected(secret, Transport::Ws, SubscriberPlace::default(), 0, 0);
        }
        roster
    }

    fn one(roster: &Roster, now: u64) -> Subscriber {
        let list = roster.list(&topic(), now);
        assert_eq!(list.count, 1);
        list.subscribers.into_iter().next().unwrap()
    }

    #[test]
    fn what_was_missed_is_on_its_way_from_the_moment_it_is_handed_over() {
        let topic = TopicName::parse("a").unwrap();
        let mut roster = Roster::default();
        let nowhere = SubscriberPlace::default;
        roster.connected("x", Transport::Ws, nowhere(), 1000, 1000);
        roster.caught_up("x", 7, 1000);
        assert!(roster.acked("x", 7, 1030));
        let list = roster.list(&topic, 1030);
        assert_eq!(list.subscribers[0].roundtrip.unwrap().last, 30);
        assert!(roster.acked("x", 8, 1040), "of an update that never was");
        let list = roster.list(&topic, 1040);
        assert_eq!(list.subscribers[0].roundtrip.unwrap().last, 30);
    }

    #[test]
    fn an_older_sign_of_life_takes_back_nothing() {
        let topic = TopicName::parse("a").unwrap();
        let mut roster = Roster::default();
        roster.connected("x", Transport::Ws, SubscriberPlace::default(), 1000, 1000);
        assert!(roster.heard("x", None, 900));
        assert_eq!(roster.list(&topic, 1000).subscribers[0].seen, 0);
    }

    #[test]
    fn the_public_id_is_the_start_of_a_known_digest() {
        // SHA-256 of "abc", FIPS 180-4's example.
        assert_eq!(public_id("abc"), "ba7816bf8f01cfea");
    }

    #[test]
    fn coordinates_are_whole_degrees_until_the_client_shares_them() {
        let mut roster = Roster::default();
        roster.connected("s", Transport::Sse, at(-0.4, 151.6, false), 0, 0);
        let place = one(&roster, 0).place;
        assert_eq!((place.latitude, place.longitude), (Some(0.0), Some(152.0)));
        assert!(place.latitude.unwrap().is_sign_positive());
        assert!(roster.heard("s", Some(Place::new(-33.87, 151.21).unwrap()), 1));
        assert_eq!(one(&roster, 1).place, at(-33.87, 151.21, true));
        roster.connected("s", Transport::Sse, at(-33.87, 151.21, true), 0, 2);
        assert_eq!(one(&roster, 2).place, at(-33.87, 151.21, true));
    }

    #[test]
    fn who_is_silent_is_not_listed_until_heard_again() {
        let mut roster = roster(&["s"]);
        assert_eq!(one(&roster, SILENT_AFTER_MS - 1).seen, SILENT_AFTER_MS - 1);
        assert_eq!(roster.list(&topic(), SILENT_AFTER_MS).count, 0);
        assert!(roster.heard("s", None, SILENT_AFTER_MS));
        assert_eq!(one(&roster, SILENT_AFTER_MS).seen, 0);
        assert!(!roster.heard("other", None, 0));
        assert!(!roster.acked("other", 1, 0));
        roster.left("s");
        assert_eq!(roster.list(&topic(), SILENT_AFTER_MS).count, 0);
    }

    #[test]
    fn round_trips_are_of_live_updates_at_their_first_ack() {
        let mut roster = roster(&[]);
        roster.sent(1, 5);
        roster.connected("s", Transport::Ws, SubscriberPlace::default(), 10, 10);
        assert!(roster.acked("s", 1, 20));
        assert_eq!(one(&roster, 20).roundtrip, None, "it was sent before");
        roster.sent(2, 20);
        roster.sent(3, 30);
        assert!(roster.acked("s", 3, 70));
        assert!(roster.acked("s", 3, 99));
        assert!(roster.acked("s", 2, 99));
        assert!(roster.acked("s", u64::MAX, 99));
        let expected = RoundTrip {
            last: 40,
            p50: 40,
            p90: 40,
            p99: 40,
        };
        assert_eq!(one(&roster, 99).roundtrip, Some(expected));
    }

    #[test]
    fn percentiles_are_of_the_last_hundred() {
        let mut roster = roster(&["s"]);
        for n in 1..=150 {
            roster.sent(n, 0);
            roster.acked("s", n, n);
        }
        let expected = RoundTrip {
            last: 150,
            p50: 100,
            p90: 140,
            p99: 149,
        };
        assert_eq!(one(&roster, 150).roundtrip, Some(expected));
    }

    #[test]
    fn changes_are_told_at_most_once_a_second() {
        let mut roster = roster(&["a", "b"]);
        let mut told = Snapshot::list(&roster.list(&topic(), 0), 0);
        roster.left("a");
        roster.connected("c", Transport::Ws, SubscriberPlace::default(), 1, 1);
        roster.sent(1, 1);
        roster.acked("b", 1, 2);
        assert_eq!(told.changes(&roster.list(&topic(), 999), 999), None);
        let changes = told.changes(&roster.list(&topic(), 1_000), 1_000).unwrap();
        let ids = |list: &[Subscriber]| -> Vec<String> {
            list.iter()
                .map(|subscriber| subscriber.id.clone())
                .collect()
        };
        assert_eq!(changes.count, 2);
        assert_eq!(ids(&changes.joined), [public_id("c")]);
        assert_eq!(ids(&changes.changed), [public_id("b")]);
        assert_eq!(changes.left, [public_id("a")]);
        roster.heard("b", None, 2_000);
        assert_eq!(told.changes(&roster.list(&topic(), 2_000), 2_000), None);
    }

    #[test]
    fn who_came_between_two_tellings_is_told_of_whom_it_was_shown_and_who_has_left() {
        let mut roster = roster(&["a"]);
        let mut told = Snapshot::list(&roster.list(&topic(), 0), 0);
        roster.connected("b", Transport::Ws, SubscriberPlace::default(), 1, 1);
        told.shown(&roster.list(&topic(), 500));
        roster.left("b");
        let changes = told.changes(&roster.list(&topic(), 1_000), 1_000).unwrap();
        assert_eq!(changes.left, [public_id("b")]);
        assert_eq!(told.changes(&roster.list(&topic(), 2_000), 2_000), None);
    }

    #[test]
    fn a_changed_count_is_told_though_nobody_listed_has_changed() {
        let mut list = roster(&["a"]).list(&topic(), 0);
        let mut told = Snapshot::list(&list, 0);
        list.count = 7;
        let changes = told.changes(&list, TELL_EVERY_MS).unwrap();
        assert_eq!((changes.count, changes.joined.len()), (7, 0));
    }

    #[test]
    fn merged_lists_are_capped_and_count_everyone() {
        let mut rosters = [Roster::default(), Roster::default()];
        for n in 0..MAX_PRESENCE_LIST + 10 {
            let place = SubscriberPlace::default();
            rosters[n % 2].connected(&n.to_string(), Transport::Ws, place, n as u64, 0);
        }
        let lists = rosters.map(|roster| roster.list(&topic(), 0));
        let merged = merge(&topic(), lists);
        assert_eq!(merged.count, MAX_PRESENCE_LIST as u64 + 10);
        let since: Vec<u64> = merged
            .subscribers
            .iter()
            .map(|one| one.connectedat)
            .collect();
        assert_eq!(since, (0..MAX_PRESENCE_LIST as u64).collect::<Vec<_>>());
    }

    proptest! {
        /// Whoever applies the changes to the list it was told has the list of now.
        #[test]
        fn changes_add_up_to_the_list(
            steps in prop::collection::vec((0_u8..8, 0_u8..4, 0_u64..12_000), 1..40),
        ) {
            let mut roster = Roster::default();
            let mut now = 0;
            let first = roster.list(&topic(), now);
            let mut told = Snapshot::list(&first, now);
            let mut view = by_id(&first);
            for (who, what, later) in steps {
                now += later;
                let secret = who.to_string();
                match what {
                    0 => roster.left(&secret),
                    1 => roster.connected(&secret, Transport::Sse, SubscriberPlace::default(), now, now),
                    2 => { roster.heard(&secret, Some(Place::new(1.0, 2.0).unwrap()), now); }
                    _ => { roster.sent(now, now); roster.acked(&secret, now, now + 1); }
                }
                let list = roster.list(&topic(), now);
                if let Some(changes) = told.changes(&list, now) {
                    for id in &changes.left {
                        prop_assert!(view.remove(id).is_some());
                    }
                    for one in changes.joined {
                        prop_assert!(view.insert(one.id.clone(), one).is_none());
                    }
                    for one in changes.changed {
                        prop_assert!(view.insert(one.id.clone(), one).is_some());
                    }
                    let count = view.len() as u64;
                    prop_assert_eq!(count, changes.count);
                }
                if now >= told.next_due() {
                    let expected = by_id(&list);
                    prop_assert!(view.keys().eq(expected.keys()));
                    prop_assert!(view.values().zip(expected.values()).all(|(a, b)| !differs(a, b)));
                }
            }
        }
    }
}
