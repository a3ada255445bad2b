//! A subscriber that breaks the rules of its connection, or does not keep up, loses the connection and
//! nothing else: nobody beside it is disturbed, and it comes back to what it missed.

use std::time::Duration;

use futures_util::future::join_all;
use headstart_protocol::{
    channel::{CLOSE_SLOW, CLOSE_TOKEN, Down, PING_TEXT, PONG_TEXT, Place, Up},
    event::Event,
    limits::MAX_SUBSCRIBER_MESSAGE_BYTES,
    report::Status,
};
use headstart_tests::{
    client::{Call, Client, offer_path},
    edge::Edge,
    edge_config::EdgeConfig,
    events::ready,
    keys::fresh_ticket,
    raw,
    shared::edge,
    subscriber::{News, Subscriber, Transport, hear},
    tokens::Token,
    topics::{
        fresh_private_topic, fresh_topic, ids, sequence, sequences, topic_path, update,
        update_of_size,
    },
    ws::{Heard, Ws},
};
use serde_json::json;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{
        CloseFrame,
        frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

/// Bytes of an update where many bytes are to be sent.
const LARGE: usize = 60_000;

/// A WebSocket that does not keep up is closed when so much is unanswered, in characters.
const UNANSWERED: usize = 4 * 1024 * 1024;

/// More than lies on the way to a client that does not read, in the buffers of two servers and of the
/// system, before the edge sees it: several times what was found, in bytes.
const MORE_THAN_FITS: usize = 120_000_000;

/// What the topics of an edge remember that takes back whoever missed much, in bytes: the most there
/// can be.
const LONG_HISTORY: usize = 16 * 1024 * 1024;

fn large_updates(topic: &str, count: usize) -> Vec<Event> {
    (0..count).map(|_| update_of_size(topic, LARGE)).collect()
}

/// A WebSocket that has been welcomed.
async fn welcomed(client: &Client, topic: &str) -> Ws {
    let opened = client.subscription(Transport::Ws, &[topic]).connect().await;
    let mut ws = opened.expect("it opens").into_ws();
    let welcome = hear(&mut ws).await;
    assert!(matches!(welcome, Ok(Down::Welcome(_))), "{welcome:?}");
    ws
}

/// Fails unless the edge closes for each of these messages with `code`, and tells everyone else the
/// next update.
async fn closes(messages: impl IntoIterator<Item = Message>, code: u16) {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut other = client.subscribe(Transport::Ws, &topic).await;
    for message in messages {
        let shown: String = format!("{message:?}").chars().take(100).collect();
        let mut ws = welcomed(&client, &topic).await;
        ws.say(message).await;
        assert_eq!(ws.hear().await, Heard::Closed(code), "{shown}");
        let sent = client.publish_on(&topic, &json!(1)).await;
        assert_eq!(other.update().await.id, sent.id, "{shown}");
    }
}

/// A sign of life that has that many bytes.
fn here_of_size(bytes: usize) -> String {
    let frame = Up::Here { place: None }.to_json();
    format!("{}{frame}", " ".repeat(bytes - frame.len()))
}

/// A part of a text message.
fn fragment(bytes: &[u8], first: bool, last: bool) -> Message {
    let data = if first { Data::Text } else { Data::Continue };
    Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(data), last))
}

#[tokio::test]
async fn a_binary_message_ends_the_connection_with_1003() {
    let here = Up::Here { place: None }.to_json().into_bytes();
    closes([vec![], vec![0, 255], here].map(Message::from), 1003).await;
}

