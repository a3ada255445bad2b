//! How the edge speaks to a relay, whose answers are made in `object.rs`:
//!
//! | request | answer |
//! |---|---|
//! | `GET /relays/{relay}/subscribe`, a [`Subscription`] | a stream or WebSocket; 503 when it is full |
//! | `POST /relays/{relay}/push`, a [`Push`] | 200, a [`PushAnswer`] for each relay that has it |
//! | `GET /relays/{relay}/subscribers?topic=T&most=N` | 200, who is connected to the topic there |
//! | `POST /relays/{relay}/acks?topic=T`, the body of the public route | 200, whether the subscriber is known |

use headstart_edge_rules::topic::{
    messages::{Push, PushAnswer},
    relay_name::RelayName,
    subscription::Subscription,
};
use headstart_protocol::{presence::SubscriberList, topic::TopicName};
use serde::de::DeserializeOwned;
use worker::{Env, web_sys};

use crate::{
    http::{error::Error, request::RequestContext},
    platform::{self, Object},
    topic::sessions::ack::AckBody,
};

/// The binding of the class `RelayDo`.
const BINDING: &str = "RELAYS";

/// Pushes updates to a relay; gives the answers of those that have them.
///
/// # Errors
/// [`Error::Platform`] when it cannot be reached or fails.
pub async fn push(env: &Env, relay: &RelayName, push: &Push) -> Result<Vec<PushAnswer>, Error> {
    ask(env, relay, "POST", "push", Some(&json(push)?)).await
}

/// Returns who is connected to a topic at a relay: their number, and at most `most` of them.
///
/// # Errors
/// [`Error::Platform`].
pub async fn subscribers(
    env: &Env,
    relay: &RelayName,
    topic: &TopicName,
    most: usize,
) -> Result<SubscriberList, Error> {
    let what = format!("subscribers?topic={topic}&most={most}");
    ask(env, relay, "GET", &what, None).await
}

/// Says what a subscriber at a relay has received. Gives whether it is known there.
///
/// # Errors
/// [`Error::Platform`].
pub async fn ack(
    env: &Env,
    relay: &RelayName,
    topic: &TopicName,
    ack: &AckBody,
) -> Result<bool, Error> {
    let what = format!("acks?topic={topic}");
    ask(env, relay, "POST", &what, Some(&json(ack)?)).await
}

/// Hands a request for a stream or WebSocket on to a relay. `None` when it is full.
///
/// # Errors
/// [`Error::Platform`] when it cannot be reached.
pub async fn subscribe(
    context: &RequestContext,
    relay: &RelayName,
    subscription: &Subscription,
) -> Result<Option<web_sys::Response>, Error> {
    let path = format!("relays/{relay}/subscribe");
    let name = relay.to_string();
    let object = object(relay, &name);
    let response =
        platform::subscribe(&context.env, object, &path, &context.request, subscription).await?;
    match response.status() {
        503 => Ok(None),
        500 => Err(Error::Platform(format!("{BINDING} failed"))),
        _ => Ok(Some(response)),
    }
}

async fn ask<T: DeserializeOwned>(
    env: &Env,
    relay: &RelayName,
    method: &str,
    what: &str,
    body: Option<&str>,
) -> Result<T, Error> {
    let name = relay.to_string();
    let url = format!("http://relay/relays/{name}/{what}");
    let object = object(relay, &name);
    let (status, answer) = platform::ask(env, object, method, &url, body).await?;
    if status != 200 {
        return Err(Error::Platform(format!("{BINDING} answered {status}")));
    }
    serde_json::from_slice(&answer)
        .map_err(|error| Error::Platform(format!("the answer of {BINDING}: {error}")))
}

fn object<'a>(relay: &RelayName, name: &'a str) -> Object<'a> {
    Object {
        binding: BINDING,
        name,
        hint: relay.region().code(),
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Platform(format!("JSON: {error}")))
}
