//! Delivers settlements to one edge as events: `POST /events`, signed, in batches of whatever waits.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use headstart_protocol::{
    event::{Event, MEDIA_TYPE_BATCH},
    keys::{Key, KeyRing},
    limits::{MAX_EVENTS_BODY_BYTES, MAX_EVENTS_PER_BATCH},
    report::{PublishReport, Status},
    settlement::Outcome,
    stamps::Point,
    ticket::Ticket,
};
use http::{StatusCode, header::CONTENT_TYPE};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Counters, batch_size::BatchSize, queue::Queue, retry_after::retry_after};
use crate::{
    backoff::Backoff,
    clock::now_ms,
    http_client,
    outbox::{DeliveryId, Outbox, Pending, Way},
    shutdown::Shutdown,
    signing::signed_headers,
};

/// Batches on their way at once. More than one, so that a batch does not wait for the answer to the
/// one before; few, since an edge that is slow is not made faster by more.
const PARALLEL: usize = 4;

/// How long an edge may take to answer a batch.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Shortest and longest wait after a batch failed as a whole; jitter adds up to as much again.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(15));

/// How long an event that the edge asked for again waits; jitter adds up to as much again.
const EVENT_WAIT_MS: u64 = 300;

/// How long after a failure of the outbox itself it is tried again.
const OUTBOX_WAIT: Duration = Duration::from_secs(1);

/// Content to read for one batch: as much as fits, were it not for the events around it.
const TAKE_BYTES: usize = MAX_EVENTS_BODY_BYTES;

/// Delivers events to one edge until the shutdown is over.
#[derive(Debug)]
pub(super) struct EventLane {
    /// The edge's name.
    pub(super) name: String,
    /// Where events are taken.
    pub(super) url: String,
    /// Signs the batches.
    pub(super) key: Key,
    /// Tell which tickets are ours.
    pub(super) ticket_keys: KeyRing,
    /// Sends them.
    pub(super) client: reqwest::Client,
    /// Where they come from.
    pub(super) outbox: Outbox,
    /// What became of them.
    pub(super) counters: Arc<Counters>,
    /// Ends it.
    pub(super) shutdown: Shutdown,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Sent {
    /// To be sent again, each after a moment.
    again: Vec<DeliveryId>,
    /// To be sent again, once the edge as a whole is well.
    whole: Vec<DeliveryId>,
    /// Why the batch failed as a whole, and how long the edge asked to be left alone.
    failure: Option<Failure>,
    /// How many there were.
    count: usize,
    /// How long it took.
    took: Duration,
}

#[derive(Debug)]
struct Failure {
    reason: String,
    retry_after: Option<Duration>,
}

/// An event on its way.
#[derive(Debug)]
struct Outgoing {
    delivery: DeliveryId,
    id: String,
    json: String,
}

impl EventLane {
    pub(super) async fn run(self) {
        let lane = Arc::new(self);
        let mut queue = Queue::new(lane.outbox.clone(), lane.name.clone(), Way::Event);
        let mut sending: JoinSet<Sent> = JoinSet::new();
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut size = BatchSize::new(MAX_EVENTS_PER_BATCH);
        let mut failing = false;
        let mut resume_at = Instant::now();
        loop {
            // While the edge fails, one batch at a time finds out whether it is well again.
            let parallel = if failing { 1 } else { PARALLEL };
            let may_take = sending.len() < parallel;
            tokio::select! {
                Some(sent) = sending.join_next() => {
                    // A task that panicked delivered nothing; what it held is taken up at the next start.
                    let Ok(sent) = sent else { continue };
                    size.learn(sent.count, sent.took);
                    let now = Instant::now();
                    let wait = EVENT_WAIT_MS + fastrand::u64(0..=EVENT_WAIT_MS);
                    queue.give_back(sent.again, now + Duration::from_millis(wait));
                    queue.give_back(sent.whole, now);
                    if let Some(failure) = sent.failure {
                        let wait = backoff.after_failure().max(failure.retry_after.unwrap_or_default());
                        resume_at = resume_at.max(now + wait);
                        failing = true;
                        tracing::warn!(edge = lane.name, reason = failure.reason, retry_in_ms = crate::clock::whole_ms(wait), "events not delivered");
                    } else {
                        if failing {
                            tracing::info!(edge = lane.name, "events are delivered again");
                        }
                        failing = false;
                        backoff.after_success();
                    }
                }
                () = async { sleep_until(resume_at).await; queue.ready().await }, if may_take => {
                    match queue.take(size.get(), TAKE_BYTES).await {
                        Ok(taken) if taken.is_empty() => {}
                        Ok(taken) => {
                            let (batch, rest) = lane.compose(taken).await;
                            queue.give_back(rest, Instant::now());
                            if !batch.is_empty() {
                                let lane = Arc::clone(&lane);
                                sending.spawn(async move { lane.send_timed(batch).await });
                            }
                        }
                        Err(error) => {
                            tracing::error!(edge = lane.name, %error, "no events can be taken");
                            resume_at = Instant::now() + OUTBOX_WAIT;
                        }
                    }
                }
                () = lane.shutdown.over() => return,
            }
        }
    }

