//! How the outbox does: whether it fails, as on a full disk, and whether its file is damaged, which nothing
//! heals. What fails is said here, once in a while; whoever wrote or read need not say it again.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::OutboxError;

/// How often at most it is said that the outbox fails: on a full disk everything that is tried does.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// How the outbox does.
#[derive(Debug)]
pub(super) struct Health {
    path: PathBuf,
    failure: Mutex<Failure>,
    damage: watch::Sender<Option<OutboxError>>,
}

#[derive(Debug, Default)]
struct Failure {
    /// Why the last write or read failed; nothing has been written since.
    error: Option<OutboxError>,
    is_said: bool,
    said_at: Option<Instant>,
    /// Failures since then.
    unsaid: u64,
}

impl Failure {
    /// Notes a failure, and returns whether it is to be said.
    fn note(&mut self, error: OutboxError, now: Instant) -> bool {
        self.error = Some(error);
        let is_time = self.said_at.is_none_or(|at| now >= at + SAY_EVERY);
        if is_time {
            self.said_at = Some(now);
            self.is_said = true;
        } else {
            self.unsaid += 1;
        }
        is_time
    }

    /// Notes a write, and returns whether it is to be said that the outbox is well again.
    fn end(&mut self) -> bool {
        self.error = None;
        std::mem::take(&mut self.is_said)
    }
}

impl Health {
    pub(super) fn of(path: PathBuf) -> Self {
        Self {
            path,
            failure: Mutex::default(),
            damage: watch::Sender::new(None),
        }
    }

    /// Returns where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that something failed.
    pub(super) fn failed(&self, error: &OutboxError) {
        if matches!(error, OutboxError::Closed) {
            // The writer has said why.
            return;
        }
        if matches!(error, OutboxError::Damaged(_)) {
            self.damage.send_if_modified(|damage| {
                let is_new = damage.is_none();
                damage.get_or_insert_with(|| error.clone());
                is_new
            });
        }
        let mut failure = self.lock();
        if failure.note(error.clone(), Instant::now()) {
            let path = self.path.display();
            let since = std::mem::take(&mut failure.unsaid);
            tracing::error!(%path, %error, failures_since_last_said = since, "the outbox fails");
        }
    }

    /// Notes that something was written.
    pub(super) fn written(&self) {
        if self.lock().end() {
            tracing::info!(path = %self.path.display(), "the outbox is written again");
        }
    }

    /// Returns why it fails, where it does.
    pub(super) fn failure(&self) -> Option<OutboxError> {
        self.lock().error.clone()
    }

    /// Waits until the file is found to be damaged.
    pub(super) async fn damaged(&self) -> OutboxError {
        let mut damage = self.damage.subscribe();
        let found = damage.wait_for(Option::is_some).await;
        // The sender is here.
        found
            .ok()
            .and_then(|damage| damage.clone())
            .unwrap_or(OutboxError::Closed)
    }

    fn lock(&self) -> MutexGuard<'_, Failure> {
        // Nothing under this lock can leave it half changed.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_said_once_a_minute_and_that_it_is_well_again_once() {
        let (mut failure, start) = (Failure::default(), Instant::now());
        let said = (0..90).filter(|second| {
            failure.note(OutboxError::Closed, start + Duration::from_secs(*second))
        });
        assert_eq!(said.collect::<Vec<_>>(), [0, 60]);
        assert!(failure.end() && !failure.end());
        assert!(failure.error.is_none());
        assert!(!failure.note(OutboxError::Closed, start + Duration::from_secs(91)));
        assert!(!failure.end(), "nobody was told that it failed");
    }
}
