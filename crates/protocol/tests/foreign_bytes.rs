//! Whatever bytes come from outside: nothing panics, and what is accepted is what it seems to be.
//!
//! Each reader of foreign bytes is given arbitrary bytes, and valid examples with some changes, which get
//! much further into it. `PROPTEST_CASES` says how many of them each test tries (256 where it is not set);
//! `make fuzz` repeats all tests with many for a minute.

use std::ops::Range;

use headstart_protocol::{
    binary_mode,
    channel::{Down, Up},
    cursor::Cursors,
    event::Event,
    keys::{Key, KeyRing},
    kv::{OfferMetadata, TopicMetadata},
    limits::{MAX_ATTRIBUTE_BYTES, MAX_TOPIC_BYTES, MAX_USER_BYTES},
    link::{FromEdge, FromOrigin},
    login::{LoginData, LoginRequest},
    settlement::Settlement,
    signature::{ID_HEADER, SIGNATURE_HEADER, SignedHeaders, TIMESTAMP_HEADER, verify},
    stamps::Stamps,
    ticket::Ticket,
    token::{self, Claims, Pattern},
    topic::TopicName,
    update,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde::{Serialize, de::DeserializeOwned};

const NOW_MS: u64 = 1_763_700_000_000;

const EVENTS: &[&str] = &[
    r#"{"specversion":"1.0","id":"e1","source":"/o","type":"dev.headstart.offer.ready","subject":"t","loginat":"17","data":{"a":[1,2.5,null,"\u00e9"]}}"#,
    r#"{"specversion":"1.0","id":"e2","source":"/o","type":"dev.headstart.offer.failed","subject":"t","data":{"reason":"no such customer"}}"#,
    r#"{"specversion":"1.0","id":"e3","source":"/o","type":"dev.headstart.offer.ready","subject":"t","datacontenttype":"image/png","data_base64":"iVBORw0KGgo="}"#,
    r#"{"specversion":"1.0","id":"u1","source":"/o","type":"dev.headstart.update","subject":"scores/nba","sequence":"7","datacontenttype":"text/plain","data":"71:68"}"#,
    r#"{"specversion":"1.0","id":"l1","source":"/e","type":"dev.headstart.login","subject":"t","time":"2025-11-21T04:40:00Z","data":{"user":"40228","attributes":{"max_items":8},"geo":{"country":"GB"}}}"#,
];
const BATCHES: &[&str] = &[
    r#"[{"specversion":"1.0","id":"u1","source":"/o","type":"dev.headstart.update","subject":"a","data":1},{"specversion":"1.0","id":"u2","source":"/o","type":"dev.headstart.update","subject":"b"}]"#,
    "[]",
];
const UPS: &[&str] = &[
    r#"{"auth":{"token":"a.b.c"}}"#,
    r#"{"ack":{"topic":"scores/nba","sequence":42}}"#,
    r#"{"pong":{"n":3}}"#,
    r#"{"here":{"place":{"latitude":51.5,"longitude":-0.12}}}"#,
    r#"{"publish":{"event":{"specversion":"1.0","id":"p1","source":"/browser","type":"dev.headstart.update","subject":"a","data":{"x":1}}}}"#,
];
const DOWNS: &[&str] = &[
    r#"{"welcome":{"subscriber":"s","topics":{"scores/nba":42}}}"#,
    r#"{"updates":[{"specversion":"1.0","id":"u1","source":"/o","type":"dev.headstart.update","subject":"a","sequence":"1","data":1}]}"#,
    r#"{"gap":{"topic":"a","after":3,"first":9}}"#,
    r#"{"published":{"id":"p1","status":"rejected","reason":"why"}}"#,
    r#"{"problem":{"type":"urn:headstart:token-refused","title":"Token refused","status":401,"detail":"expired"}}"#,
];
const FROM_EDGE: &[&str] = &[
    r#"{"welcome":{"desk":0,"desks":4,"lease_ms":30000}}"#,
    r#"{"lease":{"lease":"x","expires_in_ms":30000,"event":{"specversion":"1.0","id":"l1","source":"/e","type":"dev.headstart.login","data":{"user":"1"}}}}"#,
];
const FROM_ORIGIN: &[&str] = &[
    r#"{"hello":{"origin":"london-1","capacity":64,"held":["a","b"]}}"#,
    r#"{"ack":{"lease":"a"}}"#,
    r#"{"release":{"lease":"a"}}"#,
    r#"{"drain":{}}"#,
];
const LOGINS: &[&str] = &[
    r#"{"user":"40228","attributes":{"max_items":8,"nested":{"a":[true,null]}}}"#,
    r#"{"user":"someone@example.com"}"#,
];
const METADATA: &[&str] = &[
    r#"{"media_type":"application/json","event_id":"e1","source":"/o","stamps":{"loginat":17,"receivedat":18}}"#,
    r#"{"sequence":7,"event_id":"e1","source":"/o","media_type":"text/plain","stamps":{}}"#,
];
const CURSORS: &[&str] = &["42", "scores/nba=42,weather=7", "a=0", ""];
const TOPICS: &[&str] = &["scores/nba", "private/desk-7/fx", "a.b_c~d", "prices/ACME"];
const PATTERNS: &[&str] = &["private/desk-7/*", "*", "scores/nba"];
const STAMPS: &[&str] = &["loginat=17, receivedat=18", "deliveredat=1763700000000"];

/// What readers like to stumble over.
const BITS: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    ".",
    "/",
    "*",
    "%",
    "%f",
    "%ff",
    "null",
    "true",
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "\\u0000",
    "\\ud800",
    "\0",
    "\r\n",
    "\u{FEFF}",
    "é",
    "😀",
    "v1,",
    "whsec_",
    "..",
    " ",
];

