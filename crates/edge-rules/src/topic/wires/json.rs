//! JSON over a WebSocket, by the messages of the channel (`headstart_protocol::channel`). They hold no
//! cursor, so they are the same for all clients that have the topic.

use headstart_protocol::{
    channel::{Down, Up, updates_message},
    limits::MAX_SUBSCRIBER_MESSAGE_BYTES,
    presence::Transport,
    topic::TopicName,
};

use crate::topic::{
    batch::Batch,
    catch_up::Opening,
    wires::codec::{Codec, HearError, Message},
};

/// How long a message of updates gets before another one is begun, in bytes. Our own: browsers and
/// libraries commonly take 1 MiB, and one update has at most 64 KiB.
pub const MESSAGE_BYTES: usize = 512 * 1024;

/// The wire of `GET /topics/{topic}/ws`.
#[derive(Debug)]
pub struct Json;

impl Codec for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn transport(&self) -> Transport {
        Transport::Ws
    }

    fn is_socket(&self) -> bool {
        true
    }

    fn tells_cursors(&self) -> bool {
        false
    }

    /// Returns the gap, and the updates in as few messages as [`MESSAGE_BYTES`] allows.
    fn encode(&self, batch: &Batch<'_>, _at: &[(&TopicName, u64)]) -> Vec<Message> {
        let gap = batch.told_gap().map(|gap| text(&Down::Gap(gap)));
        let mut messages: Vec<Message> = gap.into_iter().collect();
        let mut gathered: Vec<String> = Vec::new();
        let mut bytes = 0;
        for update in batch.updates {
            let event = update.event.delivered(batch.delivered_at_ms);
            if !gathered.is_empty() && bytes + event.len() > MESSAGE_BYTES {
                messages.push(updates(&gathered));
                gathered.clear();
                bytes = 0;
            }
            bytes += event.len();
            gathered.push(event);
        }
        if !gathered.is_empty() {
            messages.push(updates(&gathered));
        }
        messages
    }

    fn welcome(&self, opening: &Opening<'_>) -> Vec<Message> {
        vec![text(&Down::Welcome(opening.welcome()))]
    }

    fn say(&self, down: &Down) -> Vec<Message> {
        vec![text(down)]
    }

    fn hear(&self, message: &Message) -> Result<Vec<Up>, HearError> {
        let Message::Text(text) = message else {
            return Err(HearError::Kind("JSON text"));
        };
        if text.len() > MAX_SUBSCRIBER_MESSAGE_BYTES {
            return Err(HearError::TooLarge);
        }
        Ok(vec![Up::from_json(text)?])
    }
}

fn text(down: &Down) -> Message {
    Message::Text(down.to_json())
}

fn updates(events: &[String]) -> Message {
    Message::Text(updates_message(events.iter().map(String::as_str)))
}