#[tokio::test]
async fn a_message_that_is_none_of_the_channel_ends_the_connection_with_1007() {
    let deep = "[".repeat(60_000);
    let texts = [
        "",
        "x",
        "null",
        "7",
        "[]",
        "{}",
        "PING",
        " ping",
        r#""here""#,
        r#"{"later":{}}"#,
        r#"{"welcome":{"subscriber":"s","topics":{}}}"#,
        r#"{"updates":[]}"#,
        r#"{"ping":{"n":7}}"#,
        r#"{"here":{},"pong":{"n":1}}"#,
        r#"{"here":{}} {"here":{}}"#,
        r#"{"here":{"place":{"latitude":90.5,"longitude":0}}}"#,
        r#"{"here":{"place":{"latitude":1e999,"longitude":0}}}"#,
        r#"{"ack":{"topic":"a","sequence":-1}}"#,
        r#"{"ack":{"topic":"a//b","sequence":1}}"#,
        r#"{"ack":{"topic":"a","sequence":99999999999999999999}}"#,
        r#"{"pong":{"n":1,"more":2}}"#,
        r#"{"auth":{"token":7}}"#,
        r#"{"auth":{"token":"\ud800"}}"#,
        "{\"here\":{}\u{0}}",
        r#"{"publish":{"event":7}}"#,
        &deep,
    ];
    let no_text = fragment(b"\xFF\xFE", true, true);
    let texts = texts.into_iter().map(Message::from);
    closes(texts.chain([no_text]), 1007).await;
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_connection_with_1009_and_the_largest_does_not() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscriber = client.subscribe(Transport::Ws, &topic).await;
    let largest = here_of_size(MAX_SUBSCRIBER_MESSAGE_BYTES);
    subscriber.ws().say(largest).await;
    let sent = client.publish_on(&topic, &json!(1)).await;
    assert_eq!(subscriber.update().await.id, sent.id);

    let larger = here_of_size(MAX_SUBSCRIBER_MESSAGE_BYTES + 1);
    // Fewer characters than the limit, and more bytes.
    let wide = "\u{e9}".repeat(MAX_SUBSCRIBER_MESSAGE_BYTES / 2 + 1);
    closes([larger, wide].map(Message::from), 1009).await;
}

#[tokio::test]
async fn a_message_in_fragments_with_pings_between_them_is_taken_whole() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_private_topic());
    let token = Token::reading(&[&topic]).publishing(&[&topic]).bearer();
    let subscription = client.subscription(Transport::Ws, &[&topic]);
    let mut subscriber = subscription.header("authorization", &token).open().await;
    let event = update(&topic, &json!("caf\u{e9} ".repeat(5_000)));
    let message = Up::Publish {
        event: Box::new(event.clone()),
    };
    let bytes = message.to_json().into_bytes();
    // An odd number of bytes each: some letter of two bytes is cut.
    let fragments: Vec<_> = bytes.chunks(1_001).collect();
    let last = fragments.len() - 1;
    for (n, bytes) in fragments.into_iter().enumerate() {
        let ws = subscriber.ws();
        ws.say(fragment(bytes, n == 0, n == last)).await;
        if n == 3 {
            ws.say(Message::Ping("between".into())).await;
        }
    }
    assert_eq!(subscriber.ws().pong().await, b"between");
    let (mut heard, mut result) = (None, None);
    while heard.is_none() || result.is_none() {
        match subscriber.next().await {
            News::Update(event) => heard = Some(event),
            News::Published(published) => result = Some(published),
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert_eq!(result.map(|result| result.status), Some(Status::Accepted));
    assert_eq!(heard.and_then(|event| event.data), event.data);
}

#[tokio::test]
async fn control_frames_are_answered_as_the_standard_says() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for payload in [vec![], vec![0xFF; 125]] {
        let mut ws = welcomed(&client, &topic).await;
        // Nobody asked for this one, which is allowed.
        ws.say(Message::Pong(payload.clone().into())).await;
        ws.say(Message::Ping(payload.clone().into())).await;
        assert_eq!(ws.pong().await, payload);
    }
    for code in [1000, 1001, 3000, 4999] {
        let mut ws = welcomed(&client, &topic).await;
        let frame = CloseFrame {
            code: code.into(),
            reason: "done".into(),
        };
        ws.say(Message::Close(Some(frame))).await;
        assert_eq!(ws.hear().await, Heard::Closed(code));
    }
}

#[tokio::test]
async fn the_text_ping_is_answered_at_any_time() {
    let edge = edge().await;
    let client = edge.client();
    let mut open = welcomed(&client, &fresh_topic()).await;
    let topic = fresh_private_topic();
    let subscription = client.subscription(Transport::Ws, &[&topic]);
    // Before it has said who it is, too.
    let mut unknown = subscription.connect().await.unwrap().into_ws();
    for ws in [&mut open, &mut unknown] {
        for _ in 0..3 {
            ws.say(PING_TEXT).await;
            assert_eq!(ws.hear().await, Heard::Text(PONG_TEXT.to_owned()));
        }
    }
    let token = Token::reading(&[&topic]).mint().into();
    unknown.say(Up::Auth { token }.to_json()).await;
    let welcome = hear(&mut unknown).await;
    assert!(matches!(welcome, Ok(Down::Welcome(_))), "{welcome:?}");
}