/// One change of a text.
#[derive(Debug, Clone)]
enum Change {
    Set(u8),
    Insert(&'static str),
    Cut,
    Repeat,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<u8>().prop_map(Change::Set),
        prop::sample::select(BITS).prop_map(Change::Insert),
        Just(Change::Cut),
        Just(Change::Repeat),
    ]
}

/// Makes one change, at a place or over a range of the bytes.
fn apply(bytes: &mut Vec<u8>, change: &Change, from: Index, to: Index) {
    let (from, to) = (from.index(bytes.len() + 1), to.index(bytes.len() + 1));
    let range: Range<usize> = from.min(to)..from.max(to);
    match change {
        Change::Set(byte) => {
            if let Some(old) = bytes.get_mut(from) {
                *old = *byte;
            }
        }
        Change::Insert(text) => drop(bytes.splice(from..from, text.bytes())),
        Change::Cut => drop(bytes.drain(range)),
        Change::Repeat => bytes.extend_from_within(range),
    }
}

/// Returns one of the examples with up to seven changes, or any bytes at all.
fn bytes_like<T: AsRef<[u8]> + Clone + std::fmt::Debug + 'static>(
    examples: impl Into<std::borrow::Cow<'static, [T]>>,
) -> impl Strategy<Value = Vec<u8>> {
    let changed = (
        prop::sample::select(examples),
        vec((change(), any::<Index>(), any::<Index>()), 0..8),
    )
        .prop_map(|(example, changes)| {
            let mut bytes = example.as_ref().to_vec();
            for (change, from, to) in &changes {
                apply(&mut bytes, change, *from, *to);
            }
            bytes
        });
    prop_oneof![1 => any::<Vec<u8>>(), 7 => changed]
}

