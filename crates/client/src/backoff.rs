//! How long to wait after a failure: longer each time, up to a limit, with jitter, so that many
//! origins do not come back to a recovering edge in the same instant.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Waits of a thing that fails again and again.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    builder: ExponentialBuilder,
    waits: ExponentialBackoff,
}

impl Backoff {
    /// Waits that double from `min` to `max`; jitter adds up to as much again.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(min)
            .with_max_delay(max)
            .with_jitter()
            .without_max_times();
        Self {
            min,
            builder,
            waits: builder.build(),
        }
    }

    /// Returns the next wait. Failures never end it.
    #[must_use]
    pub fn after_failure(&mut self) -> Duration {
        self.waits.next().unwrap_or(Duration::MAX)
    }

    /// Takes another shortest wait than at first; nothing changes while failures go on.
    pub fn begin_with(&mut self, min: Duration) {
        if self.min != min {
            self.min = min;
            self.builder = self.builder.with_min_delay(min);
            self.waits = self.builder.build();
        }
    }

    /// Begins again with the shortest wait.
    pub fn after_success(&mut self) {
        self.waits = self.builder.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_begin_again_after_a_success() {
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(min, max);
        let waits: Vec<_> = (0..50).map(|_| backoff.after_failure()).collect();
        assert!(waits.iter().all(|wait| (min..=2 * max).contains(wait)));
        assert!(waits[10..].iter().all(|wait| *wait >= max));
        backoff.after_success();
        assert!(backoff.after_failure() <= 2 * min);
    }

    #[test]
    fn another_shortest_wait_counts_from_then_on() {
        let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_secs(1));
        let min = Duration::from_millis(400);
        backoff.begin_with(min);
        assert!(backoff.after_failure() >= min);
        // The same once more changes nothing: the waits go on growing.
        backoff.begin_with(min);
        assert!(backoff.after_failure() >= 2 * min);
    }
}
