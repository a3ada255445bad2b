//! What one subscriber got: every update once, or not.

use std::{collections::BTreeSet, iter::Sum, ops::Range};

/// How often what happened, at one subscriber or at several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) deliveries: u64,
    pub(super) losses: u64,
    pub(super) duplicates: u64,
    /// Updates that came after a later one.
    pub(super) disordered: u64,
    /// Times that a connection was opened again.
    pub(super) reconnects: u64,
}

impl Counts {
    /// Returns what was counted since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        self.with(before, u64::saturating_sub)
    }

    fn with(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            deliveries: join(self.deliveries, other.deliveries),
            losses: join(self.losses, other.losses),
            duplicates: join(self.duplicates, other.duplicates),
            disordered: join(self.disordered, other.disordered),
            reconnects: join(self.reconnects, other.reconnects),
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| {
            sum.with(one, u64::saturating_add)
        })
    }
}

/// The count of one subscriber.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The number after the highest that has come.
    next: u64,
    /// Lower ones that have not.
    missing: BTreeSet<u64>,
    deliveries: u64,
    duplicates: u64,
    disordered: u64,
    pub(super) reconnects: u64,
}

impl Tally {
    /// Notes that an update has come. Returns true when it is the first time.
    pub(super) fn count(&mut self, number: u64) -> bool {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
        } else if self.missing.remove(&number) {
            self.disordered += 1;
        } else {
            self.duplicates += 1;
            return false;
        }
        self.deliveries += 1;
        true
    }

    /// Returns everything that was counted, when `total` updates have been published.
    pub(super) fn counts(&self, total: u64) -> Counts {
        Counts {
            deliveries: self.deliveries,
            losses: self.losses(0..total),
            duplicates: self.duplicates,
            disordered: self.disordered,
            reconnects: self.reconnects,
        }
    }

    /// Returns how many of those with these numbers have not come.
    pub(super) fn losses(&self, numbers: Range<u64>) -> u64 {
        let below = self.missing.range(numbers.clone()).count() as u64;
        below + numbers.end.saturating_sub(numbers.start.max(self.next))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for number in numbers {
            tally.count(*number);
        }
        tally
    }

    #[test]
    fn losses_duplicates_and_disorder_are_told_from_each_other() {
        for (numbers, deliveries, losses, duplicates, disordered) in [
            (&[0, 1, 2, 3][..], 4, 0, 0, 0),
            (&[0, 1, 1, 2], 3, 1, 1, 0),
            (&[0, 2, 1, 3], 4, 0, 0, 1),
            (&[0, 3], 2, 2, 0, 0),
            (&[], 0, 4, 0, 0),
            (&[1, 0, 0, 1], 2, 2, 2, 1),
        ] {
            let expected = Counts {
                deliveries,
                losses,
                duplicates,
                disordered,
                reconnects: 0,
            };
            assert_eq!(tally(numbers).counts(4), expected, "{numbers:?}");
        }
    }

    #[test]
    fn what_came_before_is_not_counted_again() {
        let before = tally(&[0, 0, 3]).counts(4);
        let mut tally = tally(&[0, 0, 3]);
        for number in [4, 4, 6, 5] {
            tally.count(number);
        }
        let since = tally.counts(8).since(before);
        let expected = Counts {
            deliveries: 3,
            losses: 1,
            duplicates: 1,
            disordered: 1,
            reconnects: 0,
        };
        assert_eq!(since, expected);
        assert_eq!([since, before].into_iter().sum::<Counts>(), tally.counts(8));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_counted_once(numbers in proptest::collection::vec(0_u64..20, 0..60)) {
            let tally = tally(&numbers);
            let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
            prop_assert_eq!(tally.deliveries, distinct.len() as u64);
            prop_assert_eq!(tally.losses(0..20), 20 - distinct.len() as u64);
            prop_assert_eq!(tally.losses(7..20), 13 - distinct.range(7..).count() as u64);
            prop_assert_eq!(tally.duplicates, (numbers.len() - distinct.len()) as u64);
        }
    }
}
