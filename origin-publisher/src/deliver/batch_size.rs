//! How many deliveries go into one request: as many as wait, but fewer for a server that is slow, so
//! that each request comes to its end and what it carried is known to be delivered.

use std::time::Duration;

/// Deliveries of the first batch: nothing is known yet of how quick the server is.
const FIRST: usize = 64;

/// An answer that comes sooner may be for twice as many the next time.
const QUICK: Duration = Duration::from_secs(2);

/// An answer that comes later is for half as many the next time. Well below any request's time-out.
const SLOW: Duration = Duration::from_secs(5);

/// The size of the next batch.
#[derive(Debug)]
pub(super) struct BatchSize {
    now: usize,
    most: usize,
}

impl BatchSize {
    /// Sizes up to `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            now: FIRST.min(most),
            most,
        }
    }

    /// Returns the most deliveries of the next batch.
    pub(super) fn get(&self) -> usize {
        self.now
    }

    /// Learns from a request with `count` deliveries that took so long, whatever came of it.
    pub(super) fn learn(&mut self, count: usize, took: Duration) {
        if took > SLOW {
            self.now = (self.now.min(count) / 2).max(1);
        } else if took < QUICK {
            self.now = self.now.saturating_mul(2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_server_gets_less_until_it_is_quick_and_then_more_again() {
        let mut size = BatchSize::new(500);
        for _ in 0..3 {
            size.learn(1, Duration::from_millis(10));
        }
        assert_eq!(size.get(), 500);
        size.learn(40, Duration::from_secs(30));
        assert_eq!(size.get(), 20);
        for _ in 0..10 {
            size.learn(size.get(), Duration::from_secs(6));
        }
        assert_eq!(size.get(), 1);
        size.learn(1, Duration::from_secs(3));
        assert_eq!(size.get(), 1, "neither quick nor slow");
        for _ in 0..20 {
            size.learn(1, Duration::from_millis(10));
        }
        assert_eq!(size.get(), 500);
    }
}
