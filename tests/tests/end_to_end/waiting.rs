//! Whoever waits for an offer gets it exactly once, whenever and however they begin to wait.

use std::time::Duration;

use futures_util::future::join_all;
use headstart_protocol::{
    event::Event,
    stamps::{Point, Stamps},
    ticket::Ticket,
};
use headstart_tests::{
    answer::Answer,
    client::{Client, offer_path},
    events::{failed, ready},
    keys::{fresh_ticket, ticket_of_age},
    shared::{TTL_SECONDS, YOUNG_SECONDS, edge, open_edge},
    subscriber::encoded,
    topics::{fresh_topic, topic_path},
    ws::Heard,
};
use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;

/// Longest time between two heartbeats of a stream: 20 s and a tenth, and room for a busy machine.
const HEARTBEAT: Duration = Duration::from_secs(45);

/// An object that has nothing but hibernating WebSockets is put to sleep after 10 s.
const UNTIL_ASLEEP: Duration = Duration::from_secs(15);

/// More waiters than a ticket may have.
const TOO_MANY: usize = 257;

#[tokio::test]
async fn a_stream_that_is_open_at_settlement_tells_the_offer_and_ends() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let stream = client.events(&ticket).await;
    assert_eq!(stream.header("cache-control"), "private, no-store");
    assert!(stream.header("cache-status").ends_with("; fwd=miss"));
    let event = ready(&ticket, &json!({ "price": 7 }));
    client.settle(&event).await;

    let told = stream.only().await;
    assert_eq!((told.name.as_str(), &told.id), ("offer", &event.id));
    assert_eq!(told.event.data, event.data);
    assert_eq!(told.event.subject.as_deref(), Some(ticket.as_str()));
    let stamps = Stamps::of_event(&told.event);
    assert!(stamps.between(Point::Received, Point::Delivered) >= Some(0));
    assert_eq!(
        stamps.get(Point::Started),
        Stamps::of_event(&event).get(Point::Started)
    );
}

#[tokio::test]
async fn a_stream_opened_after_settlement_tells_the_offer_at_once() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!({ "price": 7 }));
    client.settle(&event).await;
    let stream = client.events(&ticket).await;
    assert!(stream.header("cache-status").contains("; hit; detail="));
    let told = stream.only().await;
    assert_eq!((told.name.as_str(), &told.id), ("offer", &event.id));
    assert_eq!(told.event.data, event.data);
}

#[tokio::test]
async fn what_else_its_sender_says_of_an_event_reaches_whoever_is_told() {
    let edge = edge().await;
    let client = edge.client();
    let extensions = [
        (
            "traceparent".to_owned(),
            "00-4bf92f35-00f067aa-01".to_owned(),
        ),
        ("tenant".to_owned(), "caf\u{e9}".to_owned()),
    ];
    for settle in [
        |ticket: &Ticket| ready(ticket, &json!([1])),
        |ticket: &Ticket| failed(ticket, "no"),
    ] {
        let ticket = fresh_ticket();
        let mut event = settle(&ticket);
        event.time = Some("2026-11-24T21:34:00.5+01:00".to_owned());
        event.extensions.extend(extensions.clone());
        let says_all = |told: &Event| {
            assert_eq!(told.time, event.time);
            for (name, value) in &event.extensions {
                assert_eq!(told.extensions.get(name), Some(value), "{name}: {told:?}");
            }
        };
        let (stream, ws) = (client.events(&ticket).await, client.ws(&ticket).await);
        client.settle(&event).await;
        says_all(&stream.only().await.event);
        says_all(&ws.only().await);
        // From the ticket's object, then from the isolate's memory.
        for _ in 0..2 {
            says_all(&client.events(&ticket).await.only().await.event);
            says_all(&client.ws(&ticket).await.only().await);
            let _ = client.offer(&ticket).await;
        }
    }
}

#[tokio::test]
async fn a_websocket_open_at_settlement_tells_the_offer_and_closes_in_order() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let ws = client.ws(&ticket).await;
    let event = ready(&ticket, &json!({ "price": 7 }));
    client.settle(&event).await;
    let told = ws.only().await;
    assert_eq!((told.id, told.data), (event.id, event.data));
}

