//! Posts a batch of events to an edge, `POST /events`, signed; reads the report, and keeps what came of
//! it in the outbox.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use headstart_client::{http_client, signing::signed_headers};
use headstart_protocol::{
    event::{Data, Event, MEDIA_TYPE_BATCH, TYPE_OFFER_FAILED, TYPE_OFFER_READY},
    keys::Key,
    limits::MAX_EVENTS_BODY_BYTES,
    report::{PublishReport, Status},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::json;

use super::{Counters, EdgeRefusal, Listeners, Outcome, retry_after::retry_after};
use crate::outbox::{DeliveryId, Outbox};

/// How long an edge may take to answer a batch.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Posts to one edge.
#[derive(Debug)]
pub(super) struct Poster {
    /// The edge's name.
    pub(super) name: String,
    /// Where events are taken.
    pub(super) url: String,
    /// Signs the batches.
    pub(super) key: Key,
    /// Sends them.
    pub(super) client: reqwest::Client,
    /// Where they come from.
    pub(super) outbox: Outbox,
    /// What became of them.
    pub(super) counters: Arc<Counters>,
    /// Who wants to know what became of them.
    pub(super) listeners: Listeners,
}

/// An event on its way.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) delivery: DeliveryId,
    /// Its topic or its ticket, whose order it must keep.
    pub(super) subject: String,
    pub(super) id: String,
    pub(super) json: String,
    /// The edge refused the offer, and this is the failure that is told instead.
    pub(super) is_substitute: bool,
}

impl Outgoing {
    /// Returns the failure to be told in place of an offer that an edge refuses, so that nobody waits for
    /// it until the ticket expires; `None` where it is no offer.
    fn substitute(&self) -> Option<Self> {
        // Not checked against the rules of events: it may be refused for breaking one.
        let mut event: Event = serde_json::from_str(&self.json).ok()?;
        if event.kind != TYPE_OFFER_READY {
            return None;
        }
        let reason = json!({ "reason": "the offer could not be delivered" });
        event.id = format!("{}-undelivered", event.id);
        TYPE_OFFER_FAILED.clone_into(&mut event.kind);
        event.data = Some(Data::from_json(&reason).ok()?);
        event.datacontenttype = None;
        event.dataref = None;
        Some(Self {
            delivery: self.delivery,
            subject: self.subject.clone(),
            id: event.id.clone(),
            json: event.to_json(),
            is_substitute: true,
        })
    }
}

/// A delivery that is over, and why.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) delivery: DeliveryId,
    pub(super) subject: String,
    pub(super) id: String,
    pub(super) status: Status,
    pub(super) reason: Option<String>,
}

impl Ended {
    fn new(event: Outgoing, mut status: Status, reason: Option<String>) -> Self {
        if event.is_substitute {
            // Whatever became of the failure, the offer was refused.
            status = Status::Rejected;
        }
        Self {
            delivery: event.delivery,
            subject: event.subject,
            id: event.id,
            status,
            reason,
        }
    }

    /// Makes the end of a delivery that nobody can want any more.
    pub(super) fn expired(delivery: DeliveryId, subject: String, id: String) -> Self {
        Self {
            delivery,
            subject,
            id,
            status: Status::Rejected,
            reason: Some("it expired before the edge took it".to_owned()),
        }
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// To be sent again, each after a moment.
    pub(super) again: Vec<Outgoing>,
    /// To be sent again, once the edge as a whole is well.
    pub(super) whole: Vec<Outgoing>,
    /// Why the batch failed as a whole, and how long the edge asked to be left alone.
    pub(super) failure: Option<Failure>,
}

/// Why a batch failed as a whole.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) retry_after: Option<Duration>,
    /// Whether it may heal by itself; else somebody must change something.
    pub(super) is_passing: bool,
}

impl Poster {
    /// Sends a batch, where there is anything in it, and keeps what came of it in the outbox.
    pub(super) async fn send(&self, batch: Vec<Outgoing>) -> Sent {
        if batch.is_empty() {
            return Sent::default();
        }
        let events: Vec<&str> = batch.iter().map(|event| event.json.as_str()).collect();
        let result = self.post(&events).await;
        let report = match result {
            Ok(report) => report,
            Err(Refusal::Failure(failure)) => {
                self.counters.add(0, batch.len(), 0);
                if let (Some(refused), false) = (&self.listeners.refused, failure.is_passing) {
                    // Once is enough; whoever wanted to know may have gone.
                    let _ = refused.try_send(EdgeRefusal {
                        edge: self.name.clone(),
                        reason: failure.reason.clone(),
                    });
                }
                return Sent {
                    whole: batch,
                    failure: Some(failure),
                    ..Sent::default()
                };
            }
            Err(Refusal::Batch(status)) => return self.divide(batch, status).await,
        };
        let (mut done, mut again, mut substitutes) = (Vec::new(), Vec::new(), Vec::new());
        for (index, event) in batch.into_iter().enumerate() {
            // In the order of the batch: the same id may stand twice, for two topics. What the edge does
            // not speak of, it may not have.
            let result = report.results.get(index).filter(|one| one.id == event.id);
            let (status, reason) = result.map_or((Status::Retry, None), |one| {
                (one.status, one.reason.as_deref())
            });
            match status {
                Status::Accepted | Status::Duplicate | Status::Ignored => {}
                Status::Rejected => {
                    self.log_refused(&event, reason.unwrap_or_default());
                    if let Some(substitute) = event.substitute() {
                        substitutes.push(substitute);
                        continue;
                    }
                }
                Status::Retry => {
                    tracing::debug!(
                        edge = self.name,
                        event = event.id,
                        reason,
                        "the edge asks for an event again"
                    );
                    again.push(event);
                    continue;
                }
            }
            done.push(Ended::new(event, status, reason.map(str::to_owned)));
        }
        self.counters.add(0, again.len(), 0);
        self.end(done).await;
        let mut sent = Box::pin(self.send(substitutes)).await;
        sent.again.extend(again);
        sent
    }