    /// Makes events of what was taken, as many as fit one body; gives back the rest.
    async fn compose(&self, taken: Vec<Pending>) -> (Vec<Outgoing>, Vec<DeliveryId>) {
        let (mut batch, mut rest, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        // The brackets of the array.
        let mut bytes = 2;
        for pending in taken {
            if !rest.is_empty() {
                rest.push(pending.id);
                continue;
            }
            let delivery = pending.id;
            let Some(event) = self.event(pending) else {
                ended.push(delivery);
                continue;
            };
            let json = event.to_json();
            if !batch.is_empty() && bytes + json.len() + 1 > MAX_EVENTS_BODY_BYTES {
                rest.push(delivery);
                continue;
            }
            bytes += json.len() + 1;
            batch.push(Outgoing {
                delivery,
                id: event.id,
                json,
            });
        }
        self.counters.add(0, 0, ended.len());
        self.end(ended).await;
        (batch, rest)
    }

    /// The event of a delivery; `None` where nobody can want it any more.
    fn event(&self, pending: Pending) -> Option<Event> {
        if pending.expires_at_ms <= now_ms() {
            return None;
        }
        let Ok(ticket) = Ticket::verify(&pending.ticket, &self.ticket_keys) else {
            tracing::error!(
                edge = self.name,
                event = pending.settlement.event_id,
                "dropped: its ticket was minted with a key that this origin no longer has"
            );
            return None;
        };
        let mut settlement = pending.settlement;
        if pending.unpositioned {
            settlement.outcome = Outcome::Failed {
                reason: "the offer is too large to be delivered".to_owned(),
            };
        }
        settlement.stamps = settlement.stamps.with(Point::Published, now_ms());
        Some(settlement.to_event(&ticket))
    }

    async fn send_timed(&self, batch: Vec<Outgoing>) -> Sent {
        let (count, start) = (batch.len(), Instant::now());
        let sent = self.send(batch).await;
        Sent {
            count,
            took: start.elapsed(),
            ..sent
        }
    }

    /// Sends a batch and keeps what came of it in the outbox.
    async fn send(&self, batch: Vec<Outgoing>) -> Sent {
        let result = self.post(&batch).await;
        let report = match result {
            Ok(report) => report,
            Err(Refusal::Failure(failure)) => {
                self.counters.add(0, batch.len(), 0);
                return Sent {
                    whole: batch.into_iter().map(|event| event.delivery).collect(),
                    failure: Some(failure),
                    ..Sent::default()
                };
            }
            Err(Refusal::Batch(status)) => return self.divide(batch, status).await,
        };
        let mut statuses: HashMap<&str, (Status, Option<&str>)> = report
            .results
            .iter()
            .map(|result| {
                (
                    result.id.as_str(),
                    (result.status, result.reason.as_deref()),
                )
            })
            .collect();
        let (mut done, mut again, mut refused) = (Vec::new(), Vec::new(), Vec::new());
        for event in batch {
            match statuses.remove(event.id.as_str()) {
                Some((Status::Accepted | Status::Duplicate | Status::Ignored, _)) => {
                    done.push(event.delivery);
                }
                Some((Status::Rejected, reason)) => {
                    tracing::error!(
                        edge = self.name,
                        event = event.id,
                        reason,
                        "the edge refuses an event, it is dropped"
                    );
                    refused.push(event.delivery);
                }
                Some((Status::Retry, reason)) => {
                    tracing::debug!(
                        edge = self.name,
                        event = event.id,
                        reason,
                        "the edge asks for an event again"
                    );
                    again.push(event.delivery);
                }
                // The edge did not say, so it may not have it.
                None => again.push(event.delivery),
            }
        }
        self.counters.add(done.len(), again.len(), refused.len());
        done.extend(refused);
        self.end(done).await;
        Sent {
            again,
            ..Sent::default()
        }
    }

    /// What the edge refuses as a whole is sent in halves, until the one event that it will not take
    /// stands alone.
    async fn divide(&self, mut batch: Vec<Outgoing>, status: StatusCode) -> Sent {
        if batch.len() == 1 {
            tracing::error!(edge = self.name, event = batch[0].id, %status, "the edge refuses an event, it is dropped");
            self.counters.add(0, 0, 1);
            self.end(vec![batch[0].delivery]).await;
            return Sent::default();
        }
        let second = batch.split_off(batch.len() / 2);
        let mut sent = Box::pin(self.send(batch)).await;
        let more = Box::pin(self.send(second)).await;
        sent.again.extend(more.again);
        sent.whole.extend(more.whole);
        sent.failure = sent.failure.or(more.failure);
        sent
    }

    async fn end(&self, done: Vec<DeliveryId>) {
        if let Err(error) = self.outbox.delivered(done).await {
            // They remain, and are sent again after a restart; the edge knows them by their ids.
            tracing::error!(edge = self.name, %error, "delivered, and not marked so");
        }
    }

    async fn post(&self, batch: &[Outgoing]) -> Result<PublishReport, Refusal> {
        let bodies: Vec<&str> = batch.iter().map(|event| event.json.as_str()).collect();
        let body = format!("[{}]", bodies.join(","));
        let request = self
            .client
            .post(&self.url)
            .timeout(TIMEOUT)
            .header(CONTENT_TYPE, MEDIA_TYPE_BATCH)
            .headers(signed_headers(body.as_bytes(), &self.key))
            .body(body);
        let answer = request.send().await.map_err(failure)?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        match status {
            StatusCode::OK => answer.json().await.map_err(failure),
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Err(Refusal::Batch(status)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Refusal::Failure(Failure {
                reason: format!(
                    "the edge refused the signature ({status}): it must have this origin's key in ORIGIN_KEYS, and both clocks must be right"
                ),
                retry_after,
            })),
            _ => Err(Refusal::Failure(Failure {
                reason: format!("the edge answered {status}"),
                retry_after,
            })),
        }
    }
}

/// Why there is no report.
#[derive(Debug)]
enum Refusal {
    /// The edge, or the way to it, is not well.
    Failure(Failure),
    /// The edge will not take this batch.
    Batch(StatusCode),
}

fn failure(error: reqwest::Error) -> Refusal {
    Refusal::Failure(Failure {
        reason: http_client::describe(error),
        retry_after: None,
    })
}

#[cfg(test)]
mod tests;