#[tokio::test]
async fn a_websocket_opened_after_settlement_tells_the_offer_at_once() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!({ "price": 7 }));
    client.settle(&event).await;
    let told = client.ws(&ticket).await.only().await;
    assert_eq!((told.id, told.data), (event.id, event.data));
}

#[tokio::test]
async fn a_long_poll_is_answered_by_the_settlement() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!({ "price": 7 }));
    let poll = client.offer_within(&ticket, 50);
    let settle = async {
        // The poll goes out first; that it waits already is likely, and the answer the same if not.
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.settle(&event).await;
    };
    let (answer, ()) = tokio::join!(poll, settle);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("preference-applied"), "wait=50");
    assert_eq!(answer.header("headstart-event-id"), event.id);
    assert_eq!(answer.json(), json!({ "price": 7 }));
}

#[tokio::test]
async fn a_long_poll_that_waited_in_vain_says_so_and_when_to_come_back() {
    let edge = edge().await;
    let answer = edge.client().offer_within(&fresh_ticket(), 1).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("preference-applied"), "wait=1");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_wait_that_is_no_number_is_passed_over() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    for prefer in [
        "wait=-1",
        "wait=9999999999999",
        "wait",
        "wait=;;,=",
        "respond-async",
    ] {
        let call = client.get(&offer_path(&ticket)).header("prefer", prefer);
        let answer = call.send().await.expect_status(202);
        assert_eq!(answer.header("preference-applied"), "", "{prefer}");
    }
}

#[tokio::test]
async fn a_ticket_without_offer_is_pending() {
    let edge = edge().await;
    let answer = edge.client().offer(&fresh_ticket()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert!(answer.header("cache-status").ends_with("; fwd=miss"));
}

#[tokio::test]
async fn whoever_begins_to_wait_while_the_ticket_settles_gets_the_offer_once() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!({ "price": 7 }));
    let streams = join_all((0..12).map(|n| {
        let (client, ticket) = (client.clone(), ticket.clone());
        async move {
            tokio::time::sleep(Duration::from_millis(3 * n)).await;
            client.events(&ticket).await.only().await.id
        }
    }));
    let sockets = join_all((0..12).map(|n| {
        let (client, ticket) = (client.clone(), ticket.clone());
        async move {
            tokio::time::sleep(Duration::from_millis(3 * n)).await;
            client.ws(&ticket).await.only().await.id
        }
    }));
    let settle = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        client.settle(&event).await;
    };
    let (streams, sockets, ()) = tokio::join!(streams, sockets, settle);
    assert!(streams.iter().chain(&sockets).all(|id| *id == event.id));
}

#[tokio::test]
async fn every_waiter_of_a_ticket_is_told() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let (one, two) = (client.events(&ticket).await, client.events(&ticket).await);
    let (three, four) = (client.ws(&ticket).await, client.ws(&ticket).await);
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    assert_eq!(one.only().await.id, event.id);
    assert_eq!(two.only().await.id, event.id);
    assert_eq!(three.only().await.id, event.id);
    assert_eq!(four.only().await.id, event.id);
}

#[tokio::test]
async fn a_waiter_that_went_away_disturbs_nobody() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    drop(client.events(&ticket).await);
    drop(client.ws(&ticket).await);
    let stays = client.events(&ticket).await;
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    assert_eq!(stays.only().await.id, event.id);
}

#[tokio::test]
async fn waiters_of_another_ticket_hear_nothing() {
    let edge = edge().await;
    let client = edge.client();
    let (mine, other) = (fresh_ticket(), fresh_ticket());
    let mut stream = client.events(&other).await;
    let mut ws = client.ws(&other).await;
    client.settle(&ready(&mine, &json!("mine"))).await;
    let event = failed(&other, "other");
    client.settle(&event).await;
    assert_eq!(stream.next().await.unwrap().id, event.id);
    assert_eq!(ws.event().await.id, event.id);
}

