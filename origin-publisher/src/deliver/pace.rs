//! How a lane of events goes on: how many batches at a time, how large, and its back-off after a failure.

use std::time::Duration;

use headstart_client::clock::whole_ms;
use headstart_protocol::limits::MAX_EVENTS_PER_BATCH;
use tokio::time::Instant;

use super::{batch_size::BatchSize, post::Failure, resume::Resume};

/// Batches on their way at once. More than one, so that a batch does not wait for the answer to the
/// one before; few, since an edge that is slow is not made faster by more.
const PARALLEL: usize = 4;

/// How long what comes waits for more while another batch is on its way. A batch costs the edge several times
/// what an event more in it does; and where the edge is near, the answer comes sooner than this.
const GATHER: Duration = Duration::from_millis(10);

/// Shortest and longest wait after a batch failed as a whole; jitter adds up to as much again.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));

/// How long an event that the edge asked for again waits; jitter adds up to as much again.
const EVENT_WAIT_MS: u64 = 300;

/// After how long without a success a lane that fails is stalled: no login is to be taken whose offer would
/// wait with what is there.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// The pace of one lane.
#[derive(Debug)]
pub(super) struct Pace {
    /// What is delivered, for the log: `events` or `updates`.
    what: &'static str,
    edge: String,
    resume: Resume,
    size: BatchSize,
    failing_since: Option<Instant>,
    /// When the last batch went.
    sent_at: Instant,
}

impl Pace {
    pub(super) fn new(edge: &str, what: &'static str) -> Self {
        Self {
            what,
            edge: edge.to_owned(),
            resume: Resume::new(WAITS),
            size: BatchSize::new(MAX_EVENTS_PER_BATCH),
            failing_since: None,
            sent_at: Instant::now(),
        }
    }

    /// Batches that may be on their way at once. While the edge fails, one at a time finds out whether
    /// it is well again.
    pub(super) fn parallel(&self) -> usize {
        if self.failing_since.is_some() {
            1
        } else {
            PARALLEL
        }
    }

    /// Returns the most events of the next batch.
    pub(super) fn batch(&self) -> usize {
        self.size.get()
    }

    /// Returns when the next batch may go, beside so many.
    pub(super) fn next_at(&self, under_way: usize) -> Instant {
        let resume_at = self.resume.at();
        if under_way == 0 {
            resume_at
        } else {
            resume_at.max(self.sent_at + GATHER)
        }
    }

    /// Notes that a batch goes.
    pub(super) fn sent(&mut self) {
        self.sent_at = Instant::now();
    }

    /// Returns when an event that the edge asked for again may go.
    pub(super) fn again_at() -> Instant {
        let wait = EVENT_WAIT_MS + fastrand::u64(0..=EVENT_WAIT_MS);
        Instant::now() + Duration::from_millis(wait)
    }

    /// Learns from a batch of `count` events that took so long.
    pub(super) fn learn(&mut self, count: usize, took: Duration, failure: Option<&Failure>) {
        self.size.learn(count, took);
        let Some(failure) = failure else {
            if self.failing_since.take().is_some() {
                tracing::info!(edge = self.edge, "{} are delivered again", self.what);
            }
            self.resume.succeeded();
            return;
        };
        let wait = self.resume.failed(failure.retry_after);
        self.failing_since.get_or_insert_with(Instant::now);
        tracing::warn!(
            edge = self.edge,
            reason = failure.reason,
            retry_in_ms = whole_ms(wait),
            "{} not delivered",
            self.what
        );
    }

    /// Returns whether it has failed for long, and goes on failing.
    pub(super) fn is_stalled(&self) -> bool {
        self.failing_since
            .is_some_and(|since| since.elapsed() >= STALLED_AFTER)
    }

    /// Ends the back-off: the edge is known to be well again. What it asked for itself stays.
    pub(super) fn wake(&mut self) {
        self.resume.wake();
    }

    /// Waits a moment: the outbox itself failed.
    pub(super) fn rest(&mut self) {
        self.resume.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(pace: &mut Pace, retry_after: Option<Duration>) {
        let failure = Failure {
            reason: "away".to_owned(),
            retry_after,
            is_passing: true,
        };
        pace.learn(1, Duration::ZERO, Some(&failure));
    }

    #[test]
    fn what_comes_while_a_batch_is_on_its_way_waits_a_moment_for_more() {
        let mut pace = Pace::new("edge", "events");
        pace.sent();
        assert!(pace.next_at(0) <= Instant::now());
        assert!(pace.next_at(1) > Instant::now());
        assert!(pace.next_at(1) <= Instant::now() + GATHER);
    }

    #[test]
    fn an_edge_that_is_back_is_not_waited_for_unless_it_asked_for_that() {
        let mut pace = Pace::new("edge", "events");
        for _ in 0..10 {
            failed(&mut pace, None);
        }
        assert!(pace.next_at(0) > Instant::now() + Duration::from_secs(5));
        pace.wake();
        assert!(pace.next_at(0) <= Instant::now());
        failed(&mut pace, None);
        let short = Instant::now() + Duration::from_secs(1);
        assert!(pace.next_at(0) < short, "its back-off begins anew");

        failed(&mut pace, Some(Duration::from_secs(30)));
        pace.wake();
        assert!(pace.next_at(0) > Instant::now() + Duration::from_secs(20));
    }
}
