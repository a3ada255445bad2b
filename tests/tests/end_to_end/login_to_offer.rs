//! A login becomes an offer, by every way of delivery.

use std::time::Duration;

use headstart_protocol::{
    event::TYPE_OFFER_READY,
    limits::{MAX_LOGIN_BODY_BYTES, MAX_USER_BYTES},
    stamps::{Clock, Point, Stamps},
    ticket::Ticket,
};
use headstart_tests::{
    answer::Answer,
    client::settled_by,
    keys::now_ms,
    kv::Kv,
    shared::{Shared, YOUNG_SECONDS, shop},
    wait::until,
};
use serde_json::{Value, json};

/// A customer of the sample that the origin learns from.
const CUSTOMER: &str = "17850";

/// Checks that every stamp was taken, and that those of one clock are in the order of passing. What
/// stands in KV has not been received as an event.
fn check_stamps(stamps: Stamps, is_from_kv: bool) {
    for (clock, expected) in [
        (Clock::Edge, 3 - usize::from(is_from_kv)),
        (Clock::Origin, 3),
    ] {
        let of_clock: Vec<_> = stamps
            .iter()
            .filter(|(point, _)| point.clock() == clock)
            .collect();
        assert_eq!(of_clock.len(), expected, "{stamps:?}");
        assert!(of_clock.is_sorted_by_key(|(_, at)| *at), "{stamps:?}");
    }
}

fn check_offer(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert_ne!(answer.header("server-timing"), "");
    assert_ne!(answer.header("headstart-event-id"), "");
    let offer = answer.json();
    assert_eq!(offer["user"], CUSTOMER);
    assert!(!offer["items"].as_array().unwrap().is_empty());
    check_stamps(
        answer.stamps(),
        answer.header("cache-status").ends_with("detail=kv"),
    );
}

/// Waits until KV may be asked for a ticket's offer, and has it.
async fn positioned(shop: &Shared, ticket: &Ticket) -> Vec<u8> {
    let offer = Kv::of(shop).await_offer(ticket).await;
    until("the ticket to be old", async || {
        (now_ms() >= ticket.minted_at_ms() + YOUNG_SECONDS * 1000).then_some(())
    })
    .await;
    offer
}

