//! What a subscriber is told first: who it is, and what it missed.

use headstart_protocol::{channel::Welcome, topic::TopicName};
use serde::{Deserialize, Serialize};

use crate::topic::{batch::Batch, history::Replay};

/// A topic that a subscriber wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The topic.
    pub topic: TopicName,
    /// The sequence number after which it resumes.
    pub cursor: Option<u64>,
}

impl Wanted {
    /// Returns the sequence number after which the subscriber begins where the topic's newest update is
    /// `head`: its cursor, else before the current value where it wants that first, else the head.
    #[must_use]
    pub fn begins_after(&self, latest: bool, head: u64) -> u64 {
        let before = u64::from(latest);
        self.cursor.unwrap_or(head.saturating_sub(before))
    }
}

/// What a subscriber missed on one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The topic.
    pub topic: TopicName,
    /// The sequence number of the last update that the subscriber has.
    pub after: u64,
    /// The sequence number of the topic's newest update.
    pub head: u64,
    /// What lies between them, each part after the other.
    pub parts: Vec<Replay>,
}

impl Missed {
    /// Returns all that one replay says.
    pub fn of(topic: TopicName, replay: Replay) -> Self {
        Self {
            topic,
            after: replay.after,
            head: replay.head,
            parts: vec![replay],
        }
    }

    /// Returns the parts as they are told.
    pub fn batches(&self, delivered_at_ms: u64) -> impl Iterator<Item = Batch<'_>> {
        self.parts.iter().map(move |part| Batch {
            topic: &self.topic,
            gap: part.lost(),
            updates: &part.updates,
            delivered_at_ms,
        })
    }
}

/// The opening of one connection.
#[derive(Debug)]
pub struct Opening<'a> {
    /// Its topics, in its order.
    pub missed: &'a [Missed],
    /// The connection's secret id.
    pub id: &'a str,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// In `0.0..1.0`: keeps clients that lost their connections together from coming back together.
    pub jitter: f64,
}

impl Opening<'_> {
    /// Returns the first that the client hears.
    #[must_use]
    pub fn welcome(&self) -> Welcome {
        let missed = self.missed.iter();
        Welcome {
            subscriber: self.id.to_owned().into(),
            topics: missed
                .map(|missed| (missed.topic.clone(), missed.head))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_begins_at_its_cursor_else_where_it_asks_to() {
        let topic = TopicName::parse("a").unwrap();
        let begins = |cursor, latest, head| {
            let topic = topic.clone();
            Wanted { topic, cursor }.begins_after(latest, head)
        };
        assert_eq!(begins(Some(3), true, 9), 3);
        assert_eq!(begins(None, true, 9), 8);
        assert_eq!(begins(None, false, 9), 9);
        assert_eq!(begins(None, true, 0), 0);
    }
}
