//! How the edge speaks to a topic's root object, whose answers are made in `object.rs`:
//!
//! | request | answer |
//! |---|---|
//! | `POST /topics/{topic}/publish`, events in JSON | 200, an [`EventResult`] each |
//! | `GET /topics/{topic}/latest?than=N&wait=S` | 200, sequence number, LF, event; 204 for none |
//! | `GET /topics/{topic}/since?after=N&wait=S` | 200, the body of the public route |
//! | `GET /topics/{topic}/subscribe`, a [`Subscription`] | a stream or WebSocket, or [`Subscribed::AtRelays`] |
//! | `POST /topics/{topic}/follow`, a [`Follow`] | 200, a [`FollowAnswer`] |
//! | `GET /topics/{topic}/missed?after=N` | 200, a [`Replay`] |
//! | `GET /topics/{topic}/subscribers` | 200, the body of the public route |
//! | `GET /topics/{topic}/watch` | as the public route `.../subscribers/events` |
//! | `POST /topics/{topic}/acks`, the body of the public route | 200, whether the subscriber is known |

use headstart_edge_rules::topic::{
    history::Replay,
    messages::{Follow, FollowAnswer},
    subscription::Subscription,
};
use headstart_protocol::{event::Event, kv::topic_key, report::EventResult, topic::TopicName};
use serde::de::DeserializeOwned;
use worker::{Env, web_sys};

use crate::{
    http::{answer::Answer, error::Error, request::RequestContext},
    platform::{self, Object},
    topic::sessions::ack::AckBody,
};

/// The binding of the class `TopicDo`.
const BINDING: &str = "TOPICS";

/// The status of a root's answer to a subscriber whose place is at a relay (RFC 9110: Misdirected
/// Request); it goes no further than the Worker.
const AT_RELAYS: u16 = 421;

/// The header of that answer with the number of relays.
const SHARDS_HEADER: &str = "Headstart-Shards";

/// What became of a request to subscribe at the root.
#[derive(Debug)]
pub enum Subscribed {
    /// It is answered.
    Here(web_sys::Response),
    /// The subscriber's place is at one of that many relays.
    AtRelays(u32),
}

/// Returns the root's answer to a subscriber whose place is at a relay.
#[must_use]
pub fn at_relays(shards: u32) -> Answer {
    Answer::new(AT_RELAYS).header(SHARDS_HEADER, &shards.to_string())
}

/// An update with its sequence number, as its event's JSON.
pub type Numbered = (u64, Vec<u8>);

/// Publishes events on a topic, in their order.
///
/// # Errors
/// [`Error::Platform`] when the object cannot be reached or fails: try again.
pub async fn publish(
    env: &Env,
    topic: &TopicName,
    events: &[&Event],
) -> Result<Vec<EventResult>, Error> {
    let body = serde_json::to_string(events)
        .map_err(|error| Error::Platform(format!("events' JSON: {error}")))?;
    read(&ask(env, topic, "POST", "publish", Some(&body)).await?)
}

/// Returns the latest update, if there is one. Where that is number `than`, waits for the next one for up to
/// `wait` seconds.
///
/// # Errors
/// [`Error::TooManySubscribers`], [`Error::Platform`].
pub async fn latest(
    env: &Env,
    topic: &TopicName,
    than: u64,
    wait: u32,
) -> Result<Option<Numbered>, Error> {
    let what = format!("latest?than={than}&wait={wait}");
    let answer = ask(env, topic, "GET", &what, None).await?;
    if answer.is_empty() {
        return Ok(None);
    }
    numbered(&answer)
        .map(Some)
        .ok_or_else(|| Error::Platform(format!("{BINDING} answered without a number")))
}

fn numbered(answer: &[u8]) -> Option<Numbered> {
    let at = answer.iter().position(|byte| *byte == b'\n')?;
    let (number, rest) = answer.split_at_checked(at)?;
    let sequence = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((sequence, rest.get(1..)?.to_vec()))
}

/// Returns the latest update as KV has it.
///
/// # Errors
/// [`Error::Platform`].
pub async fn positioned(env: &Env, topic: &TopicName) -> Result<Option<Numbered>, Error> {
    let Some((event, _)) = platform::read_content(env, &topic_key(topic)).await? else {
        return Ok(None);
    };
    let event = event.to_vec();
    let sequence = Event::from_json(&event)
        .ok()
        .and_then(|event| headstart_protocol::update::sequence_of(&event));
    Ok(sequence.map(|sequence| (sequence, event)))
}

