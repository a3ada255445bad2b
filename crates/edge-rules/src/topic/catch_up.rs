//! What a subscriber is told first: who it is, and what it missed.

use headstart_protocol::{channel::Welcome, topic::TopicName};

use crate::topic::{batch::Batch, history::Replay};

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
    /// Takes what one replay says, whole.
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
