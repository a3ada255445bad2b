//! When updates are written to subscribers: the first one at once, and what follows close behind it
//! together. Each write costs the platform a turn for every subscriber, whatever is in it.

/// For how long updates are gathered after a write to many subscribers, in milliseconds: nobody notices
/// the wait.
pub const GATHER_MS: u64 = 10;

/// So many subscribers make a millisecond of that, since a write to few is soon done; what comes in the
/// same instant goes together in any case. Measured: a window of
/// 10 ms for 100 of them leaves the object idle half of the time.
const SUBSCRIBERS_PER_MS: u64 = 64;

/// What to do with an update that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Write it now.
    Now,
    /// Write it, and what comes until then, in so many milliseconds, and say [`Coalesce::flushed`].
    In(u64),
    /// A write is coming that it goes with.
    Scheduled,
}

/// When the last write was, and whether one is coming.
#[derive(Debug, Default)]
pub struct Coalesce {
    last: Option<u64>,
    scheduled: bool,
}

impl Coalesce {
    /// Notes that one update or several have arrived together, for that many subscribers.
    #[must_use]
    pub fn arrived(&mut self, subscribers: u32, now: u64) -> Flush {
        if self.scheduled {
            return Flush::Scheduled;
        }
        let window = (u64::from(subscribers) / SUBSCRIBERS_PER_MS).clamp(1, GATHER_MS);
        // A clock that was set back must not delay anything, hence the equality by `checked_sub`.
        match self.last.and_then(|last| now.checked_sub(last)) {
            Some(since) if since < window => {
                self.scheduled = true;
                Flush::In(window - since)
            }
            _ => {
                self.last = Some(now);
                Flush::Now
            }
        }
    }

    /// Notes that what was scheduled has been written.
    pub fn flushed(&mut self, now: u64) {
        self.scheduled = false;
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u32 = 100_000;

    #[test]
    fn the_first_goes_at_once_and_what_follows_goes_together() {
        let mut coalesce = Coalesce::default();
        assert_eq!(coalesce.arrived(MANY, 100), Flush::Now);
        assert_eq!(coalesce.arrived(MANY, 100), Flush::In(GATHER_MS));
        assert_eq!(coalesce.arrived(MANY, 104), Flush::Scheduled);
        coalesce.flushed(110);
        assert_eq!(coalesce.arrived(MANY, 113), Flush::In(7));
        coalesce.flushed(120);
        assert_eq!(coalesce.arrived(MANY, 130), Flush::Now);
    }

    #[test]
    fn few_subscribers_wait_for_little_more_than_the_same_instant() {
        let mut coalesce = Coalesce::default();
        assert_eq!(coalesce.arrived(1, 100), Flush::Now);
        assert_eq!(coalesce.arrived(1, 100), Flush::In(1));
        coalesce.flushed(101);
        assert_eq!(coalesce.arrived(1, 102), Flush::Now);
        assert_eq!(coalesce.arrived(200, 104), Flush::In(1));
    }

    #[test]
    fn a_clock_that_was_set_back_delays_nothing() {
        let mut coalesce = Coalesce::default();
        assert_eq!(coalesce.arrived(MANY, 100), Flush::Now);
        assert_eq!(coalesce.arrived(MANY, 50), Flush::Now);
    }
}
