//! Who gets what bytes: connections grouped by their topics and their wire, because the cursor in a
//! stream's frames names all of its topics. A batch is encoded once for each group, and once for all
//! groups of a wire whose messages hold no cursor.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
};

use headstart_protocol::topic::TopicName;

use crate::topic::{
    batch::Batch,
    digest::half_digest,
    wires::{Wire, codec::Message},
};

/// Names a group: the digest of its topics and its wire, the same in every object and after every
/// eviction, so a hibernating WebSocket can be tagged with it (a tag has at most 256 characters).
pub type GroupKey = String;

/// What is written to every connection of some groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The wire of the groups.
    pub wire: Wire,
    /// The groups.
    pub groups: Vec<GroupKey>,
    /// What is written.
    pub messages: Vec<Message>,
}

#[derive(Debug)]
struct Group {
    topics: Vec<TopicName>,
    wire: Wire,
    connections: u32,
}

/// The groups of one object.
#[derive(Debug, Default)]
pub struct TopicGroups {
    groups: BTreeMap<GroupKey, Group>,
    of_topic: BTreeMap<TopicName, BTreeSet<GroupKey>>,
}

impl TopicGroups {
    /// Adds a connection with these topics, in this order. Returns its group.
    pub fn join(&mut self, topics: &[TopicName], wire: Wire) -> GroupKey {
        let key = group_key(topics, wire);
        let group = self.groups.entry(key.clone()).or_insert_with(|| {
            for topic in topics {
                let groups = self.of_topic.entry(topic.clone()).or_default();
                groups.insert(key.clone());
            }
            Group {
                topics: topics.to_vec(),
                wire,
                connections: 0,
            }
        });
        group.connections += 1;
        key
    }

    /// Removes a connection of this group. Returns the topics that nobody is left for.
    pub fn leave(&mut self, key: &str) -> Vec<TopicName> {
        let Some(group) = self.groups.get_mut(key) else {
            return vec![];
        };
        group.connections = group.connections.saturating_sub(1);
        if group.connections > 0 {
            return vec![];
        }
        let topics = std::mem::take(&mut group.topics);
        self.groups.remove(key);
        topics
            .into_iter()
            .filter(|topic| {
                let Some(groups) = self.of_topic.get_mut(topic) else {
                    return false;
                };
                groups.remove(key);
                let empty = groups.is_empty();
                if empty {
                    self.of_topic.remove(topic);
                }
                empty
            })
            .collect()
    }

    /// Returns how many connections have this topic.
    #[must_use]
    pub fn subscribers(&self, topic: &TopicName) -> u32 {
        self.groups_of(topic)
            .map(|(_, group)| group.connections)
            .sum()
    }

    /// Returns every topic that somebody is there for.
    pub fn topics(&self) -> impl Iterator<Item = &TopicName> {
        self.of_topic.keys()
    }

    /// Encodes a batch for everyone who has its topic. All of them are at their other topics' `head`.
    #[must_use]
    pub fn encode(&self, batch: &Batch<'_>, head: impl Fn(&TopicName) -> u64) -> Vec<Encoded> {
        let mut encoded: Vec<Encoded> = Vec::new();
        for (key, group) in self.groups_of(batch.topic) {
            let codec = group.wire.codec();
            let same = encoded.iter_mut().find(|same| same.wire == group.wire);
            if let Some(same) = same.filter(|_| !codec.tells_cursors()) {
                same.groups.push(key.clone());
                continue;
            }
            let topics = group.topics.iter();
            let at: Vec<_> = topics.map(|topic| (topic, head(topic))).collect();
            encoded.push(Encoded {
                wire: group.wire,
                groups: vec![key.clone()],
                messages: codec.encode(batch, &at),
            });
        }
        encoded
    }

    fn groups_of(&self, topic: &TopicName) -> impl Iterator<Item = (&GroupKey, &Group)> {
        self.of_topic
            .get(topic)
            .into_iter()
            .flatten()
            .filter_map(|key| Some((key, self.groups.get(key)?)))
    }
}

