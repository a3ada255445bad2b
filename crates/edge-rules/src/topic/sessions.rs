//! Who is connected at one object, which topics each of them has, and what everybody is told: the same at
//! a topic's root and at a relay.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use headstart_protocol::{channel::Place, presence::SubscriberList, topic::TopicName};
use serde::{Deserialize, Serialize};

use crate::topic::{
    batch::Batch,
    catch_up::{Missed, Opening, Wanted},
    groups::{Encoded, GroupKey, TopicGroups},
    history::Replay,
    presence::{self, Roster},
    subscription::Subscription,
    wires::codec::Message,
};

/// One connection of a subscriber. It is kept with a stream as long as that lasts, and with a WebSocket
/// over the sleep of its object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The connection's secret id, under which it acks.
    pub id: String,
    /// When it connected, in milliseconds since the Unix epoch.
    pub connected_at_ms: u64,
    /// What it asked for.
    pub subscription: Subscription,
}

impl Session {
    /// Returns when the right of a WebSocket ends, in milliseconds since the Unix epoch; a stream ends by
    /// itself.
    #[must_use]
    pub fn socket_expires_at_ms(&self) -> Option<u64> {
        let is_socket = self.subscription.wire.codec().is_socket();
        self.subscription.expires_at_ms().filter(|_| is_socket)
    }
}

/// The sessions of one object. Times are in milliseconds since the Unix epoch, by the edge's clock.
#[derive(Debug, Default)]
pub struct SessionTable {
    groups: TopicGroups,
    rosters: BTreeMap<TopicName, Roster>,
    /// By their secret ids.
    entries: HashMap<String, Entry>,
    /// WebSockets that have not said yet who they are.
    awaited: HashSet<String>,
    /// When the rights of WebSockets end.
    expiries: BTreeSet<(u64, String)>,
}

#[derive(Debug)]
struct Entry {
    session: Session,
    /// It has been welcomed.
    begun: bool,
    /// The topics at whose heads it is, and whose updates it is told.
    told: BTreeSet<TopicName>,
    told_group: Option<GroupKey>,
    /// The group that it is counted in for its other topics, until it has been told what it missed there.
    coming_group: Option<GroupKey>,
}

impl Entry {
    fn new(session: Session) -> Self {
        Self {
            session,
            begun: false,
            told: BTreeSet::new(),
            told_group: None,
            coming_group: None,
        }
    }
}

impl SessionTable {
    /// Adds a WebSocket that has to say first who it is.
    pub fn wait_for(&mut self, id: &str) {
        self.awaited.insert(id.to_owned());
    }

    /// Adds a session. It counts from now on, and is told nothing until [`SessionTable::begin`].
    pub fn join(&mut self, session: Session) {
        let id = session.id.clone();
        self.awaited.remove(&id);
        self.note_expiry(&session);
        self.entries.insert(id.clone(), Entry::new(session));
        self.regroup(&id);
    }

