use headstart_protocol::{
    channel::{Down, MessageError, Up},
    limits::MAX_SUBSCRIBER_MESSAGE_BYTES,
    presence::Transport,
    topic::TopicName,
};
use proptest::prelude::*;

use super::{
    Wire,
    codec::{HearError, Message},
    json::MESSAGE_BYTES,
};
use crate::topic::{
    batch::Batch,
    catch_up::{Missed, Opening},
    history::Replay,
    update::{EventJson, Update, tests::update},
};

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

/// Returns what a stream is written, as one text.
fn frames(messages: &[Message]) -> String {
    let bytes = messages.iter().map(|message| match message {
        Message::Bytes(bytes) => bytes.as_slice(),
        Message::Text(text) => panic!("a stream is written bytes, not {text}"),
    });
    String::from_utf8(bytes.collect::<Vec<_>>().concat()).unwrap()
}

/// Returns what a WebSocket is sent, as texts.
fn texts(messages: Vec<Message>) -> Vec<String> {
    let texts = messages.into_iter().map(|message| match message {
        Message::Text(text) => text,
        Message::Bytes(_) => panic!("messages are text"),
    });
    texts.collect()
}

fn hear(text: &str) -> Result<Vec<Up>, HearError> {
    Wire::Json.codec().hear(&Message::Text(text.to_owned()))
}

#[test]
fn each_frame_holds_the_cursor_after_it() {
    let (a, b) = (topic("a"), topic("b"));
    let updates = [update(5), update(6)];
    let batch = Batch {
        topic: &a,
        gap: Some((2, 5)),
        updates: &updates,
        delivered_at_ms: 9,
    };
    let event = |n: u64| updates[usize::try_from(n).unwrap() - 5].event.delivered(9);
    let sse = |at: &[(&TopicName, u64)]| frames(&Wire::Sse.codec().encode(&batch, at));
    assert_eq!(
        sse(&[(&b, 7), (&a, 2)]),
        format!(
            "event: gap\nid: b=7,a=4\ndata: {{\"topic\":\"a\",\"after\":2,\"first\":5}}\n\n\
             event: update\nid: b=7,a=5\ndata: {}\n\n\
             event: update\nid: b=7,a=6\ndata: {}\n\n",
            event(5),
            event(6)
        )
    );
    assert!(sse(&[(&a, 2)]).contains("\nid: 6\n"));
    assert_eq!(
        texts(Wire::Json.codec().encode(&batch, &[])),
        [
            r#"{"gap":{"topic":"a","after":2,"first":5}}"#.to_owned(),
            format!(r#"{{"updates":[{},{}]}}"#, event(5), event(6)),
        ]
    );
}

fn missed(name: &str, replay: Replay) -> Missed {
    Missed::of(topic(name), replay)
}

fn opened(missed: &[Missed]) -> (String, Vec<String>) {
    let opening = Opening {
        missed,
        id: "root.x",
        now_ms: 17,
        jitter: 0.0,
    };
    let [stream, messages] = [Wire::Sse, Wire::Json].map(|wire| wire.codec().open(&opening));
    (frames(&stream), texts(messages))
}

#[test]
fn a_subscriber_that_missed_nothing_is_welcomed_where_it_was() {
    let (frames, messages) = opened(&[missed("a", Replay::at_head(2))]);
    assert_eq!(
        frames,
        "retry: 1000\nevent: welcome\nid: 2\ndata: {\"subscriber\":\"root.x\",\"topics\":{\"a\":2}}\n\n"
    );
    assert_eq!(
        messages,
        [r#"{"welcome":{"subscriber":"root.x","topics":{"a":2}}}"#]
    );
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
        frames.ends_with("event: gap\nid: 4\ndata: {\"topic\":\"a\",\"after\":2,\"first\":5}\n\n"),
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

#[test]
fn presence_shows_who_is_connected_how() {
    let shown = [Wire::Sse, Wire::Json].map(|wire| wire.codec().transport());
    assert_eq!(shown, [Transport::Sse, Transport::Ws]);
}

#[test]
fn a_stream_has_no_way_to_say_something_to_one_alone_nor_to_hear_it() {
    let stream = Wire::Sse.codec();
    assert!(stream.say(&Down::Ping { n: 7 }).is_empty());
    let pong = Message::Text(r#"{"pong":{"n":7}}"#.to_owned());
    assert_eq!(stream.hear(&pong), Ok(vec![]));
    assert_eq!(
        texts(Wire::Json.codec().say(&Down::Ping { n: 7 })),
        [r#"{"ping":{"n":7}}"#]
    );
    assert_eq!(Wire::Json.codec().hear(&pong), Ok(vec![Up::Pong { n: 7 }]));
}

#[test]
fn what_is_no_message_of_the_channel_is_refused() {
    let bytes = Message::Bytes(br#"{"pong":{"n":7}}"#.to_vec());
    let refused = Wire::Json.codec().hear(&bytes).unwrap_err();
    assert_eq!(refused.to_string(), "messages are JSON text");
    assert!(matches!(
        hear("{}"),
        Err(HearError::Message(MessageError::Malformed { .. }))
    ));
    let eventless =
        r#"{"publish":{"event":{"specversion":"1.0","id":"","source":"/s","type":"t"}}}"#;
    assert!(matches!(
        hear(eventless),
        Err(HearError::Message(MessageError::Event(_)))
    ));
}

#[test]
fn a_message_is_as_long_as_the_limit_at_most() {
    let pong = r#"{"pong":{"n":7}}"#;
    let padded = |bytes: usize| format!("{pong}{}", " ".repeat(bytes - pong.len()));
    assert!(hear(&padded(MAX_SUBSCRIBER_MESSAGE_BYTES)).is_ok());
    assert_eq!(
        hear(&padded(MAX_SUBSCRIBER_MESSAGE_BYTES + 1)),
        Err(HearError::TooLarge)
    );
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
                Update { sequence, event: EventJson::read(text).unwrap() }
            })
            .collect();
        let batch = Batch { topic: &topic("a"), gap: None, updates: &updates, delivered_at_ms: 1 };
        let mut ids = Vec::new();
        for message in texts(Wire::Json.codec().encode(&batch, &[])) {
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
