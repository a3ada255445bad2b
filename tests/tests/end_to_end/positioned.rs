//! What is positioned in KV is served from there, and KV never has the last word.

use std::time::Duration;

use headstart_protocol::{
    kv::OfferMetadata, limits::MAX_OFFER_BYTES, settlement::Attributes, stamps::Stamps,
};
use headstart_tests::{
    events::{SOURCE, positioned, ready},
    keys::{fresh_ticket, ticket_of_age},
    kv::Kv,
    shared::{YOUNG_SECONDS, edge},
};
use serde_json::{Value, json};

/// Older than any ticket that KV is not asked about.
const OLD_MS: u64 = (YOUNG_SECONDS + 1) * 1000;

fn metadata(event_id: &str) -> Value {
    let metadata = OfferMetadata {
        media_type: "application/json".to_owned(),
        event_id: event_id.to_owned(),
        source: SOURCE.to_owned(),
        attributes: Attributes::default(),
        stamps: Stamps::default(),
    };
    serde_json::to_value(metadata).unwrap()
}

#[tokio::test]
async fn an_old_tickets_offer_is_served_from_kv_and_a_young_ones_is_not_looked_for_there() {
    let edge = edge().await;
    let (client, kv) = (edge.client(), Kv::of(&edge));
    let (old, young) = (ticket_of_age(OLD_MS), fresh_ticket());
    for ticket in [&old, &young] {
        kv.position(ticket, "[1]", &metadata("e1")).await;
    }
    assert_eq!(client.offer(&young).await.status, 202);
    let answer = client.offer(&old).await.expect_status(200);
    assert!(answer.header("cache-status").ends_with("; hit; detail=kv"));
    assert_eq!(answer.text(), "[1]");
    // Nothing but time makes a ticket old.
    tokio::time::sleep(Duration::from_secs(YOUNG_SECONDS)).await;
    let _ = client.offer(&young).await.expect_status(200);
}

#[tokio::test]
async fn an_offer_that_is_not_in_kv_is_served_by_the_tickets_object_at_any_age() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), ticket_of_age(OLD_MS));
    assert_eq!(client.offer(&ticket).await.status, 202);
    client.settle(&ready(&ticket, &json!("late"))).await;
    let answer = client.offer(&ticket).await.expect_status(200);
    assert!(
        answer
            .header("cache-status")
            .ends_with("; hit; detail=object")
    );
    assert!(answer.header("server-timing").starts_with("kv;dur="));
}

#[tokio::test]
async fn what_stands_in_kv_and_cannot_be_an_offer_is_passed_over() {
    let edge = edge().await;
    let (client, kv) = (edge.client(), Kv::of(&edge));
    for metadata in [Value::Null, json!("text"), json!({ "media_type": 7 })] {
        let ticket = ticket_of_age(OLD_MS);
        kv.position(&ticket, "nonsense", &metadata).await;
        client.settle(&ready(&ticket, &json!("offer"))).await;
        let answer = client.offer(&ticket).await.expect_status(200);
        assert_eq!(answer.json(), json!("offer"), "{metadata}");
    }
}

#[tokio::test]
async fn hostile_metadata_in_kv_forges_no_header() {
    let edge = edge().await;
    let (client, kv) = (edge.client(), Kv::of(&edge));
    for media_type in ["text/html\r\nset-cookie: a=b", "\u{0}", "caf\u{e9}", ""] {
        let ticket = ticket_of_age(OLD_MS);
        let mut hostile = metadata("x\r\nset-cookie: a=b");
        hostile["media_type"] = json!(media_type);
        kv.position(&ticket, "x", &hostile).await;
        let answer = client.offer(&ticket).await;
        assert!(
            matches!(answer.status, 200 | 202),
            "{media_type:?}: {answer:?}"
        );
        assert_eq!(answer.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn a_large_offer_that_was_positioned_first_is_named_by_its_event_and_read_from_kv() {
    let edge = edge().await;
    let (client, ticket, kv) = (edge.client(), fresh_ticket(), Kv::of(&edge));
    let offer = json!("x".repeat(MAX_OFFER_BYTES - 2)).to_string();
    let event = positioned(&ticket, "application/json");
    let stream = client.events(&ticket).await;
    kv.position_large(&ticket, &event.id, &offer).await;
    client.settle(&event).await;

    let told = stream.only().await.event;
    assert_eq!(told.data, None);
    for _ in 0..2 {
        let answer = client.get(told.dataref.as_deref().unwrap()).send().await;
        assert_eq!(answer.status, 200);
        assert!(answer.text() == offer);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("headstart-event-id"), event.id);
        assert!(answer.header("cache-status").ends_with("; hit; detail=kv"));
    }
    let message = client.ws(&ticket).await.only().await;
    assert_eq!(message.dataref, told.dataref);
}
