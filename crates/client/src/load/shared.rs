//! What the subscribers of a session, and who publishes for them, know of each other.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{latencies::Latencies, micros, payload::Finder, target::Target};

/// Connections that are being opened at a time: a server is to be measured, not to be stormed.
const OPENING: usize = 64;

/// How often it is looked whether anything arrives.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What all subscribers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: Arc<dyn Target>,
    pub(super) finder: Finder,
    /// What all times count from.
    pub(super) epoch: Instant,
    pub(super) subscribers: usize,
    /// The number of the first update that is expected.
    first: AtomicU64,
    /// The number after the last one: so many have been published, or are about to be.
    total: AtomicU64,
    pub(super) openings: Semaphore,
    /// Subscribers that have been connected once.
    pub(super) connected: AtomicUsize,
    /// Subscribers that have all that is expected.
    complete: AtomicUsize,
    all_complete: Notify,
    /// Updates that have arrived.
    pub(super) deliveries: AtomicU64,
    /// When the last one arrived, in microseconds.
    pub(super) last_at: AtomicU64,
    pub(super) latencies: Latencies,
}

impl Shared {
    pub(super) fn new(target: Arc<dyn Target>, subscribers: usize) -> Self {
        Self {
            target,
            finder: Finder::new(),
            epoch: Instant::now(),
            subscribers,
            first: AtomicU64::new(0),
            total: AtomicU64::new(0),
            openings: Semaphore::new(OPENING),
            connected: AtomicUsize::new(0),
            complete: AtomicUsize::new(0),
            all_complete: Notify::new(),
            deliveries: AtomicU64::new(0),
            last_at: AtomicU64::new(0),
            latencies: Latencies::new(),
        }
    }

    /// Returns the time, in microseconds since the epoch.
    pub(super) fn now(&self) -> u64 {
        micros(self.epoch.elapsed())
    }

    /// Returns how many updates in all have been published, or are about to be.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Acquire)
    }

    /// Returns the numbers of the updates that are waited for.
    pub(super) fn expected(&self) -> Range<u64> {
        let total = self.total();
        self.first.load(Ordering::Relaxed)..total
    }

    /// Notes that so many updates are about to be published, after all that were before.
    pub(super) fn expect(&self, count: u64) {
        let first = self.total();
        self.complete.store(0, Ordering::Relaxed);
        self.first.store(first, Ordering::Relaxed);
        // Whoever sees the new total sees the rest, too.
        self.total.store(first + count, Ordering::Release);
    }

    /// Notes that a subscriber has everything that is expected.
    pub(super) fn is_complete(&self) {
        if self.complete.fetch_add(1, Ordering::Relaxed) + 1 == self.subscribers {
            self.all_complete.notify_one();
        }
    }

    /// Waits until everyone has everything that is expected, or nothing has arrived for as long as
    /// `patience`.
    pub(super) async fn delivered(&self, patience: Duration) {
        let (mut seen, mut seen_at) = (0, Instant::now());
        while self.complete.load(Ordering::Relaxed) < self.subscribers {
            let deliveries = self.deliveries.load(Ordering::Relaxed);
            if deliveries != seen {
                (seen, seen_at) = (deliveries, Instant::now());
            }
            if seen_at.elapsed() > patience {
                return;
            }
            // Out of time is a reason to look again.
            let _ = tokio::time::timeout(LOOK_EVERY, self.all_complete.notified()).await;
        }
    }
}
