//! What a subscriber is told first: who it is, and what it missed.

use headstart_protocol::{
    channel::{Down, Welcome},
    cursor::Cursors,
    sse::Frame,
    topic::TopicName,
};
use serde::{Deserialize, Serialize};

use crate::topic::{groups::Batch, history::Replay};

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
    /// What one replay says, whole.
    pub fn of(topic: TopicName, replay: Replay) -> Self {
        Self {
            topic,
            after: replay.after,
            head: replay.head,
            parts: vec![replay],
        }
    }

    fn flushes(&self, delivered_at_ms: u64) -> impl Iterator<Item = Batch<'_>> {
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
}

impl Opening<'_> {
    /// The frames that a stream begins with, after `retry`. The welcome's id is where the client began:
    /// a stream that breaks before what was missed has all arrived is resumed from there.
    pub fn frames(&self, retry: &[u8]) -> Vec<u8> {
        let missed = self.missed.iter();
        let mut at: Vec<(&TopicName, u64)> =
            missed.map(|missed| (&missed.topic, missed.after)).collect();
        let welcome = Frame {
            event: Some("welcome"),
            id: Some(&Cursors::encode(&at)),
            // Names and numbers have a JSON form.
            data: Some(&serde_json::to_string(&self.welcome()).unwrap_or_default()),
        };
        let mut bytes = retry.to_vec();
        bytes.extend(welcome.encode());
        for (index, missed) in self.missed.iter().enumerate() {
            for flush in missed.flushes(self.now_ms) {
                bytes.extend(flush.sse(&at));
            }
            if let Some((_, sequence)) = at.get_mut(index) {
                *sequence = missed.head;
            }
        }
        bytes
    }

    /// The messages that a WebSocket begins with.
    pub fn messages(&self) -> Vec<String> {
        let mut messages = vec![Down::Welcome(self.welcome()).to_json()];
        for missed in self.missed {
            messages.extend(
                missed
                    .flushes(self.now_ms)
                    .flat_map(|flush| flush.messages()),
            );
        }
        messages
    }

    fn welcome(&self) -> Welcome {
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
    use crate::topic::update::tests::update;

    fn missed(name: &str, replay: Replay) -> Missed {
        Missed::of(TopicName::parse(name).unwrap(), replay)
    }

    fn opened(missed: &[Missed]) -> (String, Vec<String>) {
        let opening = Opening {
            missed,
            id: "root.x",
            now_ms: 17,
        };
        let frames = String::from_utf8(opening.frames(b"retry: 1000\n")).unwrap();
        (frames, opening.messages())
    }

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

    #[test]
    fn a_subscriber_that_missed_nothing_is_welcomed_where_it_was() {
        let (frames, messages) = opened(&[missed("a", Replay::at_head(2))]);
        assert_eq!(
            frames,
            "retry: 1000\nevent: welcome\nid: 2\ndata: {\"subscriber\":\"root.x\",\"topics\":{\"a\":2}}\n\n"
        );
        assert_eq!(messages.len(), 1);
    }

    #[test]
    fn a_gap_is_told_before_what_is_left() {
        let (frames, messages) = opened(&[missed(
            "a",
            Replay {
                after: 2,
                gap: Some(5),
                ..Replay::at_head(4)
            },
        )]);
        assert!(
            frames.ends_with(
                "event: gap\nid: 4\ndata: {\"topic\":\"a\",\"after\":2,\"first\":5}\n\n"
            ),
            "{frames}"
        );
        assert_eq!(messages[1], r#"{"gap":{"topic":"a","after":2,"first":5}}"#);
    }

    #[test]
    fn a_stream_that_breaks_on_the_way_is_resumed_where_it_broke() {
        let replay = |sequence| Replay {
            after: sequence - 1,
            updates: vec![update(sequence)],
            ..Replay::at_head(sequence)
        };
        let (frames, messages) = opened(&[missed("a", replay(5)), missed("b", replay(8))]);
        let ids: Vec<&str> = frames
            .lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .collect();
        assert_eq!(ids, ["a=4,b=7", "a=5,b=7", "a=5,b=8"]);
        assert_eq!(messages.len(), 3);
    }
}
