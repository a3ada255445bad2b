//! What a client asks for that subscribes, as the Worker tells it to a Durable Object.

use std::time::Duration;

use headstart_protocol::{
    cursor::Cursors, presence::SubscriberPlace, token::Claims, topic::TopicName,
};
use serde::{Deserialize, Serialize};

use crate::topic::{catch_up::Wanted, region::Region, wires::Wire};

/// A request to subscribe, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// How the client is spoken to.
    pub wire: Wire,
    /// The topics, each once, in the order in which the client named them.
    pub wanted: Vec<Wanted>,
    /// Whether the current value comes first of each topic that the client has no cursor of.
    pub latest: bool,
    /// Where the client is.
    pub place: SubscriberPlace,
    /// In which part of the world that is.
    pub region: Region,
    /// The claims of its token, if it had one.
    pub claims: Option<Claims>,
    /// It has to say who it is before it is told anything.
    pub awaited: bool,
    /// The node that took the request.
    pub node: String,
}

impl Subscription {
    /// Adds the cursors of a client that resumes.
    #[must_use]
    pub fn after(mut self, cursors: &Cursors) -> Self {
        for wanted in &mut self.wanted {
            wanted.cursor = cursors.get(&wanted.topic);
        }
        self
    }

    /// Returns the topics, in their order.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicName> {
        let topics = self.wanted.iter();
        topics.map(|wanted| wanted.topic.clone()).collect()
    }

    /// Returns whether `topic` is one of the topics.
    #[must_use]
    pub fn has(&self, topic: &TopicName) -> bool {
        self.wanted.iter().any(|wanted| wanted.topic == *topic)
    }

    /// Returns when the right to read ends, in milliseconds since the Unix epoch; `None` for never.
    #[must_use]
    pub fn expires_at_ms(&self) -> Option<u64> {
        let topics = self.wanted.iter().map(|wanted| &wanted.topic);
        expires_at_ms(topics, self.claims.as_ref())
    }

    /// Returns for how long the right to read lasts from `now_ms` on; `None` for ever.
    #[must_use]
    pub fn right_lasts(&self, now_ms: u64) -> Option<Duration> {
        let expires_at_ms = self.expires_at_ms()?;
        Some(Duration::from_millis(expires_at_ms.saturating_sub(now_ms)))
    }
}

/// Returns when the right to read `topics` ends, in milliseconds since the Unix epoch: never, where none
/// of them needs one.
#[must_use]
pub fn expires_at_ms<'a>(
    mut topics: impl Iterator<Item = &'a TopicName>,
    claims: Option<&Claims>,
) -> Option<u64> {
    let claims = claims?;
    topics
        .any(TopicName::is_private)
        .then(|| claims.expires_at_ms())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a subscription to these topics at their heads, whose token ends at 17 s.
    pub(in crate::topic) fn subscription(topics: &[&str], wire: Wire) -> Subscription {
        let wanted = topics.iter().map(|name| Wanted {
            topic: TopicName::parse(name).unwrap(),
            cursor: None,
        });
        Subscription {
            wire,
            wanted: wanted.collect(),
            latest: false,
            place: SubscriberPlace::default(),
            region: Region::Weur,
            claims: serde_json::from_str(r#"{"exp":17}"#).unwrap(),
            awaited: false,
            node: "local".to_owned(),
        }
    }

    #[test]
    fn each_topic_has_the_cursor_that_names_it() {
        let topics = ["a", "b"].map(|name| TopicName::parse(name).unwrap());
        let cursors = Cursors::parse("b=7", &topics).unwrap();
        let wanted = subscription(&["a", "b"], Wire::Sse).after(&cursors).wanted;
        let at: Vec<_> = wanted.iter().map(|wanted| wanted.cursor).collect();
        assert_eq!(at, [None, Some(7)]);
    }

    #[test]
    fn a_private_topic_among_them_ends_with_the_token() {
        let expires = |topics: &[&str]| subscription(topics, Wire::Sse).expires_at_ms();
        assert_eq!(expires(&["a", "private/a"]), Some(17_000));
        assert_eq!(expires(&["a", "b"]), None);
    }
}