/// Returns the body of the public answer to `?since=`.
///
/// # Errors
/// As [`latest`].
pub async fn since(env: &Env, topic: &TopicName, after: u64, wait: u32) -> Result<Vec<u8>, Error> {
    let what = format!("since?after={after}&wait={wait}");
    ask(env, topic, "GET", &what, None).await
}

/// Returns who is connected: the body of the public answer.
///
/// # Errors
/// [`Error::Platform`].
pub async fn subscribers(env: &Env, topic: &TopicName) -> Result<Vec<u8>, Error> {
    ask(env, topic, "GET", "subscribers", None).await
}

/// Says what a subscriber has received. Gives whether it is known.
///
/// # Errors
/// [`Error::Platform`].
pub async fn ack(env: &Env, topic: &TopicName, ack: &AckBody) -> Result<bool, Error> {
    let body = serde_json::to_string(ack)
        .map_err(|error| Error::Platform(format!("an ack's JSON: {error}")))?;
    read(&ask(env, topic, "POST", "acks", Some(&body)).await?)
}

/// Tells the root that a relay is there.
///
/// # Errors
/// [`Error::Platform`].
pub async fn follow(env: &Env, topic: &TopicName, follow: &Follow) -> Result<FollowAnswer, Error> {
    let body = serde_json::to_string(follow)
        .map_err(|error| Error::Platform(format!("a follow's JSON: {error}")))?;
    read(&ask(env, topic, "POST", "follow", Some(&body)).await?)
}

/// Returns the updates after `after`, as many as one answer holds.
///
/// # Errors
/// [`Error::Platform`].
pub async fn missed(env: &Env, topic: &TopicName, after: u64) -> Result<Replay, Error> {
    read(&ask(env, topic, "GET", &format!("missed?after={after}"), None).await?)
}

/// Hands a request for a stream or WebSocket on to the topic's object.
///
/// # Errors
/// [`Error::Platform`] when it cannot be reached.
pub async fn subscribe(
    context: &RequestContext,
    topic: &TopicName,
    subscription: &Subscription,
) -> Result<Subscribed, Error> {
    let response = hand_on(context, topic, "subscribe", subscription).await?;
    if response.status() != AT_RELAYS {
        return Ok(Subscribed::Here(response));
    }
    let shards = response.headers().get(SHARDS_HEADER).ok().flatten();
    shards
        .and_then(|text| text.parse().ok())
        .map(Subscribed::AtRelays)
        .ok_or_else(|| Error::Platform(format!("{BINDING} named no relays")))
}

/// Hands a request for the stream of who is connected on to the topic's object.
///
/// # Errors
/// [`Error::Platform`] when it cannot be reached.
pub async fn watch(
    context: &RequestContext,
    topic: &TopicName,
    subscription: &Subscription,
) -> Result<web_sys::Response, Error> {
    hand_on(context, topic, "watch", subscription).await
}

async fn hand_on(
    context: &RequestContext,
    topic: &TopicName,
    what: &str,
    subscription: &Subscription,
) -> Result<web_sys::Response, Error> {
    let path = format!("topics/{topic}/{what}");
    platform::subscribe(
        &context.env,
        root(topic),
        &path,
        &context.request,
        subscription,
    )
    .await
}

fn root(topic: &TopicName) -> Object<'_> {
    Object {
        binding: BINDING,
        name: topic.as_str(),
        hint: "",
    }
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(answer)
        .map_err(|error| Error::Platform(format!("the answer of {BINDING}: {error}")))
}

/// Asks a topic's root.
///
/// # Errors
/// [`Error::TooManySubscribers`], [`Error::Platform`].
async fn ask(
    env: &Env,
    topic: &TopicName,
    method: &str,
    what: &str,
    body: Option<&str>,
) -> Result<Vec<u8>, Error> {
    let url = format!("http://topic/topics/{topic}/{what}");
    let (status, answer) = platform::ask(env, root(topic), method, &url, body).await?;
    match status {
        200 | 204 => Ok(answer),
        503 => Err(Error::TooManySubscribers),
        status => Err(Error::Platform(format!("{BINDING} answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_event_is_read() {
        assert_eq!(numbered(b"42\n{}\n"), Some((42, b"{}\n".to_vec())));
        for bad in [&b""[..], b"42", b"x\n{}", b"\n"] {
            assert_eq!(numbered(bad), None);
        }
    }
}
