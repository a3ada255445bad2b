//! How a settlement is told to whoever waits: as the frame of a stream, or a WebSocket's message. Both
//! carry the whole event, with the time of this delivery stamped into it.

use headstart_protocol::{settlement::Settlement, sse::Frame, stamps::Point, ticket::Ticket};

/// Returns the message of a WebSocket: the event in JSON.
pub fn message(settlement: &Settlement, ticket: &Ticket, now_ms: u64) -> String {
    let mut event = settlement.to_event(ticket);
    settlement
        .stamps
        .with(Point::Delivered, now_ms)
        .write_to(&mut event);
    event.to_json()
}

/// Returns the frame of a stream: the event in JSON under the settlement's name, and its id.
pub fn frame(settlement: &Settlement, ticket: &Ticket, now_ms: u64) -> Vec<u8> {
    Frame {
        event: Some(settlement.sse_name()),
        id: Some(&settlement.event_id),
        data: Some(&message(settlement, ticket, now_ms)),
    }
    .encode()
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{
        event::Event,
        keys::Key,
        settlement::{Attributes, Content, Outcome},
        stamps::Stamps,
    };

    use super::*;

    fn ticket() -> Ticket {
        let key = Key::from_bytes(&[1; 32]).unwrap();
        Ticket::mint(1_700_000_000_000, 0, [7; 8], &key)
    }

    fn settlement() -> Settlement {
        Settlement {
            event_id: "e1".to_owned(),
            source: "/origin".to_owned(),
            attributes: Attributes::default(),
            stamps: Stamps::default().with(Point::Received, 17),
            outcome: Outcome::Ready {
                media_type: "text/plain".to_owned(),
                content: Content::Inline(b"two\nlines".to_vec()),
            },
        }
    }

    #[test]
    fn a_message_is_the_event_with_the_time_of_delivery() {
        let json = message(&settlement(), &ticket(), 42);
        let event = Event::from_json(json.as_bytes()).unwrap();
        let stamps = Stamps::of_event(&event);
        assert_eq!(stamps.get(Point::Delivered), Some(42));
        assert_eq!(stamps.get(Point::Received), Some(17));
        assert_eq!(Settlement::of_event(event).unwrap().0, ticket().as_str());
    }

    #[test]
    fn a_frame_has_the_name_and_the_id_of_the_settlement() {
        let text = String::from_utf8(frame(&settlement(), &ticket(), 42)).unwrap();
        assert!(text.starts_with("event: offer\nid: e1\ndata: {"), "{text}");
        assert!(text.ends_with("}\n\n"), "{text}");
    }
}
