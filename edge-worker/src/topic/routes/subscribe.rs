//! A client subscribes: `GET /topics/{topic}/events` and `.../ws`, and for several topics on one
//! connection `GET /topics?topic=a&topic=b`. The Worker checks the request, finds the object where the
//! connection's destination is, and hands it on.

use headstart_edge_rules::topic::{
    digest::half_digest,
    region::Region,
    relay_name::{MAX_SHARDS, RelayName},
    subscription::Subscription,
    wires::Wire,
};
use headstart_protocol::topic::TopicName;

use crate::{
    http::{
        error::Error,
        request::{Reply, RequestContext},
    },
    platform::{self, websocket},
    topic::{
        access::{self, Admission},
        relay,
        root::{self, client::Subscribed},
        routes::{placement, request},
    },
};

/// How many relays are asked before a client is told that there is no room.
const TRIES: u32 = 8;

/// `GET /topics/{topic}/events`
///
/// # Errors
/// [`Error::Topic`], [`Error::Cursor`], those of [`access::admit`], [`Error::TooManySubscribers`],
/// [`Error::Platform`].
pub async fn events(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    stream(context, vec![request::topic(text)?]).await
}

/// `GET /topics/{topic}/ws`
///
/// # Errors
/// As [`events`], and [`Error::UpgradeRequired`].
pub async fn socket(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    websocket(context, vec![request::topic(text)?]).await
}

/// `GET /topics`, as Server-Sent Events, or over a WebSocket where the client asks for one.
///
/// # Errors
/// As [`events`], and [`Error::TopicCount`].
pub async fn several(context: &RequestContext) -> Result<Reply, Error> {
    let topics = request::topics(&context.head)?;
    if websocket::is_upgrade(context) {
        websocket(context, topics).await
    } else {
        stream(context, topics).await
    }
}

async fn stream(context: &RequestContext, topics: Vec<TopicName>) -> Result<Reply, Error> {
    let claims = access::admit(context, context.config()?, &topics)?;
    subscribe(context, topics, Admission::Granted(claims), Wire::Sse).await
}

async fn websocket(context: &RequestContext, topics: Vec<TopicName>) -> Result<Reply, Error> {
    let admission = access::admit_socket(context, context.config()?, &topics)?;
    websocket::require_upgrade(context)?;
    subscribe(context, topics, admission, Wire::Json).await
}

async fn subscribe(
    context: &RequestContext,
    topics: Vec<TopicName>,
    admission: Admission,
    wire: Wire,
) -> Result<Reply, Error> {
    let cursors = request::cursors(&context.head, &topics)?;
    let (claims, awaited) = match admission {
        Admission::Granted(claims) => (claims, false),
        Admission::Awaited => (None, true),
    };
    let destination = Destination {
        context,
        subscription: Subscription {
            latest: request::wants_latest(&context.head),
            awaited,
            ..request::subscription(context, wire, topics.clone(), claims).after(&cursors)
        },
    };
    match topics.as_slice() {
        [topic] => destination.of_one(topic).await,
        topics => destination.of_several(topics).await,
    }
}

/// A client that looks for its destination.
struct Destination<'a> {
    context: &'a RequestContext,
    subscription: Subscription,
}

impl Destination<'_> {
    /// Connects at the topic's root, or at one of its relays, any of which is as good as another.
    async fn of_one(&self, topic: &TopicName) -> Result<Reply, Error> {
        let (region, now) = (self.region(), self.context.head.now_ms);
        let mut known = placement::shards(topic, region, now);
        let start = any_of(MAX_SHARDS);
        for at in start..start + TRIES {
            let shards = match known.take() {
                Some(shards) => shards,
                // A relay that is full has told the root, which has made more of them by now.
                None => {
                    match root::client::subscribe(self.context, topic, &self.subscription).await? {
                        Subscribed::Here(response) => return Ok(Reply::Untouched(response)),
                        Subscribed::AtRelays(shards) => {
                            placement::note_shards(topic, region, shards, now);
                            shards
                        }
                    }
                }
            };
            let relay = RelayName::of_topic(region, at % shards.max(1), topic.clone());
            if let Some(reply) = self.at(&relay).await {
                return Ok(reply);
            }
        }
        Err(Error::TooManySubscribers)
    }

    /// Connects at one of the region's relays for several topics: connections with the same topics together,
    /// as far as there is room, since each relay has to follow each of its topics.
    async fn of_several(&self, topics: &[TopicName]) -> Result<Reply, Error> {
        let (region, now) = (self.region(), self.context.head.now_ms);
        let together = together(topics);
        let mut range = placement::range(region, now).unwrap_or(1);
        for _ in 0..TRIES {
            let relay = RelayName::of_many(region, together % range);
            if let Some(reply) = self.at(&relay).await {
                placement::note_range(region, range, now);
                return Ok(reply);
            }
            range = (range * 2).min(MAX_SHARDS);
        }
        for _ in 0..TRIES {
            let relay = RelayName::of_many(region, any_of(MAX_SHARDS));
            if let Some(reply) = self.at(&relay).await {
                return Ok(reply);
            }
        }
        Err(Error::TooManySubscribers)
    }

    /// Connects at this relay, unless it is full or cannot be reached.
    async fn at(&self, relay: &RelayName) -> Option<Reply> {
        match relay::client::subscribe(self.context, relay, &self.subscription).await {
            Ok(response) => response.map(Reply::Untouched),
            Err(error) => {
                error.log();
                None
            }
        }
    }

    fn region(&self) -> Region {
        self.subscription.region
    }
}

/// Returns a number that is the same for the same topics, whatever their order.
fn together(topics: &[TopicName]) -> u32 {
    let mut names: Vec<&str> = topics.iter().map(TopicName::as_str).collect();
    names.sort_unstable();
    let [a, b, c, d, ..] = half_digest(names);
    u32::from_be_bytes([a, b, c, d])
}

/// Returns any number below `count`.
fn any_of(count: u32) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the product is at least 0 and less than `count`"
    )]
    let any = (platform::random() * f64::from(count)) as u32;
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_topics_does_not_part_them() {
        let [a, b] = ["a", "b"].map(|name| TopicName::parse(name).unwrap());
        let both = together(&[a.clone(), b.clone()]);
        assert_eq!(both, together(&[b.clone(), a.clone()]));
        assert_ne!(both, together(&[a]));
    }
}
