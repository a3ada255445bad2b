//! Private topics, and everything that must not open them.

use headstart_protocol::channel::Down;
use serde_json::json;

use crate::{
    answer::Answer,
    client::{Call, Client},
    keys::{foreign_key, login_key, origin_key, ticket_key},
    subscriber::hear,
    tokens::Token,
    topics::{fresh_private_topic, topic_path},
    ws::{Heard, Ws},
};

/// What must not get out.
pub const SECRET: &str = "payload-7d1f-of-a-private-topic";

/// A private topic with something in it.
pub async fn secret_topic(client: &Client) -> String {
    let topic = fresh_private_topic();
    client.publish_on(&topic, &json!("older")).await;
    client.publish_on(&topic, &json!(SECRET)).await;
    topic
}

/// Every way to ask for something of a topic but over a WebSocket.
#[must_use]
pub fn ways<'a>(client: &'a Client, topic: &str) -> Vec<Call<'a>> {
    let path = topic_path(topic);
    let ack = json!({ "subscriber": "0", "sequence": 1 }).to_string();
    let mut calls: Vec<_> = [
        path.clone(),
        format!("{path}?since=0"),
        format!("{path}/events"),
        format!("{path}/events?last_event_id=0"),
        format!("{path}/events?latest=1"),
        format!("{path}/subscribers"),
        format!("{path}/subscribers/events"),
    ]
    .iter()
    .map(|path| client.get(path))
    .collect();
    calls.push(client.get(&path).header("prefer", "wait=1"));
    calls.push(client.get(&path).header("if-none-match", "\"1\""));
    calls.push(client.call(reqwest::Method::HEAD, &path));
    calls.push(client.post(&format!("{path}/acks"), "application/json", ack));
    calls
}

/// Every way to ask for a topic over a WebSocket.
#[must_use]
pub fn sockets<'a>(client: &'a Client, topic: &str) -> Vec<Call<'a>> {
    let path = topic_path(topic);
    [
        format!("{path}/ws?last_event_id=0"),
        format!("{path}/ws?latest=1"),
    ]
    .iter()
    .map(|path| client.get(path))
    .collect()
}

/// The problem's kind, without the part that all have.
#[must_use]
pub fn slug(answer: &Answer, status: u16) -> String {
    if answer.body.is_empty() {
        // The answer to HEAD.
        assert_eq!(answer.status, status, "{answer:?}");
        return String::new();
    }
    let kind = answer.expect_problem(status).kind;
    kind.strip_prefix("urn:headstart:").unwrap().to_owned()
}

/// Fails where an answer tells anything of a private topic.
pub fn tells_nothing(answer: &Answer) {
    let all = format!(
        "{:?} {}",
        answer.headers,
        String::from_utf8_lossy(&answer.body)
    );
    assert!(
        !all.contains(SECRET) && !all.contains("specversion"),
        "{answer:?}"
    );
    assert_eq!(answer.header("etag"), "", "{answer:?}");
}

/// Reads a WebSocket that must not tell anything until it is closed; gives the code.
pub async fn closed_untold(ws: &mut Ws) -> u16 {
    loop {
        match hear(ws).await {
            Ok(Down::Problem(problem)) => assert!(!format!("{problem:?}").contains(SECRET)),
            Ok(Down::Ping { .. }) => {}
            Ok(other) => panic!("it told {other:?}"),
            Err(Heard::Closed(code)) => return code,
            Err(other) => panic!("waited for a close and got {other:?}"),
        }
    }
}

/// Everything that is no token for `topic`, with the status and the kind of problem that it gets.
#[must_use]
pub fn no_tokens(topic: &str) -> Vec<(String, u16, &'static str)> {
    let good = Token::reading(&[topic]);
    let text = good.mint();
    let (head, rest) = text.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let refused = "token-refused";
    let forbidden = "topic-forbidden";
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let below = format!("{topic}/below");
    let cut = &topic[..topic.len() - 1];
    let mut all: Vec<_> = [
        String::new(),
        "x".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(5000),
        text[..text.len() - 1].to_owned(),
        format!("{text}x"),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{head}.{claims}."),
        format!(
            "{head}.{}.{signature}",
            Token::reading(&["*"]).mint().split('.').nth(1).unwrap()
        ),
        good.clone().expiring_in(-5).mint(),
        good.clone().expiring_in(-1_000_000).mint(),
    ]
    .map(|token| (format!("Bearer {token}"), 401, refused))
    .to_vec();
    for key in [foreign_key(), origin_key(), login_key(), ticket_key()] {
        all.push((good.clone().under(key).bearer(), 401, refused));
    }
    for topics in [
        &[][..],
        &["private/other"],
        &[&below],
        &[cut],
        &["test/*"],
        &["private/x*"],
    ] {
        all.push((Token::reading(topics).bearer(), 403, forbidden));
    }
    // To publish is not to read.
    all.push((
        Token::reading(&[]).publishing(&["*"]).bearer(),
        403,
        forbidden,
    ));
    all
}
