//! What subscribers of one topic are told together.

use headstart_protocol::{channel::Gap, topic::TopicName};

use crate::topic::update::Update;

/// What is handed to subscribers of one topic at one time: at first a gap, if there is one, then the
/// updates.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// The topic.
    pub topic: &'a TopicName,
    /// Some updates are lost: the sequence they were after, and the first that is left.
    pub gap: Option<(u64, u64)>,
    /// The updates, oldest first.
    pub updates: &'a [Update],
    /// Now, by the edge's clock, in milliseconds since the Unix epoch.
    pub delivered_at_ms: u64,
}

impl Batch<'_> {
    /// Returns the gap as subscribers are told of it.
    #[must_use]
    pub fn told_gap(&self) -> Option<Gap> {
        let (after, first) = self.gap?;
        Some(Gap {
            topic: self.topic.clone(),
            after,
            first,
        })
    }
}
