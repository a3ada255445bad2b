//! Topics, as an origin publishes on them and as a client reads them.

use headstart_protocol::{
    channel::Gap,
    event::{Data, Event, TYPE_UPDATE},
    limits::MAX_EVENTS_PER_BATCH,
    report::Status,
    update::sequence_of,
};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    answer::Answer,
    client::Client,
    events::{SOURCE, batch, statuses},
    wait::until,
};

/// The name of a topic that no other test has.
#[must_use]
pub fn fresh_topic() -> String {
    format!("test/{}", Uuid::now_v7())
}

/// The name of a private topic that no other test has.
#[must_use]
pub fn fresh_private_topic() -> String {
    format!("private/{}", Uuid::now_v7())
}

/// Where a topic is read.
#[must_use]
pub fn topic_path(topic: &str) -> String {
    format!("/topics/{topic}")
}

/// An update of `topic`.
#[must_use]
pub fn update(topic: &str, data: &Value) -> Event {
    let data = Data::from_json(data).expect("a value has a JSON form");
    let mut event = Event::new(Uuid::now_v7(), SOURCE, TYPE_UPDATE);
    event.subject = Some(topic.to_owned());
    event.data = Some(data);
    event
}

/// As many updates of `topic`, each with its place among them, counted from 1.
#[must_use]
pub fn updates(topic: &str, count: u64) -> Vec<Event> {
    (1..=count).map(|n| update(topic, &n.into())).collect()
}

/// An update of `topic` whose JSON has that many bytes.
#[must_use]
pub fn update_of_size(topic: &str, bytes: usize) -> Event {
    let frame = update(topic, &Value::from("")).to_json().len();
    let event = update(topic, &Value::from("x".repeat(bytes - frame)));
    assert_eq!(event.to_json().len(), bytes);
    event
}

/// The number that the topic gave an update.
#[must_use]
pub fn sequence(event: &Event) -> u64 {
    sequence_of(event).unwrap_or_else(|| panic!("no sequence: {event:?}"))
}

/// The numbers that the topic gave these updates.
#[must_use]
pub fn sequences(events: &[Event]) -> Vec<u64> {
    events.iter().map(sequence).collect()
}

/// The ids of these updates.
#[must_use]
pub fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

/// What `GET /topics/{topic}?since=N` answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// The topic.
    pub topic: String,
    /// Number of its latest update; 0 where there is none.
    pub latest: u64,
    /// What the client can no longer have.
    pub gap: Option<Gap>,
    /// The updates after N, or after the gap.
    pub updates: Vec<Event>,
    /// Whether there are more.
    pub more: bool,
}

impl Since {
    /// Reads the answer.
    #[must_use]
    pub fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), "application/json");
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }
}

impl Client {
    /// Publishes these updates, as few requests as they fit in one after the other; all must be taken.
    pub async fn publish_all(&self, events: &[Event]) {
        for events in events.chunks(MAX_EVENTS_PER_BATCH) {
            let answer = self.publish_batch(&batch(events)).await;
            let statuses = statuses(&answer);
            let taken = statuses.iter().all(|status| *status == Status::Accepted);
            assert!(taken, "{answer:?}");
        }
    }

    /// Publishes one update of `topic`, which must be taken.
    pub async fn publish_on(&self, topic: &str, data: &Value) -> Event {
        let event = update(topic, data);
        self.settle(&event).await;
        event
    }

    /// Publishes an update until it is taken, as an origin does that does not always hear the answer.
    pub async fn publish_surely(&self, event: &Event) {
        until("an update to be taken", async || {
            let answer = self.publish_call(event).try_send().await.ok()?;
            let answer = (answer.status == 200).then_some(answer)?;
            match statuses(&answer)[0] {
                Status::Accepted | Status::Duplicate => Some(()),
                Status::Retry => None,
                other => panic!("{other:?}: {answer:?}"),
            }
        })
        .await;
    }

    /// The latest update of a topic.
    pub async fn latest(&self, topic: &str) -> Answer {
        self.get(&topic_path(topic)).send().await
    }

    /// The updates of a topic after `since`.
    pub async fn since(&self, topic: &str, since: u64) -> Since {
        let path = format!("{}?since={since}", topic_path(topic));
        Since::of(&self.get(&path).send().await)
    }
}

/// The event in an answer that is one.
#[must_use]
pub fn event_of(answer: &Answer) -> Event {
    assert_eq!(answer.status, 200, "{answer:?}");
    let media_type = answer.header("content-type");
    assert_eq!(media_type, "application/cloudevents+json", "{answer:?}");
    Event::from_json(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}
