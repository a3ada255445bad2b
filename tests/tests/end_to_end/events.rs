//! `POST /events`: each event is judged by itself, and sending any of them again changes nothing.

use futures_util::future::join_all;
use headstart_protocol::{
    event::{Data, Event, TYPE_LOGIN, TYPE_OFFER_FAILED},
    limits::{MAX_EVENTS_PER_BATCH, MAX_INLINE_OFFER_BYTES},
    report::Status,
    stamps::{Point, Stamps},
    ticket::Ticket,
};
use headstart_tests::{
    events::{SOURCE, batch, failed, ready, ready_as, results, statuses},
    keys::{foreign_key, fresh_ticket, now_ms, origin_key, random},
    shared::edge,
};
use serde_json::json;

#[tokio::test]
async fn the_same_event_again_is_a_duplicate_and_changes_nothing() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!("first"));
    client.settle(&event).await;
    let stamps = client.offer(&ticket).await.stamps();
    for _ in 0..2 {
        let result = client.publish(&event).await;
        assert_eq!(
            (result.id.as_str(), result.status),
            (event.id.as_str(), Status::Duplicate)
        );
    }
    let answer = client.offer(&ticket).await;
    assert_eq!(answer.json(), json!("first"));
    assert_eq!(
        answer.stamps().get(Point::Received),
        stamps.get(Point::Received)
    );
}

#[tokio::test]
async fn a_waiter_hears_of_a_repeated_event_once() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let stream = client.events(&ticket).await;
    let event = ready(&ticket, &json!("once"));
    let twice = client
        .publish_batch(&batch(&[event.clone(), event.clone()]))
        .await;
    assert_eq!(statuses(&twice), [Status::Accepted, Status::Duplicate]);
    assert_eq!(stream.only().await.id, event.id);
}

#[tokio::test]
async fn the_first_settlement_wins_whatever_comes_later_and_in_which_order() {
    let edge = edge().await;
    let client = edge.client();
    for ready_first in [true, false] {
        let ticket = fresh_ticket();
        let mut order = [ready(&ticket, &json!("offer")), failed(&ticket, "too late")];
        if !ready_first {
            order.reverse();
        }
        client.settle(&order[0]).await;
        assert_eq!(client.publish(&order[1]).await.status, Status::Ignored);
        assert_eq!(client.publish(&order[0]).await.status, Status::Duplicate);
        let answer = client.offer(&ticket).await;
        assert_eq!(answer.status, if ready_first { 200 } else { 502 });
        assert_eq!(answer.header("headstart-event-id"), order[0].id);
    }
}

#[tokio::test]
async fn of_events_that_come_at_once_exactly_one_settles_the_ticket() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let stream = client.events(&ticket).await;
    let events: Vec<_> = (0..10).map(|n| ready(&ticket, &json!(n))).collect();
    let results = join_all(events.iter().map(|event| client.publish(event))).await;
    let accepted: Vec<_> = results
        .iter()
        .filter(|result| result.status == Status::Accepted)
        .collect();
    assert_eq!(accepted.len(), 1, "{results:?}");
    assert_eq!(stream.only().await.id, accepted[0].id);
    let answer = client.offer(&ticket).await;
    assert_eq!(answer.header("headstart-event-id"), accepted[0].id);
}

#[tokio::test]
async fn the_same_id_from_another_source_is_another_event() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!("first"));
    client.settle(&event).await;
    let mut other = event.clone();
    other.source = "/origin/other".to_owned();
    assert_eq!(client.publish(&other).await.status, Status::Ignored);
}

#[tokio::test]
async fn the_order_within_a_batch_counts() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let events: Vec<_> = (0..5).map(|n| ready(&ticket, &json!(n))).collect();
    let answer = client.publish_batch(&batch(&events)).await;
    assert_eq!(statuses(&answer)[0], Status::Accepted);
    assert!(
        statuses(&answer)[1..]
            .iter()
            .all(|status| *status == Status::Ignored)
    );
    assert_eq!(client.offer(&ticket).await.json(), json!(0));
}

#[tokio::test]
async fn a_full_batch_settles_every_ticket_and_names_each_event() {
    let edge = edge().await;
    let client = edge.client();
    let tickets: Vec<Ticket> = (0..MAX_EVENTS_PER_BATCH).map(|_| fresh_ticket()).collect();
    let events: Vec<_> = tickets
        .iter()
        .map(|ticket| ready(ticket, &json!(1)))
        .collect();
    let results = results(&client.publish_batch(&batch(&events)).await);
    assert_eq!(results.len(), events.len());
    for (event, result) in events.iter().zip(&results) {
        assert_eq!((&result.id, result.status), (&event.id, Status::Accepted));
    }
    let last = tickets.last().unwrap();
    let _ = client.offer(last).await.expect_status(200);
}

#[tokio::test]
async fn a_bad_event_does_not_take_its_batch_with_it() {
    let edge = edge().await;
    let client = edge.client();
    let (one, two) = (fresh_ticket(), fresh_ticket());
    let foreign = Ticket::mint(now_ms(), 0, random(), &foreign_key());
    let answer = client
        .publish_batch(&format!(
            "[{}, 7, {{}}, {}, {}]",
            ready(&one, &json!(1)).to_json(),
            ready(&foreign, &json!(1)).to_json(),
            ready(&two, &json!(2)).to_json(),
        ))
        .await;
    let results = results(&answer);
    let found: Vec<_> = results.iter().map(|result| result.status).collect();
    let bad = Status::Rejected;
    assert_eq!(found, [Status::Accepted, bad, bad, bad, Status::Accepted]);
    assert!(results[1..4].iter().all(|result| result.reason.is_some()));
    assert_eq!(client.offer(&two).await.json(), json!(2));
}

