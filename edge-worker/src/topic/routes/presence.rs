//! Who is connected to a topic: `GET /topics/{topic}/subscribers`, the same as it changes
//! (`.../subscribers/events`), and what subscribers over Server-Sent Events say of themselves, who have
//! no way up of their own (`POST /topics/{topic}/acks`).

use std::slice;

use headstart_edge_rules::topic::{relay_name::RelayName, subscription::Subscription, wires::Wire};
use headstart_protocol::{limits::MAX_ACK_BODY_BYTES, topic::TopicName};

use crate::{
    http::{
        answer::Answer,
        error::Error,
        request::{Reply, RequestContext},
    },
    platform,
    topic::{access, relay, root, routes::request, sessions::ack::AckBody},
};

/// `GET /topics/{topic}/subscribers`
///
/// # Errors
/// [`Error::Topic`], [`Error::PresenceOff`], those of [`access::admit`], [`Error::Platform`].
pub async fn list(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    let (topic, _) = admit(context, text)?;
    let body = root::client::subscribers(&context.env, &topic).await?;
    Ok(Answer::new(200)
        .header("Content-Type", "application/json")
        .header("Cache-Control", "private, no-store")
        .body(body)
        .into())
}

/// `GET /topics/{topic}/subscribers/events`
///
/// # Errors
/// As [`list`].
pub async fn events(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    let (topic, subscription) = admit(context, text)?;
    let response = root::client::watch(context, &topic, &subscription).await?;
    Ok(Reply::Untouched(response))
}

/// `POST /topics/{topic}/acks`
///
/// # Errors
/// As [`list`], and [`Error::BodyTooLarge`], [`Error::MalformedAck`], [`Error::UnknownSubscriber`].
pub async fn ack(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    let (topic, _) = admit(context, text)?;
    let body = platform::read_body(&context.request, MAX_ACK_BODY_BYTES).await?;
    let ack: AckBody = serde_json::from_slice(&body).map_err(|_| Error::MalformedAck)?;
    let at = RelayName::of_connection(ack.subscriber.as_str(), &topic);
    let known = match at.map_err(|_| Error::UnknownSubscriber)? {
        None => root::client::ack(&context.env, &topic, &ack).await?,
        Some(relay) => relay::client::ack(&context.env, &relay, &topic, &ack).await?,
    };
    if known {
        Ok(Answer::new(204).header("Cache-Control", "no-store").into())
    } else {
        Err(Error::UnknownSubscriber)
    }
}

fn admit(context: &RequestContext, text: &str) -> Result<(TopicName, Subscription), Error> {
    let config = context.config()?;
    let topic = request::topic(text)?;
    let claims = access::admit(context, config, slice::from_ref(&topic))?;
    if !config.topics.presence {
        return Err(Error::PresenceOff);
    }
    let subscription = request::subscription(context, Wire::Sse, vec![topic.clone()], claims);
    Ok((topic, subscription))
}