#[tokio::test]
async fn an_ack_or_a_pong_of_what_never_was_changes_nothing() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscriber = client.subscribe(Transport::Ws, &topic).await;
    for message in [
        format!(r#"{{"ack":{{"topic":"{}","sequence":1}}}}"#, fresh_topic()),
        format!(r#"{{"ack":{{"topic":"{topic}","sequence":18446744073709551615}}}}"#),
        Up::Pong { n: u64::MAX }.to_json(),
        Up::Here {
            place: Place::new(-90.0, 180.0).ok(),
        }
        .to_json(),
    ] {
        subscriber.ws().say(message).await;
    }
    let sent = client.publish_on(&topic, &json!(1)).await;
    let heard = subscriber.update().await;
    assert_eq!((&heard.id, sequence(&heard)), (&sent.id, 1));
}

/// Reads a WebSocket without a word until it is closed; gives the updates, how many characters came
/// with them, how often it was asked for an answer, and the code.
async fn read_silently(mut ws: Ws) -> (Vec<Event>, usize, u32, u16) {
    let (mut updates, mut length, mut pings) = (Vec::new(), 0, 0);
    loop {
        match hear(&mut ws).await {
            Ok(Down::Updates(events)) => {
                length += Down::Updates(events.clone()).to_json().len();
                updates.extend(events);
            }
            Ok(Down::Ping { .. }) => pings += 1,
            Err(Heard::Closed(code)) => return (updates, length, pings, code),
            other => panic!("unexpected: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_websocket_that_does_not_keep_up_is_closed_and_comes_back_without_loss() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let silent = welcomed(&client, &topic).await;
    let stuck = welcomed(&client, &topic).await;
    let mut keen = client.subscribe(Transport::Ws, &topic).await;
    let count = UNANSWERED / LARGE + 40;
    let mut sent = large_updates(&topic, count);
    let publish = async {
        for events in sent.chunks(10) {
            client.publish_all(events).await;
            // Whoever answers gets it all, and does not wait for those who do not.
            assert_eq!(ids(&keen.updates(events.len()).await), ids(events));
        }
    };
    let (of_silent, ()) = tokio::join!(read_silently(silent), publish);
    // This one reads only now.
    let of_stuck = read_silently(stuck).await;
    let last = client.publish_on(&topic, &json!("last")).await;
    assert_eq!(keen.update().await.id, last.id);
    sent.push(last);
    for (updates, length, pings, code) in [of_silent, of_stuck] {
        assert_eq!(code, CLOSE_SLOW);
        assert_eq!(pings, 1);
        let window = UNANSWERED - 1024 * 1024..UNANSWERED + 64 * 1024;
        assert!(window.contains(&length), "closed after {length}");
        let got = updates.len();
        assert!(sequences(&updates).into_iter().eq(1..=got as u64));
        let back = client.subscription(Transport::Ws, &[&topic]).after(got);
        let rest = back.open().await.updates(sent.len() - got).await;
        let all: Vec<_> = updates.into_iter().chain(rest).collect();
        assert_eq!(ids(&all), ids(&sent));
    }
}

/// Publishes until the edge has dropped a stream that nobody reads. `others` must get each update
/// meanwhile. Gives what was published.
async fn publish_until_dropped(
    client: &Client,
    topic: &str,
    stuck: &Subscriber,
    others: &mut [Subscriber],
) -> Vec<Event> {
    let mut sent = Vec::new();
    while sent.len() * LARGE < MORE_THAN_FITS {
        let events = large_updates(topic, 20);
        client.publish_all(&events).await;
        for got in join_all(others.iter_mut().map(|other| other.updates(20))).await {
            assert_eq!(ids(&got), ids(&events));
        }
        sent.extend(events);
        // Who is gone is noticed when the list is asked for.
        client.subscribers(topic).await;
        if client.ack(topic, stuck.secret_id(), 1).await.status == 404 {
            return sent;
        }
    }
    panic!("a stream takes {MORE_THAN_FITS} bytes that nobody reads");
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_dropped_and_comes_back_without_loss() {
    let config = EdgeConfig::default().var("HISTORY_BYTES", LONG_HISTORY);
    let edge = Edge::start(config).await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut stuck = client.subscribe(Transport::Sse, &topic).await;
    let mut others = Vec::new();
    for transport in Transport::ALL {
        others.push(client.subscribe(transport, &topic).await);
    }
    let mut sent = publish_until_dropped(&client, &topic, &stuck, &mut others).await;
    let (mut got, end) = stuck.until_end().await;
    assert_eq!(end, News::Ended);
    assert!(got.len() < sent.len(), "{} updates", got.len());

    let mut back = stuck.resume().await;
    let last = client.publish_on(&topic, &json!("last")).await;
    sent.push(last);
    // The subscriber itself sees to it that no gap is told.
    got.extend(back.updates(sent.len() - got.len()).await);
    assert_eq!(ids(&got), ids(&sent));
    for other in &mut others {
        assert_eq!(other.update().await.id, sent.last().unwrap().id);
    }
}

#[tokio::test]
async fn a_message_that_grows_over_the_limit_by_fragments_ends_the_connection_with_1009() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for bytes in [MAX_SUBSCRIBER_MESSAGE_BYTES + 1, 2 * 1024 * 1024] {
        let mut ws = welcomed(&client, &topic).await;
        let text = here_of_size(bytes);
        let fragments: Vec<_> = text.as_bytes().chunks(10_000).collect();
        let last = fragments.len() - 1;
        for (n, bytes) in fragments.into_iter().enumerate() {
            ws.say(fragment(bytes, n == 0, n == last)).await;
        }
        assert_eq!(ws.hear().await, Heard::Closed(1009), "{bytes}");
    }
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_their_connection_and_no_other() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut other = client.subscribe(Transport::Ws, &topic).await;
    let path = format!("{}/ws", topic_path(&topic));
    // A mask of zeros changes nothing.
    let masked = |head: &[u8], payload: &[u8]| [head, &[0; 4], payload].concat();
    let within = [masked(b"\x01\x82", b"pi"), masked(b"\x81\x84", b"ping")];
    for (what, bytes) in [
        ("a reserved opcode", masked(b"\x83\x84", b"ping")),
        ("a reserved control opcode", masked(b"\x8b\x80", b"")),
        ("reserved bits", masked(b"\xf1\x84", b"ping")),
        ("a continuation of nothing", masked(b"\x80\x84", b"ping")),
        ("a message within a message", within.concat()),
        ("a ping in fragments", masked(b"\x09\x82", b"pi")),
        ("a long ping", masked(b"\x89\xfe\x00\x80", &[b'x'; 128])),
        (
            "a length that cannot be",
            masked(b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", b""),
        ),
        ("half a close code", masked(b"\x88\x81", b"\x03")),
    ] {
        let code = raw::end_of_ws(edge.address(), &path, &bytes).await;
        let expected = matches!(code, None | Some(1000 | 1002 | 1009));
        assert!(expected, "{what}: {code:?}");
    }
    let sent = client.publish_on(&topic, &json!(1)).await;
    assert_eq!(other.update().await.id, sent.id);
}

#[tokio::test]
async fn whoever_says_goodbye_leaves_the_list() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let _stays = client.subscribe(Transport::Ws, &topic).await;
    let mut goes = client.subscribe(Transport::Ws, &topic).await;
    assert_eq!(client.subscribers(&topic).await.count, 2);
    goes.ws().say(Message::Close(None)).await;
    client
        .await_subscribers(&topic, "one to be gone", |list| {
            (list.len() == 1).then_some(())
        })
        .await;
}

/// A client that has said nothing is let go only when the object falls asleep: see "What the platform does"
/// in `docs/how-it-works.md`.
#[tokio::test]
async fn a_client_that_has_said_something_is_let_go_as_soon_as_it_is_closed() {
    let edge = edge().await;
    let (client, topic, ticket) = (edge.client(), fresh_private_topic(), fresh_ticket());
    let token = Token::reading(&[&topic]).expiring_in(3).bearer();
    let follow = client.get(&format!("{}/ws", topic_path(&topic)));
    let follow = follow.header("authorization", &token);
    let wait = client.get(&format!("{}/ws", offer_path(&ticket)));
    let closed = async |call: Call<'_>, code| {
        let mut ws = call.open_ws().await.expect("it is let in");
        ws.say(PING_TEXT).await;
        loop {
            match ws.hear().await {
                Heard::Text(_) => {}
                end => {
                    assert_eq!(end, Heard::Closed(code));
                    break ws.lingers().await;
                }
            }
        }
    };
    let settle = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.settle(&ready(&ticket, &json!(1))).await;
    };
    let (of_topic, of_ticket, ()) =
        tokio::join!(closed(follow, CLOSE_TOKEN), closed(wait, 1000), settle);
    let soon = Duration::from_secs(2);
    assert!(
        of_topic < soon && of_ticket < soon,
        "{of_topic:?}, {of_ticket:?}"
    );
}
