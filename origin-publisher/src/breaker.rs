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

/// What is tried to be written, in bytes: as much as a usual offer. A few bytes more may fit into a file on
/// a disk that is full.
const PROBE_BYTES: usize = 16 * 1024;

/// Under this name, which no source has, the outbox keeps what was tried to be written.
const PROBE: &str = "/probe";

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

    async fn try_to_write(&self) -> Result<(), OutboxError> {
        for text in ["x".repeat(PROBE_BYTES), String::new()] {
            let position = Some((PROBE.to_owned(), text));
            self.outbox.commit_with(Vec::new(), position).await?;
        }
        Ok(())
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
        match inner.try_to_write().await {
            Ok(()) => {
                tracing::info!("logins are taken again");
                inner.is_tripped.send_replace(false);
                return;
            }
            Err(error) => {
                tracing::warn!(%error, waited_ms = whole_ms(wait), "still nothing can be kept");
            }
        }
    }
}