    /// Adds a session that was told everything before its object lost its memory.
    pub fn restore(&mut self, session: Session, now: u64) {
        let id = session.id.clone();
        let topics = session.subscription.topics();
        self.join(session);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.begun = true;
            entry.told.extend(topics.iter().cloned());
        }
        for topic in &topics {
            self.present(&id, topic, now);
        }
        self.regroup(&id);
    }

    /// Removes a session. Returns the topics that nobody is left for.
    pub fn leave(&mut self, id: &str) -> Vec<TopicName> {
        self.awaited.remove(id);
        let emptied = self.change_topics(id, vec![]);
        self.entries.remove(id);
        emptied
    }

    /// Changes the topics of a session. One that it keeps goes on as it was; of one that is new it is told
    /// nothing until [`SessionTable::begin`]. Returns the topics that nobody is left for.
    pub fn change_topics(&mut self, id: &str, wanted: Vec<Wanted>) -> Vec<TopicName> {
        let Some(entry) = self.entries.get_mut(id) else {
            return vec![];
        };
        let session = &mut entry.session;
        let before = session.clone();
        session.subscription.wanted = wanted;
        let after = session.clone();
        entry.told.retain(|topic| after.subscription.has(topic));
        self.forget_expiry(&before);
        self.note_expiry(&after);
        for topic in before.subscription.topics() {
            if !after.subscription.has(&topic)
                && let Some(roster) = self.rosters.get_mut(&topic)
            {
                roster.left(id);
            }
        }
        let emptied = self.regroup(id);
        for topic in &emptied {
            self.rosters.remove(topic);
        }
        emptied
    }

    /// Notes that a session is at the heads of these topics, and returns what it is told to get there: at
    /// first the welcome, then what it missed. From now on it is told everything. What it is told already
    /// or does not want any more is passed over; `None` when it has gone.
    pub fn begin(
        &mut self,
        id: &str,
        missed: Vec<Missed>,
        jitter: f64,
        now: u64,
    ) -> Option<Vec<Message>> {
        let entry = self.entries.get_mut(id)?;
        let subscription = &entry.session.subscription;
        let missed = missed.into_iter();
        let missed: Vec<Missed> = missed
            .filter(|missed| subscription.has(&missed.topic))
            .map(|missed| {
                if entry.told.contains(&missed.topic) {
                    Missed::of(missed.topic, Replay::at_head(missed.head))
                } else {
                    missed
                }
            })
            .collect();
        let codec = subscription.wire.codec();
        let messages = if entry.begun {
            codec.missed(&missed, now)
        } else {
            codec.open(&Opening {
                missed: &missed,
                id,
                now_ms: now,
                jitter,
            })
        };
        entry.begun = true;
        for missed in missed {
            let new = self
                .entries
                .get_mut(id)
                .is_some_and(|entry| entry.told.insert(missed.topic.clone()));
            if new {
                self.present(id, &missed.topic, now);
                if let Some(roster) = self.rosters.get_mut(&missed.topic) {
                    roster.caught_up(id, missed.head, now);
                }
            }
        }
        self.regroup(id);
        Some(messages)
    }

    /// Encodes a batch for everyone who has its topic. All of them are at the `head` of their other topics.
    pub fn tell(&mut self, batch: &Batch<'_>, head: impl Fn(&TopicName) -> u64) -> Vec<Encoded> {
        if let Some(roster) = self.rosters.get_mut(batch.topic) {
            for update in batch.updates {
                roster.sent(update.sequence, batch.delivered_at_ms);
            }
        }
        self.groups.encode(batch, head)
    }

    /// Notes a sign of life of a session, and perhaps where it is. Returns whether it is here.
    pub fn heard(&mut self, id: &str, place: Option<Place>, now: u64) -> bool {
        let Some(entry) = self.entries.get(id) else {
            return false;
        };
        for wanted in &entry.session.subscription.wanted {
            if let Some(roster) = self.rosters.get_mut(&wanted.topic) {
                roster.heard(id, place, now);
            }
        }
        true
    }

    /// Notes that an update has arrived at a session, and perhaps where that is. Returns whether it is
    /// here, with that topic.
    pub fn acked(
        &mut self,
        id: &str,
        topic: &TopicName,
        sequence: u64,
        place: Option<Place>,
        now: u64,
    ) -> bool {
        let heard = self.heard(id, place, now);
        let roster = self.rosters.get_mut(topic);
        heard && roster.is_some_and(|roster| roster.acked(id, sequence, now))
    }

    /// Takes over a session whose token or place is another one, and whose topics are the same.
    pub fn keep(&mut self, session: &Session) {
        if let Some(entry) = self.entries.get_mut(&session.id) {
            let before = std::mem::replace(&mut entry.session, session.clone());
            self.forget_expiry(&before);
            self.note_expiry(session);
        }
    }

    /// Returns who is connected to a topic here.
    #[must_use]
    pub fn list(&self, topic: &TopicName, now: u64) -> SubscriberList {
        match self.rosters.get(topic) {
            Some(roster) => roster.list(topic, now),
            None => presence::merge(topic, []),
        }
    }

    /// Returns how many sessions there are, those among them that have not said yet who they are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.entries.len() + self.awaited.len()).unwrap_or(u32::MAX)
    }

    /// Returns how many sessions have this topic.
    #[must_use]
    pub fn subscribers(&self, topic: &TopicName) -> u32 {
        self.groups.subscribers(topic)
    }

    /// Returns every topic that somebody is here for.
    pub fn topics(&self) -> impl Iterator<Item = &TopicName> {
        self.groups.topics()
    }

    /// Returns when the right of the next WebSocket ends; streams end by themselves.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Returns the ids of the WebSockets whose rights have ended since this was asked last.
    pub fn take_expired(&mut self, now: u64) -> BTreeSet<String> {
        let mut expired = BTreeSet::new();
        while let Some((at, id)) = self.expiries.pop_first() {
            if at > now {
                self.expiries.insert((at, id));
                break;
            }
            expired.insert(id);
        }
        expired
    }

    /// Puts a session into the groups of its topics. Returns the topics that nobody is left for.
    fn regroup(&mut self, id: &str) -> Vec<TopicName> {
        let Some(entry) = self.entries.get_mut(id) else {
            return vec![];
        };
        let subscription = &entry.session.subscription;
        let topics = subscription.topics().into_iter();
        let (told, coming): (Vec<_>, Vec<_>) = topics.partition(|topic| entry.told.contains(topic));
        // It joins before it leaves, so that no topic is left in between.
        let mut join = |topics: &[_]| {
            (!topics.is_empty()).then(|| self.groups.join(topics, subscription.wire))
        };
        let left = [
            std::mem::replace(&mut entry.told_group, join(&told)),
            std::mem::replace(&mut entry.coming_group, join(&coming)),
        ];
        let left = left.iter().flatten();
        left.flat_map(|group| self.groups.leave(group)).collect()
    }

    /// Notes that a session was told everything of a topic: now, or earlier where its object has slept since.
    fn present(&mut self, id: &str, topic: &TopicName, now: u64) {
        if let Some(Entry { session, .. }) = self.entries.get(id) {
            let roster = self.rosters.entry(topic.clone()).or_default();
            roster.connected(
                id,
                session.subscription.wire.codec().transport(),
                session.subscription.place.clone(),
                session.connected_at_ms,
                now,
            );
        }
    }

    fn note_expiry(&mut self, session: &Session) {
        if let Some(at) = session.socket_expires_at_ms() {
            self.expiries.insert((at, session.id.clone()));
        }
    }

    fn forget_expiry(&mut self, session: &Session) {
        if let Some(at) = session.socket_expires_at_ms() {
            self.expiries.remove(&(at, session.id.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
