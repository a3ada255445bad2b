//! Who gets what bytes: subscribers grouped by the list of topics on their connection, because the
//! cursor in a stream's frames names all of them. A flush is written once for each group, and once for
//! all WebSockets, whose messages hold no cursor.

use std::collections::{BTreeMap, BTreeSet};

use headstart_protocol::{
    channel::{Down, Gap, updates_message},
    cursor::Cursors,
    presence::Transport,
    sse::Frame,
    topic::TopicName,
};

use crate::topic::{digest::half_digest, update::Update};

/// How long a WebSocket message gets before another one is begun, in bytes. Our own: browsers and
/// libraries commonly take 1 MiB, and one update has at most 64 KiB.
pub const MESSAGE_BYTES: usize = 512 * 1024;

/// Names a group: the digest of its topics, the same in every object and after every eviction, so a
/// hibernating WebSocket can be tagged with it (a tag has at most 256 characters).
pub type GroupKey = String;

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
    /// The frames of a stream with the topics of `at`, in that order, one buffer for all. Each frame's
    /// id is the cursor after it: this flush's topic where the frame brings it, the others where
    /// `at` says.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    #[must_use]
    pub fn sse(&self, at: &[(&TopicName, u64)]) -> Vec<u8> {
        let mut at = at.to_vec();
        let mut out = Vec::new();
        let mut push = |sequence, event, data: &str| {
            for (topic, cursor) in &mut at {
                if *topic == self.topic {
                    *cursor = sequence;
                }
            }
            let frame = Frame {
                event: Some(event),
                id: Some(&Cursors::encode(&at)),
                data: Some(data),
            };
            out.extend(frame.encode());
        };
        if let Some(gap) = self.told_gap() {
            let data = serde_json::to_string(&gap).expect("a gap has a JSON form");
            push(gap.first.saturating_sub(1), "gap", &data);
        }
        for update in self.updates {
            let data = update.event.delivered(self.delivered_at_ms);
            push(update.sequence, "update", &data);
        }
        out
    }

    /// The messages for WebSockets: the gap, and the updates in as few as [`MESSAGE_BYTES`] allows.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        let mut messages: Vec<String> = self
            .told_gap()
            .map(|gap| Down::Gap(gap).to_json())
            .into_iter()
            .collect();
        let mut gathered: Vec<String> = Vec::new();
        let mut bytes = 0;
        for update in self.updates {
            let event = update.event.delivered(self.delivered_at_ms);
            if !gathered.is_empty() && bytes + event.len() > MESSAGE_BYTES {
                messages.push(updates_message(gathered.iter().map(String::as_str)));
                gathered.clear();
                bytes = 0;
            }
            bytes += event.len();
            gathered.push(event);
        }
        if !gathered.is_empty() {
            messages.push(updates_message(gathered.iter().map(String::as_str)));
        }
        messages
    }

    fn told_gap(&self) -> Option<Gap> {
        let (after, first) = self.gap?;
        Some(Gap {
            topic: self.topic.clone(),
            after,
            first,
        })
    }
}

/// A flush, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// For every stream of a group, its bytes.
    pub streams: Vec<(GroupKey, Vec<u8>)>,
    /// The groups whose WebSockets get `messages`.
    pub sockets: Vec<GroupKey>,
    /// The messages; empty where there is no WebSocket.
    pub messages: Vec<String>,
}

#[derive(Debug, Default)]
struct Group {
    topics: Vec<TopicName>,
    streams: u32,
    sockets: u32,
}

impl Group {
    fn count(&mut self, transport: Transport) -> &mut u32 {
        match transport {
            Transport::Sse => &mut self.streams,
            Transport::Ws => &mut self.sockets,
        }
    }
}

/// The groups of one object.
#[derive(Debug, Default)]
pub struct TopicGroups {
    groups: BTreeMap<GroupKey, Group>,
    of_topic: BTreeMap<TopicName, BTreeSet<GroupKey>>,
}

impl TopicGroups {
    /// A connection with these topics, in this order, is open. Gives its group.
    pub fn join(&mut self, topics: &[TopicName], transport: Transport) -> GroupKey {
        let key = group_key(topics);
        let group = self.groups.entry(key.clone()).or_default();
        if group.topics.is_empty() {
            group.topics = topics.to_vec();
            for topic in topics {
                let groups = self.of_topic.entry(topic.clone()).or_default();
                groups.insert(key.clone());
            }
        }
        *group.count(transport) += 1;
        key
    }

