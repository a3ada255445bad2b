//! Parts of bulk writes that were refused as a whole: which of them goes next, until each pair that is at
//! fault has stood alone. A search by halves: where the first half is taken, the fault is in the second, and
//! that is not asked for as a whole again.
//!
//! Only ids and subjects are held.

use std::collections::VecDeque;

use crate::outbox::DeliveryId;

/// A delivery, and its subject.
pub(super) type Item = (DeliveryId, String);

/// A part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// There may be faults in it.
    Unknown(Vec<Item>),
    /// Together they were refused. The first goes.
    Halves(Vec<Item>, Vec<Item>),
}

impl Part {
    /// Returns what goes of it.
    pub(super) fn goes(&self) -> &[Item] {
        match self {
            Self::Unknown(items) | Self::Halves(items, _) => items,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Unknown(items) => items.len(),
            Self::Halves(first, second) => first.len() + second.len(),
        }
    }

    /// Makes halves of what was refused, and stands what is alone by itself.
    fn divided(mut items: Vec<Item>) -> Self {
        if items.len() < 2 {
            return Self::Unknown(items);
        }
        let second = items.split_off(items.len() / 2);
        Self::Halves(items, second)
    }
}

/// The parts that are still to go: the oldest first, and so the largest of a batch, with most that is fine.
#[derive(Debug, Default)]
pub(super) struct Parts {
    waiting: VecDeque<Part>,
}

impl Parts {
    /// Returns how many deliveries are in them.
    pub(super) fn len(&self) -> usize {
        self.waiting.iter().map(Part::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes the next. It must come to one of the ends below.
    pub(super) fn next(&mut self) -> Option<Part> {
        self.waiting.pop_front()
    }

    /// Puts a part back that did not go, or whose fate is not known.
    pub(super) fn put_back(&mut self, part: Part) {
        self.waiting.push_front(part);
    }

    /// What went of a part was taken.
    pub(super) fn taken(&mut self, part: Part) {
        if let Part::Halves(_, second) = part {
            self.waiting.push_back(Part::divided(second));
        }
    }

    /// What was to go of a part is gone: whether the rest is at fault is not known.
    pub(super) fn gone(&mut self, part: Part) {
        if let Part::Halves(_, second) = part {
            self.waiting.push_back(Part::Unknown(second));
        }
    }

    /// What went of a part was refused. True when it stood alone, and so is at fault.
    pub(super) fn refused(&mut self, part: Part) -> bool {
        let went = match part {
            Part::Unknown(items) => items,
            Part::Halves(first, second) => {
                self.waiting.push_back(Part::Unknown(second));
                first
            }
        };
        let is_alone = went.len() < 2;
        if !is_alone {
            self.waiting.push_back(Part::divided(went));
        }
        is_alone
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn items(count: i64) -> Vec<Item> {
        (0..count).map(|id| (id, id.to_string())).collect()
    }

    /// Sends parts until none is left. Returns what was taken, what was found at fault, and the calls.
    fn send(
        count: i64,
        is_at_fault: impl Fn(DeliveryId) -> bool,
    ) -> (Vec<DeliveryId>, Vec<DeliveryId>, u32) {
        let (mut parts, mut taken, mut at_fault) = (Parts::default(), Vec::new(), Vec::new());
        parts.put_back(Part::Unknown(items(count)));
        let mut calls = 0;
        while let Some(part) = parts.next() {
            calls += 1;
            let ids: Vec<_> = part.goes().iter().map(|(id, _)| *id).collect();
            if !ids.iter().any(|id| is_at_fault(*id)) {
                taken.extend(ids);
                parts.taken(part);
            } else if parts.refused(part) {
                at_fault.extend(ids);
            }
        }
        (taken, at_fault, calls)
    }

    #[test]
    fn few_faults_among_many_are_found_with_few_calls() {
        let (taken, at_fault, calls) = send(1000, |id| id % 200 == 77);
        assert_eq!((taken.len(), at_fault.len()), (995, 5));
        assert!(calls <= 70, "{calls}");
        let (_, _, calls) = send(10_000, |id| id == 1234);
        assert!(calls <= 28, "{calls}");
    }

    #[test]
    fn what_is_gone_leaves_the_rest_to_be_tried() {
        let mut parts = Parts::default();
        assert!(!parts.refused(Part::Unknown(items(4))));
        let part = parts.next().unwrap();
        assert_eq!((part.goes().len(), part.len()), (2, 4));
        parts.gone(part);
        assert_eq!(parts.next(), Some(Part::Unknown(items(4).split_off(2))));
        assert!(parts.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_at_fault_is_found_alone_and_all_else_is_taken_once(
            faults in proptest::collection::btree_set(0_i64..60, 0..60),
            count in 1_i64..60,
        ) {
            let (mut taken, mut at_fault, _) = send(count, |id| faults.contains(&id));
            taken.sort_unstable();
            at_fault.sort_unstable();
            let (bad, good): (Vec<_>, Vec<_>) = (0..count).partition(|id| faults.contains(id));
            prop_assert_eq!(taken, good);
            prop_assert_eq!(at_fault, bad);
        }
    }
}