#[tokio::test]
async fn a_login_is_answered_with_a_ticket_and_where_its_offer_will_be() {
    let shop = shop().await;
    let client = shop.client();
    let answer = client
        .login_call(CUSTOMER, &json!({}))
        .send()
        .await
        .expect_status(202);
    let json = answer.json();
    let offer = format!("/tickets/{}", json["ticket"].as_str().unwrap());
    assert_eq!(json["offer"], offer);
    assert_eq!(json["events"], format!("{offer}/events"));
    assert_eq!(json["ws"], format!("{offer}/ws"));
    assert_eq!(answer.header("location"), offer);
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn an_offer_is_polled_for() {
    let shop = shop().await;
    let (client, ticket) = (shop.client(), shop.client().login(CUSTOMER).await);
    let answer = until("the offer", async || {
        let answer = client.offer(&ticket).await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    check_offer(&answer);
    let place = answer.header("cache-status").rsplit("; ").next().unwrap();
    assert!(
        ["detail=object", "detail=kv"].contains(&place),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_offer_is_awaited_by_one_long_poll() {
    let shop = shop().await;
    let client = shop.client();
    let ticket = client.login(CUSTOMER).await;
    let answer = client.offer_within(&ticket, 50).await;
    check_offer(&answer);
    assert_eq!(answer.header("preference-applied"), "wait=50");
}

#[tokio::test]
async fn an_offer_is_told_as_a_server_sent_event() {
    let shop = shop().await;
    let client = shop.client();
    let ticket = client.login(CUSTOMER).await;
    let told = client.events(&ticket).await.only().await;
    assert_eq!(told.name, "offer");
    assert_eq!(told.id, told.event.id);
    assert_eq!(told.event.kind, TYPE_OFFER_READY);
    assert_eq!(told.event.subject.as_deref(), Some(ticket.as_str()));
    assert_eq!(settled_by(&told.event), "shop");
    check_stamps(Stamps::of_event(&told.event), false);
}

#[tokio::test]
async fn an_offer_is_told_over_a_websocket() {
    let shop = shop().await;
    let client = shop.client();
    let ticket = client.login(CUSTOMER).await;
    let event = client.ws(&ticket).await.only().await;
    assert_eq!(event.kind, TYPE_OFFER_READY);
    assert_eq!(event.subject.as_deref(), Some(ticket.as_str()));
    check_stamps(Stamps::of_event(&event), false);
}

#[tokio::test]
async fn a_positioned_offer_is_read_from_kv_and_then_from_memory() {
    let shop = shop().await;
    let client = shop.client();
    let ticket = client.login(CUSTOMER).await;
    let offer = positioned(&shop, &ticket).await;
    for place in ["kv", "memory"] {
        let answer = client.offer(&ticket).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, offer);
        assert_ne!(answer.header("headstart-event-id"), "");
        let status = answer.header("cache-status");
        assert!(
            status.ends_with(&format!("; hit; detail={place}")),
            "{status}"
        );
        assert!(answer.header("server-timing").starts_with(place));
        let stamps = answer.stamps();
        assert!(stamps.between(Point::Started, Point::Generated) >= Some(0));
        assert!(stamps.between(Point::Login, Point::Delivered) >= Some(0));
    }
}

#[tokio::test]
async fn a_positioned_offer_is_told_as_event_and_over_a_websocket_too() {
    let shop = shop().await;
    let client = shop.client();
    let ticket = client.login(CUSTOMER).await;
    let offer = positioned(&shop, &ticket).await;
    let stream = client.events(&ticket).await;
    let status = stream.header("cache-status").to_owned();
    assert!(status.ends_with("; hit; detail=kv"), "{status}");
    let told = stream.only().await;
    assert_eq!(told.event.data.as_ref().unwrap().as_bytes(), offer);
    let message = client.ws(&ticket).await.only().await;
    assert_eq!((message.id, message.data), (told.id, told.event.data));
}

#[tokio::test]
async fn every_way_brings_the_same_offer() {
    let shop = shop().await;
    let client = shop.client();
    let ticket = client.login(CUSTOMER).await;
    let (stream, ws) = tokio::join!(client.events(&ticket), client.ws(&ticket));
    let (told, message, poll) =
        tokio::join!(stream.only(), ws.only(), client.offer_within(&ticket, 50));
    let get = client.offer(&ticket).await;
    let kv = Kv::of(&shop).await_offer(&ticket).await;
    check_offer(&poll);
    let offers = [
        told.event.data.as_ref().unwrap().as_bytes(),
        message.data.as_ref().unwrap().as_bytes(),
        &poll.body,
        &get.body,
    ];
    assert!(offers.iter().all(|offer| *offer == kv));
    for id in [&told.id, &message.id, poll.header("headstart-event-id")] {
        assert_eq!(id, get.header("headstart-event-id"));
    }
}

#[tokio::test]
async fn the_same_customer_gets_the_same_offer_and_a_stranger_a_sensible_one() {
    let shop = shop().await;
    let client = shop.client();
    let offer = async |user: &str| {
        let ticket = client.login(user).await;
        client.offer_within(&ticket, 50).await.expect_status(200)
    };
    let (one, two) = tokio::join!(offer(CUSTOMER), offer(CUSTOMER));
    assert_eq!(one.body, two.body);
    let stranger = offer("nobody@shop.example").await.json();
    assert_eq!(stranger["user"], "nobody@shop.example");
    assert!(!stranger["items"].as_array().unwrap().is_empty());
    assert_ne!(stranger["items"], one.json()["items"]);
}

#[tokio::test]
async fn what_the_site_says_of_the_login_reaches_the_generator() {
    let shop = shop().await;
    let client = shop.client();
    let ticket = client
        .login_with(CUSTOMER, &json!({ "max_items": 2 }))
        .await;
    let answer = client.offer_within(&ticket, 50).await;
    assert_eq!(answer.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn any_name_that_a_user_may_have_comes_through_unchanged() {
    let shop = shop().await;
    let client = shop.client();
    let longest = "é".repeat(MAX_USER_BYTES / 2);
    for user in [
        "\"><script>alert(1)</script>",
        "漢字 🎫",
        "a\\b/c?d#e%00&f",
        " ",
        &longest,
    ] {
        let ticket = client.login(user).await;
        let told = client.events(&ticket).await.only().await.event;
        let offer: Value = told.json_data().expect("an offer in JSON");
        assert_eq!(offer["user"], user);
    }
}

#[tokio::test]
async fn the_largest_login_reaches_its_generator() {
    let shop = shop().await;
    let client = shop.client();
    // Room for the frame of the body; each of these takes six bytes of JSON.
    let attributes = json!({ "note": "\u{1}".repeat((MAX_LOGIN_BODY_BYTES - 100) / 6) });
    let ticket = client.login_with(CUSTOMER, &attributes).await;
    let _ = client.offer_within(&ticket, 50).await.expect_status(200);
}

#[tokio::test]
async fn many_logins_at_once_each_get_their_own_offer() {
    let shop = shop().await;
    let client = shop.client();
    let logins = (0..40).map(|n| {
        let client = client.clone();
        async move {
            let user = format!("user-{n}");
            let ticket = client.login(&user).await;
            let told = client.events(&ticket).await.only().await.event;
            assert_eq!(told.subject.as_deref(), Some(ticket.as_str()));
            let offer: Value = told.json_data().unwrap();
            assert_eq!(offer["user"], *user);
        }
    });
    let all = futures_util::future::join_all(logins);
    headstart_tests::wait::within_time(Duration::from_mins(2), "40 offers", all).await;
}
