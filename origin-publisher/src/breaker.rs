//! The circuit breaker before the outbox. While nothing can be kept, because the disk is full for example,
//! nothing is generated only to be thrown away; and before it is full no more logins are taken, so that there
//! is room for what is held.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use headstart_client::{backoff::Backoff, clock::whole_ms};
use tokio::{sync::watch, time::interval};

use crate::outbox::{Outbox, OutboxError};

/// Shortest and longest time from one try to write to the next; jitter adds up to as much again.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// How often it is looked how much of the disk is free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Too little of the outbox's disk is free for new logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{free} bytes of the outbox's disk are free, and outbox.min_free_bytes is {least}: no logins are taken until there are {}",
    Self::enough(*least)
)]
pub struct LowDisk {
    free: u64,
    least: u64,
}

impl LowDisk {
    /// Returns whether a disk is low that was, or was not, before. It is no longer where a quarter more is
    /// free than the least: otherwise each purge would end it for a moment.
    fn see(before: Option<Self>, free: u64, least: u64) -> Option<Self> {
        let enough = if before.is_some() {
            Self::enough(least)
        } else {
            least
        };
        (free < enough).then_some(Self { free, least })
    }

    fn enough(least: u64) -> u64 {
        least.saturating_add(least / 4)
    }
}

/// Why no logins are taken.
#[derive(Debug, Default)]
struct State {
    /// Something was not kept, and nothing has been since.
    is_failing: bool,
    /// The disk is low.
    low: Option<LowDisk>,
}

impl State {
    fn is_tripped(&self) -> bool {
        self.is_failing || self.low.is_some()
    }
}

/// Trips when the outbox does not keep something, and is reset once a try to write succeeds; trips as well
/// while its disk is low. Clones share it.
#[derive(Debug, Clone)]
pub struct Breaker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    outbox: Outbox,
    state: watch::Sender<State>,
    /// Between two trips without anything kept it goes on growing.
    backoff: Mutex<Backoff>,
}

impl Breaker {
    /// Returns a breaker before `outbox`.
    #[must_use]
    pub fn new(outbox: Outbox) -> Self {
        Self {
            inner: Arc::new(Inner {
                outbox,
                state: watch::Sender::default(),
                backoff: Mutex::new(Backoff::new(WAITS.0, WAITS.1)),
            }),
        }
    }

    /// Notes whether something was kept; trips when it was not.
    pub fn learn<T>(&self, result: &Result<T, OutboxError>) {
        if result.is_ok() {
            self.inner.with_backoff(Backoff::after_success);
        } else if self.inner.set_failing(true) {
            tracing::error!("nothing can be kept: no logins are taken until that is mended");
            tokio::spawn(reset(Arc::downgrade(&self.inner)));
        }
    }

    /// Looks about once a second how much of the outbox's disk is free, as long as the breaker is there; less
    /// than `least` bytes trip it.
    pub fn watch_disk(&self, least: u64) {
        let breaker = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let mut looks = interval(LOOK_EVERY);
            loop {
                looks.tick().await;
                let Some(inner) = breaker.upgrade() else {
                    return;
                };
                match inner.outbox.free_bytes().await {
                    Ok(free) => inner.see_free(free, least),
                    Err(error) => {
                        tracing::debug!(%error, "how much of the disk is free is not known");
                    }
                }
            }
        });
    }

    /// Notes how much of the disk is free.
    #[cfg(test)]
    pub(crate) fn see_free(&self, free: u64, least: u64) {
        self.inner.see_free(free, least);
    }

    /// Returns whether no logins are to be taken.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        self.inner.state.borrow().is_tripped()
    }

    /// Returns how low the disk is, where it is.
    #[must_use]
    pub fn low_disk(&self) -> Option<LowDisk> {
        self.inner.state.borrow().low
    }

    /// Waits until no logins are to be taken, or until they are again.
    pub async fn turns(&self, tripped: bool) {
        self.wait_for(|now| now.is_tripped() == tripped).await;
    }

    /// Waits until nothing can be kept.
    pub async fn fails(&self) {
        self.wait_for(|now| now.is_failing).await;
    }

    async fn wait_for(&self, is_so: impl FnMut(&State) -> bool) {
        let mut state = self.inner.state.subscribe();
        // Fails only when the breaker is gone, which this borrows.
        let _ = state.wait_for(is_so).await;
    }
}

