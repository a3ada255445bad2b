//! The latencies of all deliveries, shared by thousands of subscribers.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram;

/// Histograms that the latencies are spread over, so that subscribers seldom meet.
const SHARDS: usize = 8;

/// Longest latency that is told from longer ones, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// From publishing to arrival, in microseconds.
#[derive(Debug)]
pub(super) struct Latencies([Mutex<Histogram<u64>>; SHARDS]);

impl Latencies {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(histogram())))
    }

    /// Returns the histogram of the subscriber with this number.
    pub(super) fn lock(&self, number: usize) -> MutexGuard<'_, Histogram<u64>> {
        self.0[number % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of them out.
    pub(super) fn take(&self) -> Histogram<u64> {
        let mut all = histogram();
        for shard in 0..SHARDS {
            let mut shard = self.lock(shard);
            // All have the same bounds.
            let _ = all.add(&*shard);
            shard.clear();
        }
        all
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds of a histogram")
}
