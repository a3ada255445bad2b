//! What a subscriber is told first: who it is, and what it missed.

use headstart_protocol::{
    channel::{Down, Welcome},
    cursor::Cursors,
    sse::Frame,
    topic::TopicName,
};

use super::{audience::Flush, history::Replay};

/// The opening of one connection.
#[derive(Debug)]
pub struct Opening<'a> {
    /// The topic.
    pub topic: &'a TopicName,
    /// The sequence number of the last update that the subscriber has.
    pub after: u64,
    /// What came after that.
    pub missed: &'a Replay,
    /// The connection's secret id.
    pub id: &'a str,
    /// Now, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

impl Opening<'_> {
    /// The frames that a stream begins with, after `retry`. The welcome's id is where the client began:
    /// a stream that breaks before what was missed has all arrived is resumed from there.
    pub fn frames(&self, retry: &[u8]) -> Vec<u8> {
        let at = [(self.topic, self.after)];
        let welcome = Frame {
            event: Some("welcome"),
            id: Some(&Cursors::encode(&at)),
            // Names and numbers have a JSON form.
            data: Some(&serde_json::to_string(&self.welcome()).unwrap_or_default()),
            retry_ms: None,
        };
        let mut bytes = retry.to_vec();
        bytes.extend(welcome.encode());
        bytes.extend(self.missed().sse(&at));
        bytes
    }

    /// The messages that a WebSocket begins with.
    pub fn messages(&self) -> Vec<String> {
        let mut messages = vec![Down::Welcome(self.welcome()).to_json()];
        messages.extend(self.missed().messages());
        messages
    }

    fn welcome(&self) -> Welcome {
        Welcome {
            subscriber: self.id.to_owned().into(),
            topics: [(self.topic.clone(), self.missed.head)].into(),
        }
    }

    fn missed(&self) -> Flush<'_> {
        Flush {
            topic: self.topic,
            gap: self.missed.gap.map(|first| (self.after, first)),
            updates: &self.missed.updates,
            delivered_at_ms: self.now_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(missed: &Replay) -> (String, Vec<String>) {
        let topic = TopicName::parse("a").unwrap();
        let opening = Opening {
            topic: &topic,
            after: 2,
            missed,
            id: "root.x",
            now_ms: 17,
        };
        let frames = String::from_utf8(opening.frames(b"retry: 1000\n\n")).unwrap();
        (frames, opening.messages())
    }

    #[test]
    fn a_subscriber_that_missed_nothing_is_welcomed_where_it_was() {
        let (frames, messages) = opened(&Replay::at_head(2));
        assert_eq!(
            frames,
            "retry: 1000\n\nevent: welcome\nid: 2\ndata: {\"subscriber\":\"root.x\",\"topics\":{\"a\":2}}\n\n"
        );
        assert_eq!(messages.len(), 1);
    }

    #[test]
    fn a_gap_is_told_before_what_is_left() {
        let missed = Replay {
            gap: Some(5),
            ..Replay::at_head(4)
        };
        let (frames, messages) = opened(&missed);
        assert!(
            frames.ends_with(
                "event: gap\nid: 4\ndata: {\"topic\":\"a\",\"after\":2,\"first\":5}\n\n"
            ),
            "{frames}"
        );
        assert_eq!(messages[1], r#"{"gap":{"topic":"a","after":2,"first":5}}"#);
    }
}
