//! Topics that have grown beyond their root, at the edge of [`crate::shared::relaying_edge`].

use std::collections::BTreeMap;

use crate::{
    client::Client,
    shared::RELAY_THRESHOLD,
    subscriber::{Subscriber, Subscription, Transport},
    wait::until,
};

/// A subscriber's home in Germany, as the local platform takes it from a request.
const GERMANY: &str = r#"{"continent":"EU","country":"DE","longitude":"9.99","latitude":"53.55"}"#;

impl Client {
    /// Brings a public topic to relays: gives subscribers of which the last is at a relay, and keeps the
    /// topic there as long as it stays. The others are at the root.
    pub async fn bring_to_relays(&self, topic: &str) -> Vec<Subscriber> {
        self.subscription(Transport::Ws, &[topic])
            .bring_to_relays()
            .await
    }
}

impl Subscription {
    /// As [`Client::bring_to_relays`], by opening it as often as it takes.
    pub async fn bring_to_relays(&self) -> Vec<Subscriber> {
        let mut subscribers = Vec::new();
        for _ in 0..RELAY_THRESHOLD {
            subscribers.push(self.open().await);
        }
        assert_eq!(
            objects(&subscribers),
            [("root".to_owned(), RELAY_THRESHOLD)].into()
        );
        subscribers.push(self.open_at_relay().await);
        subscribers
    }

    /// Opens it on a topic that is at relays.
    pub async fn open_at_relay(&self) -> Subscriber {
        let subscriber = self.open_in_a_crowd().await;
        assert_ne!(subscriber.object(), "root");
        subscriber
    }

    /// Opens it where many come at once: again and again while there is no room for it.
    pub async fn open_in_a_crowd(&self) -> Subscriber {
        until("a place for a subscriber", async || {
            match self.try_open().await {
                Ok(subscriber) => Some(subscriber),
                Err(answer) => {
                    let kind = answer.expect_problem(503).kind;
                    assert_eq!(kind, "urn:headstart:too-many-subscribers");
                    assert_ne!(answer.header("retry-after"), "");
                    None
                }
            }
        })
        .await
    }

    /// By a client in western Europe.
    #[must_use]
    pub fn from_europe(self) -> Self {
        self.header("mf-cf-blob", GERMANY)
    }
}

/// How many of these subscribers each object holds.
#[must_use]
pub fn objects(subscribers: &[Subscriber]) -> BTreeMap<String, usize> {
    let mut objects = BTreeMap::new();
    for subscriber in subscribers {
        *objects.entry(subscriber.object().to_owned()).or_default() += 1;
    }
    objects
}