impl Inner {
    /// Notes whether nothing can be kept, and returns whether that is new.
    fn set_failing(&self, is_failing: bool) -> bool {
        self.state.send_if_modified(|state| {
            std::mem::replace(&mut state.is_failing, is_failing) != is_failing
        })
    }

    fn see_free(&self, free: u64, least: u64) {
        self.state.send_if_modified(|state| {
            let before = state.low;
            state.low = LowDisk::see(before, free, least);
            match state.low {
                Some(low) if before.is_none() => tracing::error!("{low}"),
                None if before.is_some() => {
                    tracing::info!(free, "enough of the disk is free again");
                }
                Some(_) | None => {}
            }
            state.low.is_some() != before.is_some()
        });
    }

    fn with_backoff<T>(&self, work: impl FnOnce(&mut Backoff) -> T) -> T {
        // Nothing under this lock can leave it half changed.
        work(&mut self.backoff.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tries to write until that succeeds, or the breaker is gone.
async fn reset(breaker: Weak<Inner>) {
    while let Some(inner) = breaker.upgrade() {
        let wait = inner.with_backoff(Backoff::after_failure);
        drop(inner);
        tokio::time::sleep(wait).await;
        let Some(inner) = breaker.upgrade() else {
            return;
        };
        match inner.outbox.probe().await {
            Ok(()) => {
                tracing::info!("the outbox keeps again what it is given");
                inner.set_failing(false);
                return;
            }
            Err(error) => {
                tracing::debug!(%error, waited_ms = whole_ms(wait), "still nothing can be kept");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, pause};

    use super::*;
    use crate::testing;

    /// Trips it, and returns how long it then took to be reset.
    async fn reset_after(breaker: &Breaker) -> Duration {
        let start = Instant::now();
        breaker.learn(&Err::<(), _>(OutboxError::Closed));
        assert!(breaker.is_tripped());
        breaker.turns(false).await;
        start.elapsed()
    }

    #[tokio::test]
    async fn it_waits_longer_each_time_until_something_is_kept() {
        let (outbox, _folder) = testing::outbox(false);
        let breaker = Breaker::new(outbox);
        // Time passes as fast as nothing happens.
        pause();
        for longest_s in [2, 4, 8] {
            let waited = reset_after(&breaker).await.as_secs_f64();
            let shortest = f64::from(longest_s) / 2.0;
            assert!(
                (shortest..=f64::from(longest_s) + 0.1).contains(&waited),
                "{waited}"
            );
        }
        breaker.learn(&Ok(()));
        assert!(reset_after(&breaker).await < Duration::from_millis(2_100));
    }

    #[test]
    fn a_disk_is_low_until_a_quarter_more_is_free_than_the_least() {
        let mut low = None;
        let seen = [100, 99, 0, 100, 124, 125, 100, 99].map(|free| {
            low = LowDisk::see(low, free, 100);
            low.is_some()
        });
        assert_eq!(seen, [false, true, true, true, true, false, false, true]);
        assert_eq!(LowDisk::see(None, 0, 0), None, "0 switches it off");
    }

    #[tokio::test]
    async fn the_disk_of_the_outbox_is_looked_at() {
        let (outbox, _folder) = testing::outbox(false);
        for (least, is_low) in [(1, false), (u64::MAX, true)] {
            let breaker = Breaker::new(outbox.clone());
            breaker.watch_disk(least);
            let turns = tokio::time::timeout(Duration::from_millis(500), breaker.turns(true));
            assert_eq!(turns.await.is_ok(), is_low);
        }
    }
}
