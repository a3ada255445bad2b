//! The circuit breaker before the outbox. While nothing can be kept, because the disk is full for example,
//! nothing is generated only to be thrown away.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use headstart_client::{backoff::Backoff, clock::whole_ms};
use tokio::sync::watch;

use crate::outbox::{Outbox, OutboxError};

/// Shortest and longest time from one try to write to the next; jitter adds up to as much again.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// Trips when the outbox does not keep something, and is reset once a try to write succeeds. Clones share it.
#[derive(Debug, Clone)]
pub struct Breaker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    outbox: Outbox,
    is_tripped: watch::Sender<bool>,
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
                is_tripped: watch::Sender::new(false),
                backoff: Mutex::new(Backoff::new(WAITS.0, WAITS.1)),
            }),
        }
    }

    /// Notes whether something was kept; trips when it was not.
    pub fn learn<T>(&self, result: &Result<T, OutboxError>) {
        if result.is_ok() {
            self.inner.with_backoff(Backoff::after_success);
        } else if !self.inner.is_tripped.send_replace(true) {
            tracing::error!("nothing can be kept: no logins are taken until that is mended");
            tokio::spawn(reset(Arc::downgrade(&self.inner)));
        }
    }

    /// Returns whether nothing can be kept.
    #[must_use]
    pub fn is_tripped(&self) -> bool {
        *self.inner.is_tripped.borrow()
    }

    /// Waits until nothing can be kept, or until it can again.
    pub async fn turns(&self, tripped: bool) {
        let mut is_tripped = self.inner.is_tripped.subscribe();
        // Fails only when the breaker is gone, which this borrows.
        let _ = is_tripped.wait_for(|now| *now == tripped).await;
    }
}

impl Inner {
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
                tracing::info!("logins are taken again");
                inner.is_tripped.send_replace(false);
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
}
