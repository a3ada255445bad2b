//! Who is connected to a topic, as its root knows it: what its relays have said beside the root's own
//! list, and what those who watch were told.

use headstart_protocol::presence::{SubscriberChanges, SubscriberList};

use crate::topic::presence::{Snapshot, TELL_EVERY_MS, merge};

/// What a root knows of who is connected.
#[derive(Debug, Default)]
pub struct RootPresence {
    /// What those who watch were told last; nothing while nobody does.
    watched: Option<Snapshot>,
    /// Who is at the relays, and when they said so.
    at_relays: Option<(u64, Vec<SubscriberList>)>,
    asking: bool,
}

impl RootPresence {
    /// Returns whether the relays are being asked: what is known then is soon another.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.asking
    }

    /// Returns whether to ask the relays now, which happens at most every [`TELL_EVERY_MS`]. The shell
    /// says [`RootPresence::relays_said`] then.
    #[must_use]
    pub fn ask(&mut self, now: u64) -> bool {
        let known = self.at_relays.as_ref();
        self.asking = known.is_none_or(|(at, _)| now >= at + TELL_EVERY_MS);
        self.asking
    }

    /// The relays that could be asked have said who is there.
    pub fn relays_said(&mut self, lists: Vec<SubscriberList>, now: u64) {
        self.asking = false;
        self.at_relays = Some((now, lists));
    }

    /// Returns who is connected at the root, its `own`, and at its relays.
    #[must_use]
    pub fn list(&self, own: SubscriberList) -> SubscriberList {
        let at_relays = self.at_relays.iter();
        let lists = at_relays.flat_map(|(_, lists)| lists.iter().cloned());
        merge(&own.topic.clone(), lists.chain([own]))
    }

    /// Notes that a watcher has come and was shown this list. Returns whether it is the first: whoever watches
    /// is told changes every [`TELL_EVERY_MS`] from now on.
    #[must_use]
    pub fn watch(&mut self, list: &SubscriberList, now: u64) -> bool {
        if let Some(told) = &mut self.watched {
            told.shown(list);
            return false;
        }
        self.watched = Some(Snapshot::list(list, now));
        true
    }

    /// Nobody watches any more.
    pub fn unwatched(&mut self) {
        self.watched = None;
    }

    /// Returns what to tell those who watch, now that the list is this one.
    pub fn changes(&mut self, list: &SubscriberList, now: u64) -> Option<SubscriberChanges> {
        self.watched.as_mut()?.changes(list, now)
    }
}

#[cfg(test)]
mod tests {
    use headstart_protocol::topic::TopicName;

    use super::*;

    fn list(count: u64) -> SubscriberList {
        SubscriberList {
            topic: TopicName::parse("a").unwrap(),
            count,
            subscribers: vec![],
        }
    }

    #[test]
    fn relays_are_asked_at_most_once_a_second() {
        let mut presence = RootPresence::default();
        assert!(presence.ask(0));
        assert!(presence.is_asking());
        presence.relays_said(vec![list(2), list(3)], 100);
        assert!(!presence.is_asking());
        assert_eq!(presence.list(list(1)).count, 6);
        assert!(!presence.ask(99 + TELL_EVERY_MS));
        assert!(!presence.is_asking());
        assert!(presence.ask(100 + TELL_EVERY_MS));
    }

    #[test]
    fn the_first_who_watches_begins_the_telling_and_the_last_ends_it() {
        let mut presence = RootPresence::default();
        assert_eq!(presence.changes(&list(1), 0), None);
        assert!(presence.watch(&list(1), 0));
        assert!(!presence.watch(&list(1), 500));
        let changes = presence.changes(&list(2), TELL_EVERY_MS);
        assert_eq!(changes.map(|changes| changes.count), Some(2));
        presence.unwatched();
        assert_eq!(presence.changes(&list(3), 3 * TELL_EVERY_MS), None);
        assert!(presence.watch(&list(3), 3 * TELL_EVERY_MS));
    }
}
