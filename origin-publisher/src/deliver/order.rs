//! Which delivery goes next, so that none overtakes another of its subject, that is its topic or its
//! ticket: what is on its way, or waits to be sent again, holds back everything later of its subject, and
//! nothing of any other.
//!
//! Only ids and subjects are held.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::time::Instant;

use crate::outbox::DeliveryId;

/// The order of all subjects in one lane.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Subjects of which something waits or is on its way.
    subjects: HashMap<String, Subject>,
    /// Subjects that may go, by the first of what waits: the oldest goes first.
    ready: BTreeMap<DeliveryId, String>,
    /// Subjects that may go from some time on.
    resting: BTreeMap<(Instant, DeliveryId), String>,
    /// How many wait, of all subjects.
    waiting: usize,
}

#[derive(Debug, Default)]
struct Subject {
    waiting: VecDeque<DeliveryId>,
    on_its_way: bool,
}

/// Deliveries of one subject that go together, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) subject: String,
    pub(super) ids: Vec<DeliveryId>,
}

impl Order {
    /// Adds a delivery that is newer than all before.
    pub(super) fn add(&mut self, subject: String, id: DeliveryId) {
        let entry = self.subjects.entry(subject.clone()).or_default();
        if entry.waiting.is_empty() && !entry.on_its_way {
            self.ready.insert(id, subject);
        }
        entry.waiting.push_back(id);
        self.waiting += 1;
    }

    /// Holds back what is yet to come of a subject until it [has ended](Self::end). False where something
    /// of it is here already.
    pub(super) fn hold(&mut self, subject: &str) -> bool {
        if self.subjects.contains_key(subject) {
            return false;
        }
        let held = Subject {
            on_its_way: true,
            ..Subject::default()
        };
        self.subjects.insert(subject.to_owned(), held);
        true
    }

