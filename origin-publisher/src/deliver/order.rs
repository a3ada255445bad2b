//! Which update goes next, so that none overtakes another of its topic: what is on its way, or waits to
//! be sent again, holds back everything later of its topic, and nothing of any other.
//!
//! Only ids are held; an edge that is dead for hours costs disk.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::time::Instant;

use crate::outbox::DeliveryId;

/// The order of all topics for one edge.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Topics of which something waits or is on its way.
    topics: HashMap<String, Topic>,
    /// Topics that may go, by the first of what waits: the oldest goes first.
    ready: BTreeMap<DeliveryId, String>,
    /// Topics that may go from some time on.
    resting: BTreeMap<(Instant, DeliveryId), String>,
}

#[derive(Debug, Default)]
struct Topic {
    waiting: VecDeque<DeliveryId>,
    on_its_way: bool,
}

/// Updates of one topic that go together, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) topic: String,
    pub(super) ids: Vec<DeliveryId>,
}

impl Order {
    /// Adds an update that is newer than all before.
    pub(super) fn add(&mut self, topic: String, id: DeliveryId) {
        let entry = self.topics.entry(topic.clone()).or_default();
        if entry.waiting.is_empty() && !entry.on_its_way {
            self.ready.insert(id, topic);
        }
        entry.waiting.push_back(id);
    }

    /// Whether something may go now.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When a resting topic may go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.resting.keys().next().map(|(at, _)| *at)
    }

    /// Sends off up to `limit` updates. Nothing more of their topics goes until they are [`Self::back`].
    pub(super) fn next(&mut self, limit: usize, now: Instant) -> Vec<Run> {
        while let Some(first) = self.resting.first_entry()
            && first.key().0 <= now
        {
            let ((_, id), topic) = first.remove_entry();
            self.ready.insert(id, topic);
        }
        let mut runs = Vec::new();
        let mut room = limit;
        while room > 0
            && let Some((_, topic)) = self.ready.pop_first()
        {
            let Some(entry) = self.topics.get_mut(&topic) else {
                continue;
            };
            entry.on_its_way = true;
            let count = entry.waiting.len().min(room);
            room -= count;
            let ids = entry.waiting.drain(..count).collect();
            runs.push(Run { topic, ids });
        }
        runs
    }

    /// Puts back the last ones of a run that did not go after all; the topic stays on its way.
    pub(super) fn put_back(&mut self, topic: &str, ids: &[DeliveryId]) {
        if let Some(entry) = self.topics.get_mut(topic) {
            for id in ids.iter().rev() {
                entry.waiting.push_front(*id);
            }
        }
    }

    /// A run has come to its end. What is `left` of it goes first, from `at` on, and everything else of
    /// the topic after it.
    pub(super) fn back(&mut self, topic: &str, left: &[DeliveryId], at: Instant) {
        self.put_back(topic, left);
        let Some(entry) = self.topics.get_mut(topic) else {
            return;
        };
        entry.on_its_way = false;
        match entry.waiting.front() {
            None => {
                self.topics.remove(topic);
            }
            Some(first) if left.is_empty() => {
                self.ready.insert(*first, topic.to_owned());
            }
            Some(first) => {
                self.resting.insert((at, *first), topic.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn run(topic: &str, ids: &[DeliveryId]) -> Run {
        Run {
            topic: topic.to_owned(),
            ids: ids.to_vec(),
        }
    }

    fn order(updates: &[(&str, DeliveryId)]) -> Order {
        let mut order = Order::default();
        for (topic, id) in updates {
            order.add((*topic).to_owned(), *id);
        }
        order
    }

    #[test]
    fn what_is_on_its_way_holds_back_its_topic_and_no_other() {
        let now = Instant::now();
        let mut order = order(&[("a", 1), ("b", 2), ("a", 3)]);
        assert_eq!(order.next(1, now), [run("a", &[1])]);
        assert_eq!(order.next(9, now), [run("b", &[2])]);
        assert!(!order.is_ready());
        order.back("a", &[], now);
        assert_eq!(order.next(9, now), [run("a", &[3])]);
    }

    #[test]
    fn what_is_sent_again_goes_before_what_came_later_and_not_before_its_time() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut order = order(&[("a", 1), ("a", 2), ("a", 3), ("b", 4)]);
        assert_eq!(order.next(2, now), [run("a", &[1, 2])]);
        order.back("a", &[2], later);
        order.add("a".to_owned(), 5);
        assert_eq!(order.next(9, now), [run("b", &[4])]);
        assert_eq!(order.due(), Some(later));
        assert_eq!(order.next(9, later), [run("a", &[2, 3, 5])]);
    }

    #[test]
    fn what_did_not_fit_is_the_next_to_go() {
        let now = Instant::now();
        let mut order = order(&[("a", 1), ("a", 2), ("a", 3)]);
        assert_eq!(order.next(9, now), [run("a", &[1, 2, 3])]);
        order.put_back("a", &[2, 3]);
        assert!(!order.is_ready());
        order.back("a", &[], now);
        assert_eq!(order.next(9, now), [run("a", &[2, 3])]);
    }

    #[test]
    fn nothing_is_remembered_of_a_topic_that_is_done() {
        let now = Instant::now();
        let mut order = order(&[("a", 1)]);
        order.next(1, now);
        order.back("a", &[], now);
        assert!(order.topics.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8),
        Next(usize),
        /// The oldest run on its way ends; so many of its updates are left.
        End(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u8..4).prop_map(Step::Add),
            2 => (1_usize..5).prop_map(Step::Next),
            2 => (0_usize..4).prop_map(Step::End),
        ]
    }

    proptest! {
        /// Whatever ends when and with what left, each topic's updates end in their order, and all end.
        #[test]
        fn none_overtakes_another_and_none_is_lost(steps in proptest::collection::vec(step(), 1..80)) {
            let now = Instant::now();
            let mut order = Order::default();
            let (mut added, mut ended) = (HashMap::<String, Vec<DeliveryId>>::new(), HashMap::new());
            let mut on_their_way = VecDeque::new();
            let mut id = 0;
            let drain = std::iter::repeat_n([Step::Next(100), Step::End(0)], 100).flatten();
            for step in steps.into_iter().chain(drain) {
                match step {
                    Step::Add(topic) => {
                        id += 1;
                        added.entry(topic.to_string()).or_default().push(id);
                        order.add(topic.to_string(), id);
                    }
                    Step::Next(limit) => on_their_way.extend(order.next(limit, now)),
                    Step::End(left) => {
                        let Some(Run { topic, ids }) = on_their_way.pop_front() else { continue };
                        let done = ids.len().saturating_sub(left);
                        ended.entry(topic.clone()).or_insert_with(Vec::new).extend(&ids[..done]);
                        order.back(&topic, &ids[done..], now);
                    }
                }
            }
            prop_assert_eq!(added, ended);
        }
    }
}
