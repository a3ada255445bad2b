//! What is in an edge's KV, asked through the provider's REST API as `wrangler dev` serves it.

use headstart_protocol::{
    kv::{TopicMetadata, large_offer_key, offer_key, topic_key},
    ticket::Ticket,
    topic::TopicName,
};
use reqwest::Client;
use serde_json::{Value, json};

use crate::{edge::Edge, wait::until};

/// Where the REST API begins at a local edge.
pub const API_PATH: &str = "/cdn-cgi/explorer/api";
/// The namespace in `wrangler.toml`.
pub const NAMESPACE: &str = "headstart-content";

/// One KV namespace.
#[derive(Debug)]
pub struct Kv {
    base: String,
    http: Client,
}

impl Kv {
    /// The namespace of an edge.
    #[must_use]
    pub fn of(edge: &Edge) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = edge.url();
        Self {
            base: format!("{url}{API_PATH}/storage/kv/namespaces/{NAMESPACE}"),
            http: Client::builder()
                .no_proxy()
                .build()
                .expect("a client can be made"),
        }
    }

    /// The offer positioned for a ticket, if there is one.
    pub async fn offer(&self, ticket: &Ticket) -> Option<Vec<u8>> {
        self.value(&offer_key(ticket.uuid())).await
    }

    async fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.get(&format!("{}/values/{key}", self.base)).await
    }

    async fn json(&self, url: &str) -> Option<Value> {
        let body = self.get(url).await?;
        Some(serde_json::from_slice(&body).expect("the answer is JSON"))
    }

    /// The body of a successful answer.
    async fn get(&self, url: &str) -> Option<Vec<u8>> {
        let response = self.http.get(url).send().await.expect("the API answers");
        let found = response.status().is_success();
        let body = response.bytes().await.expect("the answer can be read");
        found.then(|| body.to_vec())
    }

    /// Waits until an offer is positioned for a ticket.
    pub async fn await_offer(&self, ticket: &Ticket) -> Vec<u8> {
        until("the offer to be positioned in KV", async || {
            self.offer(ticket).await
        })
        .await
    }

    /// The latest update positioned for a topic, if there is one: its data, and what stands beside it.
    pub async fn update(&self, topic: &str) -> Option<(Vec<u8>, TopicMetadata)> {
        let key = topic_key(&TopicName::parse(topic).expect("a topic's name"));
        // The API takes a key's slashes only when they are encoded.
        let key = key.replace('/', "%2F");
        let keys = format!("{}/keys?prefix={key}", self.base);
        let listed: Value = self.json(&keys).await?;
        let metadata = listed["result"][0]["metadata"].clone();
        let metadata = serde_json::from_value(metadata).ok()?;
        Some((self.value(&key).await?, metadata))
    }

    /// Positions an offer as the origin does, whatever its metadata are.
    pub async fn position(&self, ticket: &Ticket, offer: &str, metadata: &Value) {
        self.write(&offer_key(ticket.uuid()), offer, metadata).await;
    }

    /// Positions the large offer of the event with this id as the origin does.
    pub async fn position_large(&self, ticket: &Ticket, event_id: &str, offer: &str) {
        let key = large_offer_key(ticket.uuid(), event_id);
        self.write(&key, offer, &Value::Null).await;
    }

    async fn write(&self, key: &str, offer: &str, metadata: &Value) {
        let pairs = json!([{
            "key": key,
            "value": offer,
            "metadata": metadata,
            "expiration_ttl": 3600,
        }]);
        let request = self.http.put(format!("{}/bulk", self.base)).json(&pairs);
        let response = request.send().await.expect("the API answers");
        let status = response.status();
        let answer: Value = response.json().await.expect("the answer is JSON");
        assert!(status.is_success(), "{answer}");
    }
}