/// Returns the group of connections with these topics, in this order, over this wire.
#[must_use]
pub fn group_key(topics: &[TopicName], wire: Wire) -> GroupKey {
    let topics = topics.iter().map(TopicName::as_str);
    let digest = half_digest(iter::once(wire.codec().name()).chain(topics));
    format!("{:032x}", u128::from_be_bytes(digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::update::tests::update;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn topics(names: &[&str]) -> Vec<TopicName> {
        names.iter().map(|name| topic(name)).collect()
    }

    #[test]
    fn a_batch_is_encoded_once_for_each_group_that_has_the_topic() {
        let mut groups = TopicGroups::default();
        let stream = groups.join(&topics(&["a"]), Wire::Sse);
        assert_eq!(groups.join(&topics(&["a"]), Wire::Sse), stream);
        let streams = groups.join(&topics(&["b", "a"]), Wire::Sse);
        let other = groups.join(&topics(&["b"]), Wire::Sse);
        assert_eq!(groups.subscribers(&topic("a")), 3);

        let ((a, b), updates) = ((topic("a"), topic("b")), [update(8)]);
        let batch = Batch {
            topic: &a,
            gap: None,
            updates: &updates,
            delivered_at_ms: 0,
        };
        let encoded = groups.encode(&batch, |topic| if *topic == b { 5 } else { 8 });
        let of = |key: &String| {
            encoded
                .iter()
                .find(|encoded| encoded.groups == [key.clone()])
        };
        let codec = Wire::Sse.codec();
        assert_eq!(encoded.len(), 2);
        assert_eq!(
            of(&stream).unwrap().messages,
            codec.encode(&batch, &[(&a, 7)])
        );
        assert_eq!(
            of(&streams).unwrap().messages,
            codec.encode(&batch, &[(&b, 5), (&a, 7)])
        );
        assert_eq!(of(&other), None);
    }

    #[test]
    fn what_holds_no_cursor_is_encoded_once_for_all_groups_of_its_wire() {
        let mut groups = TopicGroups::default();
        let stream = groups.join(&topics(&["a"]), Wire::Sse);
        let mut sockets = vec![
            groups.join(&topics(&["a"]), Wire::Json),
            groups.join(&topics(&["b", "a"]), Wire::Json),
        ];
        let other = groups.join(&topics(&["b"]), Wire::Json);
        assert_eq!(groups.subscribers(&topic("a")), 3);

        let (a, updates) = (topic("a"), [update(1)]);
        let batch = Batch {
            topic: &a,
            gap: None,
            updates: &updates,
            delivered_at_ms: 0,
        };
        let mut encoded = groups.encode(&batch, |_| 1);
        encoded.sort_by_key(|encoded| encoded.wire == Wire::Json);
        let [of_stream, of_sockets] = encoded.try_into().unwrap();
        assert_eq!(
            (of_stream.wire, of_stream.groups),
            (Wire::Sse, vec![stream])
        );
        sockets.sort();
        assert_eq!(
            (of_sockets.wire, &of_sockets.groups),
            (Wire::Json, &sockets)
        );
        assert_eq!(of_sockets.messages, Wire::Json.codec().encode(&batch, &[]));
        assert!(!of_sockets.groups.contains(&other));
    }

    #[test]
    fn the_last_to_leave_is_told_of_and_strangers_change_nothing() {
        let mut groups = TopicGroups::default();
        let both = groups.join(&topics(&["a", "b"]), Wire::Sse);
        let alone = groups.join(&topics(&["b"]), Wire::Json);
        assert!(groups.leave("nobody").is_empty());
        assert_eq!(groups.leave(&both), topics(&["a"]));
        assert_eq!(groups.topics().collect::<Vec<_>>(), [&topic("b")]);
        assert_eq!(groups.leave(&alone), topics(&["b"]));
        assert!(groups.leave(&alone).is_empty());
    }

    #[test]
    fn other_topics_and_other_wires_share_no_key() {
        let key = |names: &[&str]| group_key(&topics(names), Wire::Json);
        assert_eq!(key(&["a"]).len(), 32);
        assert_ne!(key(&["a", "b"]), key(&["b", "a"]));
        assert_ne!(key(&["a", "b"]), key(&["ab"]));
        assert_ne!(key(&["a"]), group_key(&topics(&["a"]), Wire::Sse));
    }
}
