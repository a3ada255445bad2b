//! When a topic's newest value is written to KV: at most once a second, which is what KV takes for one
//! key, with what came in between left out and the last one never lost. Rules only; the shell writes,
//! and stores which sequence was written last.

use std::ops::Not as _;

/// Shortest time from the end of one write to the start of the next, in milliseconds. The platform
/// takes one write a second for a key; counted from the end, two never arrive closer than that.
pub const PUT_EVERY_MS: u64 = 1_000;

/// Longest time from a failed write to the next try, in milliseconds.
const LONGEST_RETRY_MS: u64 = 60_000;

/// How a topic's value in KV stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvPace {
    head: u64,
    put: u64,
    putting: bool,
    failures: u32,
    /// Not before this time.
    next_at: u64,
}

impl KvPace {
    /// Restores it as it was stored: the topic's head and the sequence that was written last; both 0 for a new
    /// topic.
    #[must_use]
    pub fn restore(head: u64, put_sequence: u64) -> Self {
        Self {
            head,
            put: put_sequence,
            putting: false,
            failures: 0,
            next_at: 0,
        }
    }

    /// Notes that the topic has updates up to `head`.
    pub fn advanced(&mut self, head: u64) {
        self.head = head;
    }

    /// Returns the sequence to write now, if it is time. Say [`KvPace::done`] or [`KvPace::failed`] then;
    /// until then there is nothing else to write.
    #[must_use]
    pub fn begin(&mut self, now: u64) -> Option<u64> {
        if self.next_due()? > now {
            return None;
        }
        self.putting = true;
        Some(self.head)
    }

    /// Notes that `sequence` is written: store it as the last one.
    pub fn done(&mut self, sequence: u64, now: u64) {
        self.putting = false;
        self.failures = 0;
        self.put = sequence;
        self.next_at = now + PUT_EVERY_MS;
    }

    /// Notes that the write failed; another follows, later each time.
    pub fn failed(&mut self, now: u64) {
        self.putting = false;
        let doubled = PUT_EVERY_MS << self.failures.min(16);
        self.failures += 1;
        self.next_at = now + doubled.min(LONGEST_RETRY_MS);
    }

    /// Returns whether KV has not the newest value yet; it may be being written.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        // Unequal, not greater: after a loss of the topic's storage the numbering begins anew.
        self.head != self.put && self.head > 0
    }

    /// Returns when [`KvPace::begin`] has something to write, in milliseconds since the Unix epoch; in the
    /// past where that is now.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        (self.is_behind() && self.putting.not()).then_some(self.next_at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_value_is_written_at_once_and_the_last_of_a_second_after_it() {
        let mut latest = KvPace::restore(0, 0);
        assert_eq!(latest.begin(0), None, "there is no value yet");
        latest.advanced(1);
        assert_eq!(latest.begin(0), Some(1));
        latest.advanced(2);
        latest.advanced(3);
        assert_eq!(latest.begin(1), None, "one is being written");
        latest.done(1, 50);
        assert_eq!(latest.begin(1_049), None);
        assert_eq!(latest.next_due(), Some(1_050));
        assert_eq!(latest.begin(1_050), Some(3));
        latest.done(3, 1_060);
        assert_eq!(latest.next_due(), None);
    }

    #[test]
    fn a_failed_write_is_tried_again_later_each_time() {
        let mut latest = KvPace::restore(1, 0);
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert_eq!(latest.begin(now), Some(1));
            latest.failed(now);
            waits.push(latest.next_due().unwrap() - now);
            now = latest.next_due().unwrap();
        }
        assert_eq!(waits[..3], [1_000, 2_000, 4_000]);
        assert_eq!(waits[8], LONGEST_RETRY_MS);
        assert_eq!(latest.begin(now), Some(1));
        latest.done(1, now);
        latest.advanced(2);
        assert_eq!(latest.next_due(), Some(now + PUT_EVERY_MS));
    }

    #[test]
    fn what_was_not_written_before_an_eviction_is_written_after_it() {
        assert_eq!(KvPace::restore(7, 6).begin(5), Some(7));
        assert_eq!(KvPace::restore(7, 7).begin(5), None);
    }

    proptest! {
        #[test]
        fn writes_keep_their_distance_and_the_last_value_always_arrives(
            steps in prop::collection::vec((0_u64..1_500, any::<bool>(), any::<bool>(), any::<bool>()), 1..80),
        ) {
            let mut latest = KvPace::restore(0, 0);
            let (mut now, mut head, mut stored) = (0, 0, 0);
            let mut writing: Option<u64> = None;
            let mut ended: Option<u64> = None;
            for (later, publish, works, evict) in steps {
                now += later;
                if let Some(sequence) = writing.take() {
                    ended = Some(now);
                    if works {
                        latest.done(sequence, now);
                        stored = sequence;
                    } else {
                        latest.failed(now);
                    }
                } else if evict {
                    latest = KvPace::restore(head, stored);
                    ended = None;
                }
                if publish {
                    head += 1;
                    latest.advanced(head);
                }
                writing = latest.begin(now);
                if writing.is_some() {
                    prop_assert!(ended.is_none_or(|ended| now >= ended + PUT_EVERY_MS));
                }
            }
            while let Some(sequence) = writing.or_else(|| latest.begin(latest.next_due()?)) {
                latest.done(sequence, now);
                stored = sequence;
                writing = None;
            }
            prop_assert_eq!(stored, head);
        }
    }
}
