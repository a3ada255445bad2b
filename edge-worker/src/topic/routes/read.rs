//! `GET /topics/{topic}`: the latest update, or with `?since=` those after a sequence number. Both wait
//! with `Prefer: wait=N`.

use std::{iter, slice};

use headstart_edge_rules::{lookup::Tier, topic::subscription::expires_at_ms};
use headstart_protocol::{
    event::MEDIA_TYPE_EVENT, limits::MAX_WAIT_SECONDS, token::Claims, topic::TopicName,
};

use crate::{
    http::{
        answer::Answer,
        cache_status::{Served, Timings, with_cache_status},
        error::Error,
        request::{Reply, RequestContext},
    },
    platform,
    topic::{
        access, root,
        routes::request::{self, Known},
    },
};

/// `GET /topics/{topic}`
///
/// # Errors
/// [`Error::Topic`], [`Error::Cursor`], those of [`access::admit`], [`Error::NoUpdate`],
/// [`Error::TooManySubscribers`], [`Error::Platform`].
pub async fn get(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    let config = context.config()?;
    let topic = request::topic(text)?;
    let claims = access::admit(context, config, slice::from_ref(&topic))?;
    let wait = context
        .head
        .wait_seconds()
        .map(|wait| wait.min(MAX_WAIT_SECONDS))
        .map(|wait| wait.min(seconds_left(&topic, claims.as_ref(), context.head.now_ms)));
    let (answer, place) = match request::since(&context.head)? {
        Some(after) => since(context, &topic, after, wait.unwrap_or(0)).await?,
        None => latest(context, &topic, wait.unwrap_or(0)).await?,
    };
    let served = if answer.is_not_found() {
        Served::Miss
    } else {
        Served::Hit(place)
    };
    let answer = match wait {
        Some(wait) => answer.header("Preference-Applied", &format!("wait={wait}")),
        None => answer,
    };
    let mut timings = Timings::default();
    timings.note(
        place,
        platform::now_ms().saturating_sub(context.head.now_ms),
    );
    Ok(with_cache_status(answer, &context.node, served, &timings).into())
}

async fn since(
    context: &RequestContext,
    topic: &TopicName,
    after: u64,
    wait: u32,
) -> Result<(Answer, Tier), Error> {
    let body = root::client::since(&context.env, topic, after, wait).await?;
    let answer = Answer::new(200)
        .header("Content-Type", "application/json")
        .header("Cache-Control", cache_control(topic))
        .body(body);
    Ok((answer, Tier::Object))
}

/// Asks the topic's object first, which has the very latest; where it cannot be reached, KV has
/// what was the latest a moment ago.
async fn latest(
    context: &RequestContext,
    topic: &TopicName,
    wait: u32,
) -> Result<(Answer, Tier), Error> {
    let known = Known::parse(&context.header("if-none-match").unwrap_or_default());
    let (found, place) = match root::client::latest(&context.env, topic, known.newest(), wait).await
    {
        Err(Error::Platform(text)) => {
            Error::Platform(text).log();
            (
                root::client::positioned(&context.env, topic).await?,
                Tier::Kv,
            )
        }
        found => (found?, Tier::Object),
    };
    let Some((sequence, event)) = found else {
        return Ok((Error::NoUpdate.answer(), place));
    };
    let answer = if known.has(sequence) {
        Answer::new(304)
    } else {
        Answer::new(200)
            .header("Content-Type", MEDIA_TYPE_EVENT)
            .body(event)
    };
    let answer = answer
        .header("ETag", &format!("\"{sequence}\""))
        .header("Cache-Control", cache_control(topic));
    Ok((answer, place))
}

/// Returns for how many whole seconds the right to read lasts: a long poll does not outlive its token.
fn seconds_left(topic: &TopicName, claims: Option<&Claims>, now_ms: u64) -> u32 {
    let expires_at_ms = expires_at_ms(iter::once(topic), claims).unwrap_or(u64::MAX);
    u32::try_from(expires_at_ms.saturating_sub(now_ms) / 1000).unwrap_or(u32::MAX)
}

/// Returns what caches may do: keep what is public and ask before they use it; what is private they may
/// not keep.
fn cache_control(topic: &TopicName) -> &'static str {
    if topic.is_private() {
        "private, no-store"
    } else {
        "no-cache"
    }
}
