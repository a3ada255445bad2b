//! Server-Sent Events, whose frames hold the cursor of all topics of a stream. Nothing is heard from the
//! client: what it says of itself comes by requests of their own.

use headstart_protocol::{
    cursor::Cursors,
    presence::Transport,
    sse::{self, Frame},
    topic::TopicName,
};
use serde::Serialize;

use crate::topic::{
    batch::Batch,
    catch_up::Opening,
    wires::codec::{Codec, Message},
};

/// The wire of `GET /topics/{topic}/events`.
#[derive(Debug)]
pub struct Sse;

impl Codec for Sse {
    fn name(&self) -> &'static str {
        "sse"
    }

    fn transport(&self) -> Transport {
        Transport::Sse
    }

    fn is_socket(&self) -> bool {
        false
    }

    fn tells_cursors(&self) -> bool {
        true
    }

    /// One buffer for all frames. Each frame's id is the cursor after it: the batch's topic where the
    /// frame brings it, the others where `at` says.
    fn encode(&self, batch: &Batch<'_>, at: &[(&TopicName, u64)]) -> Vec<Message> {
        let mut at = at.to_vec();
        let mut out = Vec::new();
        let mut push = |sequence, event, data: &str| {
            for (topic, cursor) in &mut at {
                if *topic == batch.topic {
                    *cursor = sequence;
                }
            }
            out.extend(frame(event, &at, data));
        };
        if let Some(gap) = batch.told_gap() {
            push(gap.first.saturating_sub(1), "gap", &json(&gap));
        }
        for update in batch.updates {
            let data = update.event.delivered(batch.delivered_at_ms);
            push(update.sequence, "update", &data);
        }
        if out.is_empty() {
            return vec![];
        }
        vec![Message::Bytes(out)]
    }

    /// Returns the welcome. Its id is where the client began: a stream that breaks before what was missed has
    /// all arrived is resumed from there.
    fn welcome(&self, opening: &Opening<'_>) -> Vec<Message> {
        let missed = opening.missed.iter();
        let at: Vec<(&TopicName, u64)> =
            missed.map(|missed| (&missed.topic, missed.after)).collect();
        let mut bytes = sse::opening(opening.jitter);
        bytes.extend(frame("welcome", &at, &json(&opening.welcome())));
        vec![Message::Bytes(bytes)]
    }
}

fn frame(event: &str, at: &[(&TopicName, u64)], data: &str) -> Vec<u8> {
    Frame {
        event: Some(event),
        id: Some(&Cursors::encode(at)),
        data: Some(data),
    }
    .encode()
}

fn json<T: Serialize>(value: &T) -> String {
    // Names and numbers have a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}
