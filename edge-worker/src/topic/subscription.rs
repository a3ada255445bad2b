//! What the Worker tells a Durable Object of a client that subscribes there.

use headstart_protocol::{presence::SubscriberPlace, token::Claims, topic::TopicName};
use serde::{Deserialize, Serialize};

use crate::{call::Call, platform};

/// A request to subscribe, checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// The topic.
    pub topic: TopicName,
    /// The sequence number after which the client resumes.
    pub cursor: Option<u64>,
    /// Whether a client without a cursor begins with the current value.
    pub latest: bool,
    /// Where the client is.
    pub place: SubscriberPlace,
    /// The claims of its token, if it had one.
    pub claims: Option<Claims>,
    /// It has to say who it is before it is told anything.
    pub awaited: bool,
    /// The node that took the request.
    pub node: String,
}

impl Subscription {
    /// A request that begins at the head.
    pub fn new(call: &Call, topic: TopicName, claims: Option<Claims>) -> Self {
        Self {
            topic,
            cursor: None,
            latest: false,
            place: platform::client_place(&call.request),
            claims,
            awaited: false,
            node: call.node.to_string(),
        }
    }

    /// The sequence number after which the client begins on a topic whose newest update is `head`: its
    /// cursor, else before the current value where it wants that first, else the head.
    pub fn begins_after(&self, head: u64) -> u64 {
        let before = u64::from(self.latest);
        self.cursor.unwrap_or(head.saturating_sub(before))
    }

    /// When the right to read ends, in milliseconds since the Unix epoch: never, where the topic needs
    /// none.
    pub fn expires_at_ms(&self) -> Option<u64> {
        self.claims
            .as_ref()
            .filter(|_| self.topic.is_private())
            .map(Claims::expires_at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(topic: &str, cursor: Option<u64>, latest: bool) -> Subscription {
        Subscription {
            topic: TopicName::parse(topic).unwrap(),
            cursor,
            latest,
            place: SubscriberPlace::default(),
            claims: serde_json::from_str(r#"{"exp":17}"#).unwrap(),
            awaited: false,
            node: "local".to_owned(),
        }
    }

    #[test]
    fn a_subscriber_begins_at_its_cursor_else_where_it_asks_to() {
        assert_eq!(subscription("a", Some(3), true).begins_after(9), 3);
        assert_eq!(subscription("a", None, true).begins_after(9), 8);
        assert_eq!(subscription("a", None, false).begins_after(9), 9);
        assert_eq!(subscription("a", None, true).begins_after(0), 0);
    }

    #[test]
    fn only_a_private_topic_ends_with_the_token() {
        let expires = |topic| subscription(topic, None, false).expires_at_ms();
        assert_eq!(expires("private/a"), Some(17_000));
        assert_eq!(expires("a"), None);
    }
}