    /// A connection of this group is closed. Gives the topics that nobody is left for.
    pub fn leave(&mut self, key: &str, transport: Transport) -> Vec<TopicName> {
        let Some(group) = self.groups.get_mut(key) else {
            return vec![];
        };
        let count = group.count(transport);
        *count = count.saturating_sub(1);
        if group.streams + group.sockets > 0 {
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

    /// How many connections have this topic.
    #[must_use]
    pub fn subscribers(&self, topic: &TopicName) -> u32 {
        self.groups_of(topic)
            .map(|(_, group)| group.streams + group.sockets)
            .sum()
    }

    /// Every topic that somebody is there for.
    pub fn topics(&self) -> impl Iterator<Item = &TopicName> {
        self.of_topic.keys()
    }

    /// Writes a flush for everyone who has its topic. All of them are at their other topics' `head`.
    #[must_use]
    pub fn encode(&self, flush: &Batch<'_>, head: impl Fn(&TopicName) -> u64) -> Encoded {
        let mut encoded = Encoded {
            streams: vec![],
            sockets: vec![],
            messages: vec![],
        };
        for (key, group) in self.groups_of(flush.topic) {
            if group.streams > 0 {
                let at: Vec<(&TopicName, u64)> = group
                    .topics
                    .iter()
                    .map(|topic| (topic, head(topic)))
                    .collect();
                encoded.streams.push((key.clone(), flush.sse(&at)));
            }
            if group.sockets > 0 {
                encoded.sockets.push(key.clone());
            }
        }
        if !encoded.sockets.is_empty() {
            encoded.messages = flush.messages();
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

/// The group of connections with these topics, in this order.
#[must_use]
pub fn group_key(topics: &[TopicName]) -> GroupKey {
    let digest = half_digest(topics.iter().map(TopicName::as_str));
    format!("{:032x}", u128::from_be_bytes(digest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::update::tests::update;

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn topics(names: &[&str]) -> Vec<TopicName> {
        names.iter().map(|name| topic(name)).collect()
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn each_frame_holds_the_cursor_after_it() {
        let (a, b) = (topic("a"), topic("b"));
        let updates = [update(5), update(6)];
        let flush = Batch {
            topic: &a,
            gap: Some((2, 5)),
            updates: &updates,
            delivered_at_ms: 9,
        };
        let event = |n: u64| updates[usize::try_from(n).unwrap() - 5].event.delivered(9);
        assert_eq!(
            text(&flush.sse(&[(&b, 7), (&a, 2)])),
            format!(
                "event: gap\nid: b=7,a=4\ndata: {{\"topic\":\"a\",\"after\":2,\"first\":5}}\n\n\
                 event: update\nid: b=7,a=5\ndata: {}\n\n\
                 event: update\nid: b=7,a=6\ndata: {}\n\n",
                event(5),
                event(6)
            )
        );
        assert!(text(&flush.sse(&[(&a, 2)])).contains("\nid: 6\n"));
        assert_eq!(
            flush.messages(),
            [
                r#"{"gap":{"topic":"a","after":2,"first":5}}"#.to_owned(),
                format!(r#"{{"updates":[{},{}]}}"#, event(5), event(6)),
            ]
        );
    }

    #[test]
    fn a_flush_is_written_once_for_each_group_that_has_the_topic() {
        let mut groups = TopicGroups::default();
        let alone = groups.join(&topics(&["a"]), Transport::Sse);
        assert_eq!(groups.join(&topics(&["a"]), Transport::Ws), alone);
        let both = groups.join(&topics(&["b", "a"]), Transport::Ws);
        let other = groups.join(&topics(&["b"]), Transport::Sse);
        assert_eq!(groups.subscribers(&topic("a")), 3);

        let (a, updates) = (topic("a"), [update(1)]);
        let flush = Batch {
            topic: &a,
            gap: None,
            updates: &updates,
            delivered_at_ms: 0,
        };
        let encoded = groups.encode(&flush, |_| 1);
        assert_eq!(encoded.streams, [(alone.clone(), flush.sse(&[(&a, 0)]))]);
        let mut sockets = vec![alone, both];
        sockets.sort();
        assert_eq!(encoded.sockets, sockets);
        assert_eq!(encoded.messages, flush.messages());
        assert!(!encoded.sockets.contains(&other));
    }

    #[test]
    fn the_last_to_leave_is_told_of_and_strangers_change_nothing() {
        let mut groups = TopicGroups::default();
        let both = groups.join(&topics(&["a", "b"]), Transport::Sse);
        let alone = groups.join(&topics(&["b"]), Transport::Ws);
        assert!(groups.leave("nobody", Transport::Sse).is_empty());
        assert_eq!(groups.leave(&both, Transport::Sse), topics(&["a"]));
        assert_eq!(groups.topics().collect::<Vec<_>>(), [&topic("b")]);
        assert_eq!(groups.leave(&alone, Transport::Ws), topics(&["b"]));
        assert!(groups.leave(&alone, Transport::Ws).is_empty());
    }

    #[test]
    fn lists_of_topics_share_no_key() {
        assert_eq!(group_key(&topics(&["a"])).len(), 32);
        assert_ne!(
            group_key(&topics(&["a", "b"])),
            group_key(&topics(&["b", "a"]))
        );
        assert_ne!(group_key(&topics(&["a", "b"])), group_key(&topics(&["ab"])));
    }

    proptest! {
        #[test]
        fn every_update_is_in_one_message_and_no_message_is_too_long(
            sizes in prop::collection::vec(1_usize..200_000, 0..12),
        ) {
            let updates: Vec<Update> = sizes
                .iter()
                .zip(1..)
                .map(|(size, sequence)| {
                    let text = format!(r#"{{"specversion":"1.0","id":"{sequence}","source":"s","type":"t","data":"{}"}}"#, "x".repeat(*size));
                    Update { sequence, event: super::super::update::EventJson::read(text).unwrap() }
                })
                .collect();
            let flush = Batch { topic: &topic("a"), gap: None, updates: &updates, delivered_at_ms: 1 };
            let mut ids = Vec::new();
            for message in flush.messages() {
                prop_assert!(message.len() <= MESSAGE_BYTES + 100);
                let Ok(Some(Down::Updates(events))) = Down::from_json(&message) else {
                    panic!("it holds updates")
                };
                ids.extend(events.into_iter().map(|event| event.id));
            }
            let all: Vec<String> = updates.iter().map(|update| update.sequence.to_string()).collect();
            prop_assert_eq!(ids, all);
        }
    }
}
