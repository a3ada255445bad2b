//! What the subscribers of a relay publish, on its way to the topics' roots: in the order in which it
//! came, one request at a time.

use std::collections::VecDeque;

use headstart_protocol::topic::TopicName;

/// Most updates that one request to a root holds.
pub const PUBLISH_COUNT: usize = 100;

/// The queue, of updates with whatever the shell needs to tell their publishers.
#[derive(Debug)]
pub struct PublishQueue<T> {
    waiting: VecDeque<(TopicName, T)>,
    publishing: bool,
}

impl<T> Default for PublishQueue<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            publishing: false,
        }
    }
}

impl<T> PublishQueue<T> {
    /// Adds an update. Returns whether the shell is to begin with [`PublishQueue::next_batch`], which it
    /// asks again after each request until there is none.
    #[must_use]
    pub fn push(&mut self, topic: TopicName, update: T) -> bool {
        self.waiting.push_back((topic, update));
        !std::mem::replace(&mut self.publishing, true)
    }

    /// Takes the updates of the next request: up to [`PUBLISH_COUNT`] that came one after the other for
    /// the same topic.
    pub fn next_batch(&mut self) -> Option<(TopicName, Vec<T>)> {
        let topic = self.waiting.front().map(|(topic, _)| topic.clone());
        self.publishing = topic.is_some();
        let topic = topic?;
        let same = self.waiting.iter().take(PUBLISH_COUNT);
        let count = same.take_while(|(next, _)| *next == topic).count();
        let batch = self.waiting.drain(..count).map(|(_, update)| update);
        Some((topic, batch.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    #[test]
    fn what_came_together_for_one_topic_goes_together_and_in_order() {
        let mut queue = PublishQueue::default();
        assert!(queue.push(topic("a"), 1), "the first one begins");
        assert!(!queue.push(topic("a"), 2));
        assert!(!queue.push(topic("b"), 3));
        assert!(!queue.push(topic("a"), 4));
        assert_eq!(queue.next_batch(), Some((topic("a"), vec![1, 2])));
        assert!(!queue.push(topic("a"), 5), "a request is on its way");
        assert_eq!(queue.next_batch(), Some((topic("b"), vec![3])));
        assert_eq!(queue.next_batch(), Some((topic("a"), vec![4, 5])));
        assert_eq!(queue.next_batch(), None);
        assert!(queue.push(topic("a"), 6), "it begins again");
    }

    #[test]
    fn one_request_holds_no_more_than_it_may() {
        let mut queue = PublishQueue::default();
        for update in 0..=PUBLISH_COUNT {
            let _ = queue.push(topic("a"), update);
        }
        let sizes = std::iter::from_fn(|| queue.next_batch().map(|(_, batch)| batch.len()));
        assert_eq!(sizes.collect::<Vec<_>>(), [PUBLISH_COUNT, 1]);
    }
}
