//! Who follows a topic, as the edge tells it.

use headstart_protocol::presence::{Subscriber, SubscriberChanges, SubscriberList};
use serde_json::{Value, json};

use crate::{answer::Answer, client::Client, sse::Sse, topics::topic_path, wait::until};

impl Client {
    /// Who follows a topic now.
    pub async fn subscribers(&self, topic: &str) -> SubscriberList {
        let path = format!("{}/subscribers", topic_path(topic));
        let answer = self.get(&path).send().await.expect_status(200);
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// Waits until `probe` finds what it wants in the list of who follows a topic.
    pub async fn await_subscribers<T>(
        &self,
        topic: &str,
        what: &str,
        mut probe: impl FnMut(&[Subscriber]) -> Option<T>,
    ) -> T {
        until(what, async || {
            probe(&self.subscribers(topic).await.subscribers)
        })
        .await
    }

    /// Acks an update of `topic` as a client of Server-Sent Events does.
    pub async fn ack(&self, topic: &str, subscriber: &str, sequence: u64) -> Answer {
        let body = json!({ "subscriber": subscriber, "sequence": sequence });
        self.ack_with(topic, &body).await
    }

    /// Sends this as an ack.
    pub async fn ack_with(&self, topic: &str, body: &Value) -> Answer {
        let path = format!("{}/acks", topic_path(topic));
        let call = self.post(&path, "application/json", body.to_string());
        call.send().await
    }

    /// Who follows a topic and who comes and goes.
    pub async fn watch_subscribers(&self, topic: &str) -> (SubscriberList, Changes) {
        let path = format!("{}/subscribers/events", topic_path(topic));
        let opened = self.get(&path).open_sse().await;
        let mut stream = opened.unwrap_or_else(|answer| panic!("no stream: {answer:?}"));
        let frame = stream.frame().await.expect("a stream begins");
        assert_eq!(frame.name, "subscribers", "{frame:?}");
        let list = serde_json::from_str(&frame.data);
        let list = list.unwrap_or_else(|error| panic!("{error}: {frame:?}"));
        (list, Changes(stream))
    }
}

/// Who comes and goes.
pub struct Changes(Sse);

impl Changes {
    /// The changes that come next.
    pub async fn next(&mut self) -> SubscriberChanges {
        let frame = self.0.frame().await.expect("the stream goes on");
        assert_eq!(frame.name, "changes", "{frame:?}");
        serde_json::from_str(&frame.data).unwrap_or_else(|error| panic!("{error}: {frame:?}"))
    }
}
