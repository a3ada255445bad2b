//! `GET /topics/{topic}/events` and `.../ws`: a client subscribes. The Worker checks the request and
//! hands it on; the connection lives at the topic's object.

use headstart_protocol::topic::TopicName;

use super::{
    access::{self, Admission},
    request, root,
    subscription::Subscription,
};
use crate::{
    call::{Call, Reply},
    error::Error,
    websocket,
};

/// `GET /topics/{topic}/events`
///
/// # Errors
/// [`Error::Topic`], [`Error::Cursor`], those of [`access::admit`], [`Error::Platform`].
pub async fn events(call: &Call, text: &str) -> Result<Reply, Error> {
    let topic = request::topic(text)?;
    let claims = access::admit(call, call.config()?, &topic)?;
    subscribe(call, topic, Admission::Granted(claims), "events").await
}

/// `GET /topics/{topic}/ws`
///
/// # Errors
/// As [`events`], and [`Error::UpgradeRequired`].
pub async fn socket(call: &Call, text: &str) -> Result<Reply, Error> {
    let topic = request::topic(text)?;
    let admission = access::admit_socket(call, call.config()?, &topic)?;
    websocket::require_upgrade(call)?;
    subscribe(call, topic, admission, "ws").await
}

async fn subscribe(
    call: &Call,
    topic: TopicName,
    admission: Admission,
    how: &str,
) -> Result<Reply, Error> {
    let cursor = request::cursor(&call.head, &topic)?;
    let latest = request::wants_latest(&call.head);
    let (claims, awaited) = match admission {
        Admission::Granted(claims) => (claims, false),
        Admission::Awaited => (None, true),
    };
    let subscription = Subscription {
        cursor,
        latest,
        awaited,
        ..Subscription::new(call, topic.clone(), claims)
    };
    root::subscribe(call, &topic, how, &subscription).await
}
