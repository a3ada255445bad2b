//! Events as an origin sends them, and what the edge makes of them.

use headstart_protocol::{
    event::{Event, MEDIA_TYPE_BATCH, MEDIA_TYPE_EVENT},
    report::{EventResult, PublishReport, Status},
    settlement::{Attributes, Content, Outcome, Settlement},
    stamps::{Point, Stamps},
    ticket::Ticket,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    answer::Answer,
    client::{Call, Client},
    keys::{now_ms, origin_key},
};

/// The name of the origin that these events are from.
pub const SOURCE: &str = "/origin/test";

/// The event that settles `ticket` with a JSON offer.
#[must_use]
pub fn ready(ticket: &Ticket, offer: &Value) -> Event {
    ready_as(ticket, "application/json", offer.to_string().into_bytes())
}

/// The event that settles `ticket` with an offer of any media type.
#[must_use]
pub fn ready_as(ticket: &Ticket, media_type: &str, offer: Vec<u8>) -> Event {
    settled(
        ticket,
        Outcome::Ready {
            media_type: media_type.to_owned(),
            content: Content::Inline(offer),
        },
    )
}

/// The event that settles `ticket` with an offer that is in KV already.
#[must_use]
pub fn positioned(ticket: &Ticket, media_type: &str) -> Event {
    settled(
        ticket,
        Outcome::Ready {
            media_type: media_type.to_owned(),
            content: Content::Positioned,
        },
    )
}

/// The event that settles `ticket` as failed.
#[must_use]
pub fn failed(ticket: &Ticket, reason: &str) -> Event {
    settled(
        ticket,
        Outcome::Failed {
            reason: reason.to_owned(),
        },
    )
}

fn settled(ticket: &Ticket, outcome: Outcome) -> Event {
    Settlement {
        event_id: Uuid::now_v7().to_string(),
        source: SOURCE.to_owned(),
        attributes: Attributes::default(),
        stamps: Stamps::default().with(Point::Started, now_ms()),
        outcome,
    }
    .to_event(ticket)
}

impl Client {
    /// A `POST /events` with one event, signed and not sent yet.
    #[must_use]
    pub fn publish_call(&self, event: &Event) -> Call<'_> {
        self.post("/events", MEDIA_TYPE_EVENT, event.to_json())
            .signed(&origin_key())
    }

    /// Sends one event and gives its result.
    pub async fn publish(&self, event: &Event) -> EventResult {
        let [result] = results(&self.publish_call(event).send().await)
            .try_into()
            .expect("one result for one event");
        result
    }

    /// Sends one event, which must be taken.
    pub async fn settle(&self, event: &Event) {
        let result = self.publish(event).await;
        assert_eq!(result.status, Status::Accepted, "{result:?}");
    }

    /// Sends a batch of events in JSON.
    pub async fn publish_batch(&self, batch: &str) -> Answer {
        self.post("/events", MEDIA_TYPE_BATCH, batch)
            .signed(&origin_key())
            .send()
            .await
    }
}

/// A batch in JSON.
#[must_use]
pub fn batch(events: &[Event]) -> String {
    let events: Vec<_> = events.iter().map(Event::to_json).collect();
    format!("[{}]", events.join(","))
}

/// The results in an answer of `POST /events`.
#[must_use]
pub fn results(answer: &Answer) -> Vec<EventResult> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let report: PublishReport =
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    report.results
}

/// The statuses in an answer of `POST /events`.
#[must_use]
pub fn statuses(answer: &Answer) -> Vec<Status> {
    results(answer).iter().map(|result| result.status).collect()
}
