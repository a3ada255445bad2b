//! How much is under way to an object at a time: what is too much is refused at the door, before it slows
//! down what was let in.

use std::collections::BTreeSet;

/// After how long something counts as over, in milliseconds: its end is not told where its client goes away.
const FORGOTTEN_AFTER_MS: u64 = 10_000;

/// For how long nothing is let in after the object has refused something, in milliseconds. Short, since it may
/// have room again at once.
const CLOSED_MS: u64 = 200;

/// What is under way.
#[derive(Debug, Default)]
pub struct UnderWay {
    begun: BTreeSet<Begun>,
    count: u64,
    closed_until_ms: u64,
}

/// Something that was let in: when it began, in milliseconds, and which it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Begun(u64, u64);

impl UnderWay {
    /// Returns whether one more may come in: not where `most` are under way, or the object has just refused
    /// one.
    pub fn has_room(&mut self, most: usize, now_ms: u64) -> bool {
        while let Some(first) = self.begun.first()
            && now_ms >= first.0 + FORGOTTEN_AFTER_MS
        {
            self.begun.pop_first();
        }
        self.begun.len() < most && now_ms >= self.closed_until_ms
    }

    /// Lets one more in, if there [is room](Self::has_room).
    pub fn begin(&mut self, most: usize, now_ms: u64) -> Option<Begun> {
        if !self.has_room(most, now_ms) {
            return None;
        }
        self.count += 1;
        let begun = Begun(now_ms, self.count);
        self.begun.insert(begun);
        Some(begun)
    }

    /// Notes that the object refused one that had been let in.
    pub fn refused(&mut self, now_ms: u64) {
        self.closed_until_ms = now_ms + CLOSED_MS;
    }

    /// Notes that one is over.
    pub fn end(&mut self, begun: Begun) {
        self.begun.remove(&begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let mut under_way = UnderWay::default();
        assert!(under_way.has_room(2, 0));
        let first = under_way.begin(2, 0).unwrap();
        assert!(under_way.begin(2, 0).is_some());
        assert!(!under_way.has_room(2, 0));
        assert_eq!(under_way.begin(2, 0), None);
        under_way.end(first);
        under_way.end(first);
        assert!(under_way.begin(2, 0).is_some());
        assert_eq!(under_way.begin(2, 0), None, "its end counts once");
    }

    #[test]
    fn nothing_is_let_in_for_a_moment_after_the_object_has_refused_one() {
        let mut under_way = UnderWay::default();
        under_way.refused(1_000);
        assert_eq!(under_way.begin(9, 1_000 + CLOSED_MS - 1), None);
        assert!(under_way.begin(9, 1_000 + CLOSED_MS).is_some());
    }

    #[test]
    fn what_never_ends_takes_no_place_for_ever() {
        let mut under_way = UnderWay::default();
        under_way.begin(1, 0).unwrap();
        assert_eq!(under_way.begin(1, FORGOTTEN_AFTER_MS - 1), None);
        assert!(under_way.begin(1, FORGOTTEN_AFTER_MS).is_some());
    }
}
