//! Tells the edge what has arrived, for subscribers over Server-Sent Events: one request after the
//! other, beside the stream, so that no update waits for an ack.

use std::time::Duration;

use headstart_protocol::{channel::Secret, topic::TopicName};
use http::header::CONTENT_TYPE;
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinHandle};
use url::Url;

use super::{SubscribeError, request};
use crate::{http_client, token::Token};

/// Acks that may wait. More are left out: an ack says how far away a subscriber is, and nothing hangs
/// on it.
const QUEUE: usize = 1024;

/// How long the edge may take to answer one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last ones may still take when the subscriber goes.
const GOODBYE: Duration = Duration::from_secs(2);

/// Body of `POST /topics/{topic}/acks`.
#[derive(Debug, Serialize)]
struct Body {
    subscriber: Secret,
    sequence: u64,
}

/// The sender of acks.
#[derive(Debug)]
pub(super) struct Acks {
    queue: mpsc::Sender<(TopicName, Body)>,
    task: JoinHandle<()>,
}

impl Acks {
    /// Starts it.
    pub(super) fn start(edge: Url, token: Option<Token>) -> Result<Self, SubscribeError> {
        let client = http_client::build()
            .map_err(|error| SubscribeError::Connection(http_client::describe(error)))?;
        let (queue, mut acks) = mpsc::channel::<(TopicName, Body)>(QUEUE);
        let task = tokio::spawn(async move {
            while let Some((topic, body)) = acks.recv().await {
                if let Err(reason) = post(&client, &edge, token.as_ref(), &topic, &body).await {
                    tracing::debug!(%topic, reason, "an ack was not taken");
                }
            }
        });
        Ok(Self { queue, task })
    }

    /// Sends one, some time soon.
    pub(super) fn send(&self, subscriber: Secret, topic: TopicName, sequence: u64) {
        // Where the queue is full, this one is left out.
        let _ = self.queue.try_send((
            topic,
            Body {
                subscriber,
                sequence,
            },
        ));
    }

    /// Waits a moment for those that are on their way.
    pub(super) async fn end(self) {
        let Self { queue, task } = self;
        drop(queue);
        // What does not arrive in time is not missed.
        let _ = tokio::time::timeout(GOODBYE, task).await;
    }
}

async fn post(
    client: &reqwest::Client,
    edge: &Url,
    token: Option<&Token>,
    topic: &TopicName,
    body: &Body,
) -> Result<(), String> {
    let url = request::at(edge, &format!("/topics/{topic}/acks")).map_err(|e| e.to_string())?;
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    let mut request = client
        .post(url)
        .timeout(TIMEOUT)
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    if let Some(token) = token {
        request = request.header(http::header::AUTHORIZATION, token.bearer());
    }
    let answer = request.send().await.map_err(http_client::describe)?;
    if answer.status().is_success() {
        Ok(())
    } else {
        Err(format!("the edge answered {}", answer.status()))
    }
}