    /// Posts events that are not in the outbox yet; returns the ids of those that the edge has now, and why
    /// the batch failed as a whole, where it did.
    pub(super) async fn send_ahead(&self, events: &[Event]) -> (Vec<String>, Option<Failure>) {
        let json: Vec<String> = events.iter().map(Event::to_json).collect();
        let json: Vec<&str> = json.iter().map(String::as_str).collect();
        let report = match self.post(&json).await {
            Ok(report) => report,
            Err(Refusal::Failure(failure)) => return (Vec::new(), Some(failure)),
            Err(Refusal::Batch(_)) => return (Vec::new(), None),
        };
        let has = |status| {
            matches!(
                status,
                Status::Accepted | Status::Duplicate | Status::Ignored
            )
        };
        let results = report.results.into_iter().zip(events);
        let taken = results.filter(|(one, event)| one.id == event.id && has(one.status));
        (taken.map(|(one, _)| one.id).collect(), None)
    }

    fn log_refused(&self, event: &Outgoing, reason: &str) {
        tracing::error!(
            edge = self.name,
            event = event.id,
            reason,
            "the edge refuses an event, it is dropped"
        );
    }

    /// Sends what the edge refuses as a whole in halves, until the one event that it will not take
    /// stands alone. Where the first half is not done with a subject, the second does not go on with it.
    async fn divide(&self, mut batch: Vec<Outgoing>, status: StatusCode) -> Sent {
        if let [event] = batch.as_slice() {
            let reason = format!("the edge answered {status}");
            self.log_refused(event, &reason);
            if let Some(substitute) = event.substitute() {
                return Box::pin(self.send(vec![substitute])).await;
            }
            let ended = batch
                .into_iter()
                .map(|event| Ended::new(event, Status::Rejected, Some(reason.clone())));
            self.end(ended.collect()).await;
            return Sent::default();
        }
        let second = batch.split_off(batch.len() / 2);
        let mut sent = Box::pin(self.send(batch)).await;
        if sent.failure.is_some() {
            sent.whole.extend(second);
            return sent;
        }
        let held: HashSet<String> = sent
            .again
            .iter()
            .map(|event| event.subject.clone())
            .collect();
        let (behind, second): (Vec<_>, Vec<_>) = second
            .into_iter()
            .partition(|event| held.contains(&event.subject));
        sent.again.extend(behind);
        let more = Box::pin(self.send(second)).await;
        sent.again.extend(more.again);
        sent.whole.extend(more.whole);
        sent.failure = more.failure;
        sent
    }

    /// Ends deliveries, and tells who wants to know.
    pub(super) async fn end(&self, ended: Vec<Ended>) {
        let refused = ended
            .iter()
            .filter(|one| one.status == Status::Rejected)
            .count();
        self.counters.add(ended.len() - refused, 0, refused);
        let ids = ended.iter().map(|one| one.delivery).collect();
        if let Err(error) = self.outbox.delivered(ids).await {
            // They remain, and are sent again after a restart; the edge knows them by their ids.
            tracing::debug!(edge = self.name, %error, "delivered, and not marked so");
        }
        let Some(outcomes) = &self.listeners.outcomes else {
            return;
        };
        for one in ended {
            let outcome = Outcome {
                edge: self.name.clone(),
                subject: one.subject,
                id: one.id,
                status: one.status,
                reason: one.reason,
            };
            // Whoever wanted to know may have gone.
            let _ = outcomes.send(outcome).await;
        }
    }

    async fn post(&self, events: &[&str]) -> Result<PublishReport, Refusal> {
        let body = format!("[{}]", events.join(","));
        if body.len() > MAX_EVENTS_BODY_BYTES {
            // As the edge would answer.
            return Err(Refusal::Batch(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let request = self
            .client
            .post(&self.url)
            .timeout(TIMEOUT)
            .header(CONTENT_TYPE, MEDIA_TYPE_BATCH)
            .headers(signed_headers(body.as_bytes(), &self.key))
            .body(body);
        let answer = request.send().await.map_err(broken)?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        let failure = |reason: String, is_passing| {
            Err(Refusal::Failure(Failure {
                reason,
                retry_after,
                is_passing,
            }))
        };
        match status {
            StatusCode::OK => {
                let body = answer.bytes().await.map_err(broken)?;
                serde_json::from_slice(&body).or_else(|_| {
                    failure(
                        "the answer is not a report of events: is this the URL of an edge?"
                            .to_owned(),
                        false,
                    )
                })
            }
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => Err(Refusal::Batch(status)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => failure(
                format!(
                    "the edge refused the signature ({status}): it must have this origin's key in ORIGIN_KEYS, and both clocks must be right"
                ),
                false,
            ),
            StatusCode::REQUEST_TIMEOUT
            | StatusCode::CONFLICT
            | StatusCode::TOO_EARLY
            | StatusCode::TOO_MANY_REQUESTS => failure(format!("the edge answered {status}"), true),
            _ if status.is_server_error() => failure(format!("the edge answered {status}"), true),
            _ => failure(
                format!("the edge answered {status}: is this the URL of an edge?"),
                false,
            ),
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

fn broken(error: reqwest::Error) -> Refusal {
    Refusal::Failure(Failure {
        reason: http_client::describe(error),
        retry_after: None,
        is_passing: true,
    })
}
