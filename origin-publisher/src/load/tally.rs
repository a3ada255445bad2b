//! What one subscriber got: every update once, or not.

use std::collections::BTreeSet;

/// The count of one subscriber.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The number after the highest that has come.
    next: u64,
    /// Lower ones that have not.
    missing: BTreeSet<u64>,
    pub(super) deliveries: u64,
    pub(super) duplicates: u64,
    /// Updates that came after a later one.
    pub(super) disordered: u64,
    /// Times that its connection was opened again.
    pub(super) reconnects: u64,
}

impl Tally {
    /// An update has come. True when it is the first time.
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

    /// Of `total`, how many never came.
    pub(super) fn losses(&self, total: u64) -> u64 {
        self.missing.len() as u64 + total.saturating_sub(self.next)
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
            let tally = tally(numbers);
            let found = (
                tally.deliveries,
                tally.losses(4),
                tally.duplicates,
                tally.disordered,
            );
            assert_eq!(
                found,
                (deliveries, losses, duplicates, disordered),
                "{numbers:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_counted_once(numbers in proptest::collection::vec(0_u64..20, 0..60)) {
            let tally = tally(&numbers);
            let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
            prop_assert_eq!(tally.deliveries, distinct.len() as u64);
            prop_assert_eq!(tally.losses(20), 20 - distinct.len() as u64);
            prop_assert_eq!(tally.duplicates, (numbers.len() - distinct.len()) as u64);
        }
    }
}
