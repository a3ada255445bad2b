//! When a lane goes on after a failure: after a back-off that ends as soon as its edge is known to be well
//! again, and never before the time that a server asked for itself.

use std::time::Duration;

use headstart_client::backoff::Backoff;
use tokio::time::Instant;

/// How long after a failure of the outbox itself it is tried again.
const OUTBOX_WAIT: Duration = Duration::from_secs(1);

/// When a lane may go on.
#[derive(Debug)]
pub(super) struct Resume {
    backoff: Backoff,
    at: Instant,
    /// Whatever becomes known of the edge, not before.
    not_before: Instant,
}

impl Resume {
    /// Goes on at once; backs off between the shortest and the longest of these waits.
    pub(super) fn new((shortest, longest): (Duration, Duration)) -> Self {
        Self {
            backoff: Backoff::new(shortest, longest),
            at: Instant::now(),
            not_before: Instant::now(),
        }
    }

    /// Returns when it may go on.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Goes on at `at`, whatever becomes known of the edge.
    pub(super) fn not_before(&mut self, at: Instant) {
        self.not_before = self.not_before.max(at);
        self.at = self.at.max(at);
    }

    /// It worked: the next back-off begins anew.
    pub(super) fn succeeded(&mut self) {
        self.backoff.after_success();
    }

    /// It failed, and the server asked to be left alone for a time. Returns the wait.
    pub(super) fn failed(&mut self, asked: Option<Duration>) -> Duration {
        let (now, asked) = (Instant::now(), asked.unwrap_or_default());
        let wait = self.backoff.after_failure().max(asked);
        self.not_before(now + asked);
        self.at = self.at.max(now + wait);
        wait
    }

    /// Waits a moment: the outbox itself failed.
    pub(super) fn rest(&mut self) {
        self.at = self.at.max(Instant::now() + OUTBOX_WAIT);
    }

    /// Ends the back-off: the edge is known to be well again.
    pub(super) fn wake(&mut self) {
        self.backoff.after_success();
        self.at = self.not_before;
    }
}