#[tokio::test]
async fn a_reconnect_after_the_end_gets_204_wherever_the_offer_is() {
    let edge = edge().await;
    let client = edge.client();
    // From the ticket's object while it is young; from memory or KV once it is old.
    for age_ms in [0, (YOUNG_SECONDS + 1) * 1000] {
        let ticket = ticket_of_age(age_ms);
        let event = ready(&ticket, &json!([1]));
        client.settle(&event).await;
        let told = client.events(&ticket).await.only().await;
        for _ in 0..2 {
            reconnect_gets_204(
                &client,
                &format!("{}/events", offer_path(&ticket)),
                &told.id,
            )
            .await;
            // Brings the offer into the isolate's memory, for the second round.
            let _ = client.offer(&ticket).await.expect_status(200);
        }
    }
}

async fn reconnect_gets_204(client: &Client, path: &str, last: &str) {
    let mut calls = vec![client.get(path).header("last-event-id", last)];
    // As libraries do that send no header.
    for name in ["lastEventId", "last_event_id"] {
        calls.push(client.get(&format!("{path}?{name}={}", encoded(last))));
    }
    for call in calls {
        let what = format!("{call:?}");
        let answer = call.open_sse().await.err().expect(&what);
        assert_eq!(answer.status, 204, "{what}: {answer:?}");
        assert!(answer.body.is_empty());
        assert!(answer.header("cache-status").contains("; hit; detail="));
    }
}

#[tokio::test]
async fn a_reconnect_after_a_failure_gets_204_too() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    client.settle(&failed(&ticket, "no such customer")).await;
    let told = client.events(&ticket).await.only().await;
    reconnect_gets_204(
        &client,
        &format!("{}/events", offer_path(&ticket)),
        &told.id,
    )
    .await;
}

#[tokio::test]
async fn a_reconnect_is_known_by_any_id_that_an_event_may_have() {
    let edge = edge().await;
    let client = edge.client();
    for id in [
        "with spaces, and; signs=\"x\"",
        "caf\u{e9} \u{6f22}\u{5b57} \u{1f3ab}",
        "0",
    ] {
        let ticket = fresh_ticket();
        let mut event = ready(&ticket, &json!([1]));
        event.id = id.to_owned();
        client.settle(&event).await;
        let told = client.events(&ticket).await.only().await;
        assert_eq!(told.id, id);
        let path = format!("{}/events", offer_path(&ticket));
        reconnect_gets_204(&client, &path, id).await;
    }
}

#[tokio::test]
async fn a_reconnect_that_missed_the_offer_gets_it() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    let path = format!("{}/events", offer_path(&ticket));
    let call = client.get(&path).header("last-event-id", "another");
    assert_eq!(call.open_sse().await.unwrap().only().await.id, event.id);
}

#[tokio::test]
async fn a_stream_at_the_end_of_its_life_ends_and_the_next_one_tells_the_offer() {
    let edge = open_edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let mut first = client.events(&ticket).await;
    assert_eq!(first.next().await, None, "its life is one second");
    assert!(first.seen().starts_with("retry: "), "{}", first.seen());
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    assert_eq!(client.events(&ticket).await.only().await.id, event.id);
}

#[tokio::test]
async fn a_stream_that_waits_is_kept_alive_by_heartbeats_that_no_client_takes_for_events() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let topic = fresh_topic();
    let path = topic_path(&topic);
    let streams = [
        format!("{}/events", offer_path(&ticket)),
        format!("{path}/events"),
        format!("/topics?topic={topic}"),
        format!("{path}/subscribers/events"),
    ]
    .map(|path| {
        let client = &client;
        async move {
            let mut stream = client.get(&path).open_sse().await.unwrap();
            let read = async { while stream.frame().await.is_some() {} };
            timeout(HEARTBEAT, read).await.expect_err(&path);
            stream
        }
    });
    for stream in join_all(streams).await {
        let seen = stream.seen();
        assert!(seen.starts_with("retry: "), "{seen}");
        assert!(seen.contains("\n:\n"), "{seen}");
        stream.expect_only_frames();
    }
}