/// Returns the same as text; what is not UTF-8 is replaced, since nothing but text reaches these readers.
fn text_like<T: AsRef<[u8]> + Clone + std::fmt::Debug + 'static>(
    examples: impl Into<std::borrow::Cow<'static, [T]>>,
) -> impl Strategy<Value = String> {
    bytes_like(examples).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn key() -> Key {
    Key::from_bytes(&[7; 32]).unwrap()
}

fn ticket() -> String {
    Ticket::mint(NOW_MS, 0, [3; 8], &key()).as_str().to_owned()
}

fn token() -> String {
    let claims: Claims = serde_json::from_str(
        r#"{"exp":1763703600,"topics":["private/*"],"publish":["private/a"]}"#,
    )
    .unwrap();
    token::mint(&claims, &key())
}

/// What is read is written and read again as the same.
fn survives<T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug>(text: &str) {
    if let Ok(read) = serde_json::from_str::<T>(text) {
        let written = serde_json::to_string(&read).unwrap();
        assert_eq!(
            serde_json::from_str::<T>(&written).unwrap(),
            read,
            "{written}"
        );
    }
}

/// What everybody may do with an event that was accepted.
fn use_event(event: Event) {
    let json = event.to_json();
    assert_eq!(
        Event::from_json(json.as_bytes()).as_ref(),
        Ok(&event),
        "{json}"
    );
    for (name, value) in event.attributes() {
        assert!(
            value.len() <= MAX_ATTRIBUTE_BYTES && !value.contains(['\r', '\n', '\0']),
            "{name}"
        );
    }
    let _ = (Stamps::of_event(&event), LoginData::of_event(&event));
    if update::check(&event).is_ok() {
        let mut numbered = event.clone();
        update::number(&mut numbered, 1, NOW_MS);
        assert_eq!(update::sequence_of(&numbered), Some(1));
        assert_eq!(numbered.validate(), Ok(()));
    }
    let _ = Settlement::of_event(event);
}

proptest! {
    #[test]
    fn an_event(bytes in bytes_like(EVENTS)) {
        if let Ok(event) = Event::from_json(&bytes) {
            use_event(event);
        }
    }

    #[test]
    fn a_batch_of_events(bytes in bytes_like(BATCHES)) {
        for event in Event::batch_from_json(&bytes).into_iter().flatten().flatten() {
            use_event(event);
        }
    }

    #[test]
    fn an_event_in_binary_mode(
        names in vec(text_like(&["ce-id", "ce-source", "CE-Type", "ce-subject", "content-type", "ce-a1"]), 0..6),
        values in vec(text_like(&["1.0", "e1", "%C3%A9", "application/json", "text/plain"]), 6),
        body in bytes_like(&["{\"a\":1}", "plain"]),
    ) {
        let required = [("ce-specversion", "1.0"), ("ce-id", "e1"), ("ce-source", "/o"), ("ce-type", "t")];
        let more = names.iter().zip(&values).map(|(name, value)| (name.as_str(), value.as_str()));
        if let Ok(event) = binary_mode::from_http(required.into_iter().chain(more), body) {
            prop_assert_eq!(event.validate(), Ok(()));
            let _ = (update::check(&event), Settlement::of_event(event));
        }
    }

    #[test]
    fn a_cursor(text in text_like(CURSORS), several: bool) {
        let asked: Vec<_> = ["scores/nba", "weather", "a"].map(|name| TopicName::parse(name).unwrap()).into();
        let asked = if several { &asked[..] } else { &asked[..1] };
        if let Ok(cursors) = Cursors::parse(&text, asked) {
            let written = cursors.to_string();
            // Where it says nothing of the topics that were asked for, nothing is written.
            prop_assert!(written.is_empty() || Cursors::parse(&written, asked) == Ok(cursors));
        }
    }

    #[test]
    fn a_ticket(text in text_like(vec![ticket()])) {
        // There is one spelling of each, and nobody else can make one.
        prop_assert_eq!(Ticket::verify(&text, &key().into()).is_ok(), text == ticket());
    }

    #[test]
    fn a_token(text in text_like(vec![token()])) {
        prop_assert_eq!(token::verify(&text, &key().into(), None, NOW_MS).is_ok(), text == token());
    }

    #[test]
    fn a_signature(
        id in text_like(&["msg_1"]),
        timestamp in text_like(&["1763700000"]),
        signature in text_like(vec![SignedHeaders::sign("msg_1", NOW_MS, b"body", &key()).signature]),
        body in bytes_like(&["body"]),
    ) {
        let header = |name: &str| match name {
            ID_HEADER => Some(id.clone()),
            TIMESTAMP_HEADER => Some(timestamp.clone()),
            SIGNATURE_HEADER => Some(signature.clone()),
            _ => None,
        };
        if verify(header, &body, &key().into(), NOW_MS).is_ok() {
            prop_assert_eq!((&*id, &*timestamp, &*body), ("msg_1", "1763700000", &b"body"[..]));
        }
    }

    #[test]
    fn keys(text in text_like(vec![key().expose(), format!("{},{}", key().expose(), key().expose())])) {
        if let Ok(ring) = KeyRing::parse(&text) {
            prop_assert_eq!(format!("{ring:?}").contains("BwcH"), false);
        }
    }

    #[test]
    fn the_name_of_a_topic(text in text_like(TOPICS)) {
        if let Ok(topic) = TopicName::parse(&text) {
            prop_assert_eq!(topic.as_str(), &*text);
            prop_assert!(text.len() <= MAX_TOPIC_BYTES && text.is_ascii());
        }
    }

    #[test]
    fn a_pattern_of_topics(text in text_like(PATTERNS), topic in text_like(TOPICS)) {
        if let (Ok(pattern), Ok(topic)) = (Pattern::parse(&text), TopicName::parse(&topic)) {
            let begins = text.strip_suffix('*').is_some_and(|prefix| topic.as_str().starts_with(prefix));
            prop_assert!(!pattern.matches(&topic) || begins || text == topic.as_str());
        }
    }

    #[test]
    fn a_login(bytes in bytes_like(LOGINS)) {
        if let Ok(login) = LoginRequest::from_json(&bytes) {
            prop_assert!((1..=MAX_USER_BYTES).contains(&login.user.len()));
            prop_assert!(!login.user.contains(char::is_control));
        }
    }

    #[test]
    fn a_subscribers_message(text in text_like(UPS)) {
        if let Ok(message) = Up::from_json(&text) {
            prop_assert_eq!(Up::from_json(&message.to_json()), Ok(message));
        }
    }

    #[test]
    fn an_edges_message_to_a_subscriber(text in text_like(DOWNS)) {
        if let Ok(Some(message)) = Down::from_json(&text) {
            prop_assert_eq!(Down::from_json(&message.to_json()), Ok(Some(message)));
        }
    }

    #[test]
    fn a_message_of_the_link(from_edge in text_like(FROM_EDGE), from_origin in text_like(FROM_ORIGIN)) {
        survives::<FromEdge>(&from_edge);
        survives::<FromOrigin>(&from_origin);
    }

    #[test]
    fn metadata_of_kv(text in text_like(METADATA)) {
        survives::<OfferMetadata>(&text);
        survives::<TopicMetadata>(&text);
    }

    #[test]
    fn a_header_of_stamps(text in text_like(STAMPS)) {
        let stamps = Stamps::from_header(&text);
        prop_assert_eq!(Stamps::from_header(&stamps.to_header()), stamps);
    }
}