    /// Returns how many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns whether something may go.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        !self.ready.is_empty() || self.due().is_some_and(|due| due <= now)
    }

    /// Returns when the first resting subject may go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.resting.keys().next().map(|(at, _)| *at)
    }

    /// Sends off up to `limit` deliveries. Nothing more of their subjects goes until they
    /// [have ended](Self::end).
    pub(super) fn next(&mut self, limit: usize, now: Instant) -> Vec<Run> {
        while let Some(first) = self.resting.first_entry()
            && first.key().0 <= now
        {
            let ((_, id), subject) = first.remove_entry();
            self.ready.insert(id, subject);
        }
        let mut runs = Vec::new();
        let mut room = limit;
        while room > 0
            && let Some((_, subject)) = self.ready.pop_first()
        {
            let Some(entry) = self.subjects.get_mut(&subject) else {
                continue;
            };
            entry.on_its_way = true;
            let count = entry.waiting.len().min(room);
            room -= count;
            self.waiting -= count;
            let ids = entry.waiting.drain(..count).collect();
            runs.push(Run { subject, ids });
        }
        runs
    }

    /// Puts back the last ones of a run that did not go after all; the subject stays on its way.
    pub(super) fn put_back(&mut self, subject: &str, ids: &[DeliveryId]) {
        if let Some(entry) = self.subjects.get_mut(subject) {
            for id in ids.iter().rev() {
                entry.waiting.push_front(*id);
            }
            self.waiting += ids.len();
        }
    }

    /// Ends a run. What is `left` of it goes first, from `at` on, and everything else of the subject
    /// after it.
    pub(super) fn end(&mut self, subject: &str, left: &[DeliveryId], at: Instant) {
        self.put_back(subject, left);
        let Some(entry) = self.subjects.get_mut(subject) else {
            return;
        };
        entry.on_its_way = false;
        match entry.waiting.front() {
            None => {
                self.subjects.remove(subject);
            }
            Some(first) if left.is_empty() => {
                self.ready.insert(*first, subject.to_owned());
            }
            Some(first) => {
                self.resting.insert((at, *first), subject.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn run(subject: &str, ids: &[DeliveryId]) -> Run {
        Run {
            subject: subject.to_owned(),
            ids: ids.to_vec(),
        }
    }

    fn order(deliveries: &[(&str, DeliveryId)]) -> Order {
        let mut order = Order::default();
        for (subject, id) in deliveries {
            order.add((*subject).to_owned(), *id);
        }
        order
    }

    #[test]
    fn what_is_on_its_way_holds_back_its_subject_and_no_other() {
        let now = Instant::now();
        let mut order = order(&[("a", 1), ("b", 2), ("a", 3)]);
        assert_eq!(order.next(1, now), [run("a", &[1])]);
        assert_eq!(order.next(9, now), [run("b", &[2])]);
        assert!(!order.is_ready(now));
        order.end("a", &[], now);
        assert_eq!(order.next(9, now), [run("a", &[3])]);
    }

    #[test]
    fn what_is_sent_again_goes_before_what_came_later_and_not_before_its_time() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut order = order(&[("a", 1), ("a", 2), ("a", 3), ("b", 4)]);
        assert_eq!(order.next(2, now), [run("a", &[1, 2])]);
        order.end("a", &[2], later);
        order.add("a".to_owned(), 5);
        assert_eq!(order.next(9, now), [run("b", &[4])]);
        assert_eq!(order.due(), Some(later));
        assert!(!order.is_ready(now) && order.is_ready(later));
        assert_eq!(order.next(9, later), [run("a", &[2, 3, 5])]);
    }

    #[test]
    fn what_did_not_fit_is_the_next_to_go() {
        let now = Instant::now();
        let mut order = order(&[("a", 1), ("a", 2), ("a", 3)]);
        assert_eq!(order.next(9, now), [run("a", &[1, 2, 3])]);
        order.put_back("a", &[2, 3]);
        assert!(!order.is_ready(now));
        order.end("a", &[], now);
        assert_eq!(order.next(9, now), [run("a", &[2, 3])]);
    }

    #[test]
    fn nothing_is_remembered_of_a_subject_that_is_done() {
        let now = Instant::now();
        let mut order = order(&[("a", 1)]);
        order.next(1, now);
        order.end("a", &[], now);
        assert!(order.subjects.is_empty() && order.waiting() == 0);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8),
        Next(usize),
        /// The oldest run on its way ends; so many of its deliveries are left.
        End(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u8..4).prop_map(Step::Add),
            2 => (1_usize..5).prop_map(Step::Next),
            2 => (0_usize..4).prop_map(Step::End),
        ]
    }

    #[test]
    fn a_subject_that_is_held_goes_once_that_has_ended() {
        let (mut order, now) = (Order::default(), Instant::now());
        assert!(order.hold("a"));
        assert!(!order.hold("a"), "once is enough");
        order.add("a".to_owned(), 1);
        order.add("b".to_owned(), 2);
        let subjects = |runs: Vec<Run>| runs.into_iter().map(|run| run.subject).collect::<Vec<_>>();
        assert_eq!(subjects(order.next(9, now)), ["b"]);
        assert!(!order.hold("b"), "it is on its way");
        order.end("a", &[], now);
        assert_eq!(subjects(order.next(9, now)), ["a"]);
        order.end("a", &[], now);
        // Nothing of it came meanwhile.
        assert!(order.hold("a"));
        order.end("a", &[], now);
        assert!(order.hold("a"));
    }

    proptest! {
        /// Whatever ends when and with what left, each subject's deliveries end in their order, and all end.
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
                    Step::Add(subject) => {
                        id += 1;
                        added.entry(subject.to_string()).or_default().push(id);
                        order.add(subject.to_string(), id);
                    }
                    Step::Next(limit) => on_their_way.extend(order.next(limit, now)),
                    Step::End(left) => {
                        let Some(Run { subject, ids }) = on_their_way.pop_front() else { continue };
                        let done = ids.len().saturating_sub(left);
                        ended.entry(subject.clone()).or_insert_with(Vec::new).extend(&ids[..done]);
                        order.end(&subject, &ids[done..], now);
                    }
                }
            }
            prop_assert_eq!(added, ended);
            prop_assert_eq!(order.waiting(), 0);
        }
    }
}
