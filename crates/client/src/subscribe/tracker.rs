//! What has been received of each topic, and so where a subscriber goes on: no update is passed on twice,
//! and one that is missing is noticed.

use std::collections::BTreeMap;

use headstart_protocol::{channel::Gap, cursor::Cursors, topic::TopicName};

/// How far one subscriber has got on each of its topics.
#[derive(Debug)]
pub struct Tracker {
    topics: Vec<TopicName>,
    /// For each topic, the sequence of the last update that it has; none before the first welcome.
    have: BTreeMap<TopicName, u64>,
    /// The last connection was given up because updates were missing.
    is_suspicious: bool,
}

/// What an update is to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// The next one.
    Next,
    /// One that it has.
    Known,
    /// Later than the next one, and the edge reported no gap. Asking again after the cursor brings what is
    /// missing.
    Early,
    /// The same, after it was asked again: what is missing will not come.
    AfterGap(Gap),
}

impl Tracker {
    /// Returns the tracker of a subscriber that has what `cursors` say.
    #[must_use]
    pub fn new(topics: Vec<TopicName>, cursors: &Cursors) -> Self {
        let have = topics
            .iter()
            .filter_map(|topic| Some((topic.clone(), cursors.get(topic)?)))
            .collect();
        Self {
            topics,
            have,
            is_suspicious: false,
        }
    }

    /// Returns the cursor to go on from; `None` before anything is known.
    #[must_use]
    pub fn cursor(&self) -> Option<String> {
        let at: Vec<(&TopicName, u64)> = self.have.iter().map(|(topic, at)| (topic, *at)).collect();
        match (at.as_slice(), self.topics.len()) {
            ([], _) => None,
            (_, 1) => Some(Cursors::encode(&at)),
            // Named even where only one of several is known.
            _ => Some(
                self.have
                    .clone()
                    .into_iter()
                    .collect::<Cursors>()
                    .to_string(),
            ),
        }
    }

    /// Notes the heads of the edge's welcome. A topic of which nothing is known begins
    /// at its head, or with its latest update.
    pub fn welcome(&mut self, heads: &BTreeMap<TopicName, u64>, with_latest: bool) {
        for topic in &self.topics {
            let head = heads.get(topic).copied().unwrap_or_default();
            let start = head.saturating_sub(u64::from(with_latest));
            self.have.entry(topic.clone()).or_insert(start);
        }
    }

    /// Notes an update, and returns what it is to the subscriber.
    pub fn arrive(&mut self, topic: &TopicName, sequence: u64) -> Arrival {
        let have = self.have.entry(topic.clone()).or_default();
        if sequence <= *have {
            return Arrival::Known;
        }
        let after = *have;
        let is_next = sequence == after + 1;
        if !is_next && !self.is_suspicious {
            self.is_suspicious = true;
            return Arrival::Early;
        }
        self.is_suspicious = false;
        *have = sequence;
        if is_next {
            return Arrival::Next;
        }
        Arrival::AfterGap(Gap {
            topic: topic.clone(),
            after,
            first: sequence,
        })
    }

    /// Notes a gap that the edge reported: the next update is the first that is left.
    pub fn gap(&mut self, gap: &Gap) {
        self.is_suspicious = false;
        self.have
            .insert(gap.topic.clone(), gap.first.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn tracker(names: &[&str], cursor: &str) -> Tracker {
        let topics: Vec<TopicName> = names.iter().map(|name| topic(name)).collect();
        let cursors = Cursors::parse(cursor, &topics).unwrap_or_default();
        Tracker::new(topics, &cursors)
    }

    fn heads(heads: &[(&str, u64)]) -> BTreeMap<TopicName, u64> {
        heads
            .iter()
            .map(|(name, head)| (topic(name), *head))
            .collect()
    }

    #[test]
    fn without_a_cursor_it_begins_where_the_welcome_says() {
        let mut at_head = tracker(&["a"], "");
        assert_eq!(at_head.cursor(), None);
        at_head.welcome(&heads(&[("a", 57)]), false);
        assert_eq!(at_head.cursor().as_deref(), Some("57"));
        let mut with_latest = tracker(&["a", "b"], "");
        with_latest.welcome(&heads(&[("a", 57), ("b", 0)]), true);
        assert_eq!(with_latest.cursor().as_deref(), Some("a=56,b=0"));
        assert_eq!(with_latest.arrive(&topic("a"), 57), Arrival::Next);
    }

    #[test]
    fn a_cursor_is_not_moved_by_a_welcome() {
        let mut tracker = tracker(&["a", "b"], "a=42");
        assert_eq!(tracker.cursor().as_deref(), Some("a=42"));
        tracker.welcome(&heads(&[("a", 57), ("b", 7)]), false);
        assert_eq!(tracker.cursor().as_deref(), Some("a=42,b=7"));
    }

    #[test]
    fn what_is_known_is_told_from_what_is_next_and_what_is_early() {
        let mut tracker = tracker(&["a"], "42");
        assert_eq!(tracker.arrive(&topic("a"), 42), Arrival::Known);
        assert_eq!(tracker.arrive(&topic("a"), 43), Arrival::Next);
        assert_eq!(tracker.arrive(&topic("a"), 45), Arrival::Early);
        assert_eq!(
            tracker.cursor().as_deref(),
            Some("43"),
            "to be asked for again"
        );
        assert_eq!(tracker.arrive(&topic("a"), 44), Arrival::Next);
        assert_eq!(tracker.arrive(&topic("a"), 45), Arrival::Next);
    }

    #[test]
    fn what_is_missing_twice_is_a_gap() {
        let mut tracker = tracker(&["a"], "42");
        assert_eq!(tracker.arrive(&topic("a"), 45), Arrival::Early);
        let gap = Gap {
            topic: topic("a"),
            after: 42,
            first: 45,
        };
        assert_eq!(tracker.arrive(&topic("a"), 45), Arrival::AfterGap(gap));
        assert_eq!(tracker.arrive(&topic("a"), 46), Arrival::Next);
    }

    #[test]
    fn after_a_gap_the_first_that_is_left_is_next_also_where_numbering_began_anew() {
        let mut tracker = tracker(&["a"], "42");
        for (first, next) in [(50, 50), (1, 1)] {
            tracker.gap(&Gap {
                topic: topic("a"),
                after: 42,
                first,
            });
            assert_eq!(tracker.arrive(&topic("a"), next), Arrival::Next);
        }
    }

    proptest! {
        /// A connection brings updates after the cursor, some twice, some not at all; after each break it
        /// is asked again from the cursor. Told are all, in order, each once.
        #[test]
        fn breaks_and_repetitions_lose_and_double_nothing(
            connections in proptest::collection::vec((0_usize..6, any::<bool>(), 0_u64..4), 1..30),
        ) {
            let a = topic("a");
            let mut tracker = tracker(&["a"], "0");
            let mut told = Vec::new();
            for (count, skips, back) in connections {
                let from: u64 = tracker.cursor().unwrap().parse().unwrap();
                let mut sequence = from.saturating_sub(back);
                for step in 0..count {
                    // A connection after one with missing updates is a good one.
                    sequence += if skips && step == 1 && !tracker.is_suspicious { 2 } else { 1 };
                    match tracker.arrive(&a, sequence) {
                        Arrival::Next => told.push(sequence),
                        Arrival::Known => {}
                        Arrival::Early => break,
                        Arrival::AfterGap(gap) => prop_assert!(false, "{gap:?}"),
                    }
                }
            }
            let expected: Vec<u64> = (1..=told.len() as u64).collect();
            prop_assert_eq!(told, expected);
        }
    }
}