#[tokio::test]
async fn a_ticket_has_room_for_many_waiters_and_not_for_any_number() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let path = format!("{}/events", offer_path(&ticket));
    let opened = join_all((0..TOO_MANY).map(|_| client.get(&path).open_sse())).await;
    let (streams, mut refusals) = split(opened);
    let path = format!("{}/ws", offer_path(&ticket));
    let opened = join_all((0..TOO_MANY).map(|_| client.get(&path).open_ws())).await;
    let (sockets, refused) = split(opened);
    assert_eq!((refusals.len(), refused.len()), (1, 1));
    refusals.extend(refused);
    refusals.push(client.offer_within(&ticket, 50).await);
    for refusal in refusals {
        let _ = refusal.expect_problem(503);
        assert_ne!(refusal.header("retry-after"), "");
    }
    assert_eq!(
        client.offer(&ticket).await.status,
        202,
        "to ask is no waiting"
    );

    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    let told = join_all(
        streams
            .into_iter()
            .map(|stream| async { stream.only().await.id }),
    );
    let heard = join_all(
        sockets
            .into_iter()
            .map(|socket| async { socket.only().await.id }),
    );
    let (told, heard) = tokio::join!(told, heard);
    assert_eq!((told.len(), heard.len()), (TOO_MANY - 1, TOO_MANY - 1));
    assert!(told.iter().chain(&heard).all(|id| *id == event.id));
}

/// Those that were opened, and the answers of those that were not.
fn split<T>(opened: Vec<Result<T, Answer>>) -> (Vec<T>, Vec<Answer>) {
    let mut split = (Vec::new(), Vec::new());
    for one in opened {
        match one {
            Ok(one) => split.0.push(one),
            Err(answer) => split.1.push(answer),
        }
    }
    split
}

#[tokio::test]
async fn what_a_waiting_websocket_says_is_passed_over_unless_it_is_too_much() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let (mut polite, mut loud) = (client.ws(&ticket).await, client.ws(&ticket).await);
    polite.say("hello").await;
    polite.say(vec![0xFF, 0x00]).await;
    polite.say("ping").await;
    assert_eq!(polite.hear().await, Heard::Text("pong".to_owned()));
    loud.say("x".repeat(100_000)).await;
    assert_eq!(loud.hear().await, Heard::Closed(1009));
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    assert_eq!(polite.only().await.id, event.id);
}

#[tokio::test]
async fn a_websocket_outlives_the_sleep_of_its_tickets_object() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let ws = client.ws(&ticket).await;
    tokio::time::sleep(UNTIL_ASLEEP).await;
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    assert_eq!(ws.only().await.id, event.id);
}

#[tokio::test]
async fn a_head_request_gets_what_a_get_would_without_the_body() {
    let edge = edge().await;
    let client = edge.client();
    let (pending, offered, broken) = (fresh_ticket(), fresh_ticket(), fresh_ticket());
    client.settle(&ready(&offered, &json!([1]))).await;
    client.settle(&failed(&broken, "no such customer")).await;
    let expired = ticket_of_age((TTL_SECONDS + 1) * 1000);
    for (path, status) in [
        (offer_path(&pending), 202),
        (offer_path(&offered), 200),
        (offer_path(&broken), 502),
        (offer_path(&expired), 410),
        ("/tickets/none".to_owned(), 404),
        ("/ping".to_owned(), 200),
        ("/healthz".to_owned(), 200),
    ] {
        let get = client.get(&path).send().await.expect_status(status);
        let head = client
            .call(Method::HEAD, &path)
            .send()
            .await
            .expect_status(status);
        assert!(head.body.is_empty(), "{head:?}");
        for header in [
            "content-type",
            "cache-control",
            "headstart-event-id",
            "retry-after",
        ] {
            assert_eq!(head.header(header), get.header(header), "{path} {header}");
        }
    }
}

#[tokio::test]
async fn a_websocket_route_asked_without_upgrade_says_what_it_wants() {
    let edge = edge().await;
    let path = format!("{}/ws", offer_path(&fresh_ticket()));
    let answer = edge.client().get(&path).send().await;
    let _ = answer.expect_problem(426);
}