#[tokio::test]
async fn an_empty_batch_has_no_results() {
    let edge = edge().await;
    assert_eq!(results(&edge.client().publish_batch("[]").await), []);
}

#[tokio::test]
async fn an_event_that_settles_nothing_is_rejected_and_says_why() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let with = |change: fn(&mut Event)| {
        let mut event = ready(&ticket, &json!(1));
        change(&mut event);
        event
    };
    for event in [
        with(|event| event.kind = "com.example.other".to_owned()),
        with(|event| event.kind = TYPE_LOGIN.to_owned()),
        with(|event| event.subject = None),
        with(|event| event.subject = Some("no ticket".to_owned())),
        with(|event| event.data = None),
        with(|event| event.dataref = Some("/elsewhere".to_owned())),
        with(|event| event.kind = TYPE_OFFER_FAILED.to_owned()),
    ] {
        let result = client.publish(&event).await;
        assert_eq!(result.status, Status::Rejected, "{event:?}");
        assert_eq!(result.id, event.id);
        assert!(result.reason.is_some(), "{event:?}");
    }
    assert_eq!(client.offer(&ticket).await.status, 202);
}

#[tokio::test]
async fn an_offer_of_any_media_type_keeps_its_bytes_by_every_way() {
    let edge = edge().await;
    let client = edge.client();
    for (media_type, bytes) in [
        (
            "application/json",
            &b"{ \"b\": 1,\n\t\"a\": \"\\u00e9\\r\" }"[..],
        ),
        (
            "text/html; charset=utf-8",
            b"<p>caf\xC3\xA9</p>\n\n\ndata: forged\r\n\r\n",
        ),
        ("text/plain", b""),
        ("image/png", &[0x89, 0x50, 0x00, 0xFF, 0x0A]),
    ] {
        let ticket = fresh_ticket();
        let stream = client.events(&ticket).await;
        let event = ready_as(&ticket, media_type, bytes.to_vec());
        client.settle(&event).await;
        let answer = client.offer(&ticket).await.expect_status(200);
        assert_eq!(answer.header("content-type"), media_type);
        assert_eq!(answer.body, bytes, "{media_type}");
        let told = stream.only().await.event;
        assert_eq!(told.media_type(), media_type);
        assert_eq!(told.data.unwrap().as_bytes(), bytes, "{media_type}");
        let message = client.ws(&ticket).await.only().await;
        assert_eq!(message.data.unwrap().as_bytes(), bytes, "{media_type}");
    }
}

#[tokio::test]
async fn an_event_in_binary_mode_is_taken_like_any_other() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let answer = client
        .post("/events", "text/html", "<p>offer</p>")
        .header("ce-specversion", "1.0")
        .header("ce-type", "dev.headstart.offer.ready")
        .header("ce-source", SOURCE)
        .header("ce-id", "caf%C3%A9")
        .header("ce-subject", ticket.as_str())
        .header("ce-startedat", "17")
        .signed(&origin_key())
        .send()
        .await;
    let [result] = results(&answer).try_into().unwrap();
    assert_eq!(
        (result.id.as_str(), result.status),
        ("café", Status::Accepted)
    );
    let told = client.events(&ticket).await.only().await.event;
    assert_eq!(told.data.as_ref().unwrap().as_bytes(), b"<p>offer</p>");
    assert_eq!(Stamps::of_event(&told).get(Point::Started), Some(17));
}

#[tokio::test]
async fn an_inline_offer_of_the_largest_size_arrives_whole_and_one_byte_more_is_rejected() {
    let edge = edge().await;
    let client = edge.client();
    for (bytes, status) in [
        (MAX_INLINE_OFFER_BYTES, Status::Accepted),
        (MAX_INLINE_OFFER_BYTES + 1, Status::Rejected),
    ] {
        let ticket = fresh_ticket();
        let mut event = ready(&ticket, &json!(1));
        let text = json!("é".repeat(bytes / 2 - 1) + &"x".repeat(bytes % 2));
        event.data = Some(Data::from_json(&text).unwrap());
        assert_eq!(event.data.as_ref().unwrap().as_bytes().len(), bytes);
        assert_eq!(client.publish(&event).await.status, status);
        if status == Status::Accepted {
            let answer = client.offer(&ticket).await.expect_status(200);
            assert_eq!(answer.body.len(), bytes);
            assert_eq!(
                client.events(&ticket).await.only().await.event.data,
                event.data
            );
        }
    }
}

#[tokio::test]
async fn an_events_hostile_texts_cannot_forge_a_frame_or_a_header() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let mut event = ready_as(
        &ticket,
        "text/plain",
        b"x\n\nevent: failed\nid: 9\ndata: {}\n\n\r\n\r\ndata: forged\0".to_vec(),
    );
    event.id = "é id: 1, x=\"y\"; 漢字".to_owned();
    event
        .extensions
        .insert("loginat".to_owned(), "1, forged=2".to_owned());
    client.settle(&event).await;
    let told = client.events(&ticket).await.only().await;
    assert_eq!((told.name.as_str(), &told.id), ("offer", &event.id));
    assert_eq!(told.event.data, event.data);
    let answer = client.offer(&ticket).await.expect_status(200);
    assert!(answer.header("headstart-event-id").is_ascii());
    assert_eq!(answer.stamps().get(Point::Login), None);
}
