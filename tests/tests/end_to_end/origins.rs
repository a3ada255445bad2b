//! Origins scale out by starting more of them, and any of them may go at any time.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use headstart_protocol::{
    link::{FromEdge, FromOrigin},
    ticket::Ticket,
};
use headstart_tests::{
    client::{Client, settled_by},
    edge::Edge,
    edge_config::EdgeConfig,
    events::ready,
    fake_origin::Link,
    gate::{Gate, Mode},
    keys::foreign_key,
    kv::Kv,
    origin::{Origin, OriginConfig},
    sse::Sse,
    ws::Heard,
};
use serde_json::json;
use tokio::task::spawn_blocking;

/// How long a lease lasts where its end is awaited, in seconds.
const LEASE_SECONDS: u32 = 3;

async fn log_in(client: &Client, count: usize) -> Vec<(Ticket, Sse)> {
    join_all((0..count).map(|n| async move {
        let ticket = client.login(&format!("user-{n}")).await;
        let stream = client.events(&ticket).await;
        (ticket, stream)
    }))
    .await
}

/// Asks an origin to end, waits until it has, and gives its log.
async fn stopped(mut origin: Origin) -> String {
    let stopped = spawn_blocking(move || {
        let status = origin.stop();
        assert!(status.success(), "{status}\n{}", origin.log());
        origin.log()
    });
    stopped.await.unwrap()
}

/// How many of these offers came from which origin. Fails where one failed or came twice.
async fn settled(waiting: Vec<(Ticket, Sse)>) -> BTreeMap<String, usize> {
    let told = join_all(waiting.into_iter().map(|(_, stream)| stream.only())).await;
    let mut by_origin = BTreeMap::new();
    for told in &told {
        assert_eq!(told.name, "offer", "{told:?}");
        *by_origin
            .entry(settled_by(&told.event).to_owned())
            .or_default() += 1;
    }
    by_origin
}

#[tokio::test]
async fn two_origins_share_the_logins_of_an_edge() {
    let edge = Edge::start(EdgeConfig::default().var("LOGIN_DESKS", 2)).await;
    let one = Origin::start(OriginConfig::new("one").edge(&edge));
    let two = Origin::start(OriginConfig::new("two").edge(&edge));
    one.logged("linked", 2).await;
    two.logged("linked", 2).await;
    let by_origin = settled(log_in(&edge.client(), 24).await).await;
    assert_eq!(by_origin.values().sum::<usize>(), 24);
    assert!(
        by_origin["one"] >= 4 && by_origin["two"] >= 4,
        "{by_origin:?}"
    );
}

#[tokio::test]
async fn an_origin_that_dies_hands_its_leases_on() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let mut one = Origin::start(OriginConfig::new("one").endless().edge(&edge));
    let waiting = log_in(&edge.client(), 4).await;
    one.generates(4).await;
    let _two = Origin::start(OriginConfig::new("two").edge(&edge));
    one.kill();
    assert_eq!(
        settled(waiting).await,
        BTreeMap::from([("two".to_owned(), 4)])
    );
}

#[tokio::test]
async fn an_origin_that_hangs_loses_its_leases_and_what_it_delivers_late_changes_nothing() {
    let edge = Edge::start(EdgeConfig::default().var("LEASE_SECONDS", LEASE_SECONDS)).await;
    let one = OriginConfig::new("one").edge(&edge);
    let one = Origin::start(one.slow());
    one.logged("linked", 1).await;
    let client = edge.client();
    let ticket = client.login("17850").await;
    let stream = client.events(&ticket).await;
    one.generates(1).await;
    one.freeze();
    let _two = Origin::start(OriginConfig::new("two").edge(&edge));
    let told = stream.only().await;
    assert_eq!(settled_by(&told.event), "two");

    one.thaw();
    let log = stopped(one).await;
    assert!(log.contains(r#"way="event" delivered=1"#), "{log}");
    let answer = client.offer(&ticket).await.expect_status(200);
    assert_eq!(answer.header("headstart-event-id"), told.id);
}

/// Both tests of dead connections wait as long as that takes to be noticed, and no more than this.
const NOTICED: Duration = Duration::from_secs(40);

#[tokio::test]
async fn an_origin_that_is_heard_no_more_loses_its_leases_long_before_they_end() {
    let edge = Edge::start(EdgeConfig::default().var("LEASE_SECONDS", 600)).await;
    let one = Origin::start(OriginConfig::new("one").edge(&edge).endless());
    let waiting = log_in(&edge.client(), 3).await;
    one.generates(3).await;
    one.freeze();
    let _two = Origin::start(OriginConfig::new("two").edge(&edge));
    let by_origin = tokio::time::timeout(NOTICED, settled(waiting)).await;
    assert_eq!(by_origin.unwrap(), BTreeMap::from([("two".to_owned(), 3)]));
}

#[tokio::test]
async fn an_origin_whose_link_stalls_opens_another_and_gets_nothing_over_the_old_one() {
    let edge = Edge::start(EdgeConfig::default().var("LEASE_SECONDS", 600)).await;
    let gate = Gate::before(edge.address(), Mode::Open).await;
    let one = OriginConfig::new("one").edge_through(&edge, &gate.url());
    let one = Origin::start(one);
    one.logged("linked", 1).await;
    gate.stall_links();
    let linked = tokio::time::timeout(NOTICED, one.logged("linked", 2)).await;
    linked.expect("another link in time");
    let waiting = log_in(&edge.client(), 8).await;
    let by_origin = tokio::time::timeout(NOTICED, settled(waiting)).await;
    assert_eq!(by_origin.unwrap(), BTreeMap::from([("one".to_owned(), 8)]));
}

#[tokio::test]
async fn a_link_is_closed_by_the_next_one_of_the_same_run_of_its_origin() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let client = edge.client();
    let hello = |instance: &str| FromOrigin::Hello {
        origin: "test".to_owned(),
        instance: instance.to_owned(),
        capacity: 1,
        held: Vec::new(),
    };
    let mut links = Vec::new();
    for instance in ["first", "second", "second"] {
        let mut link = Link::open(&client, 0).await;
        link.say(&hello(instance)).await;
        links.push(link);
    }
    let [first, old, new] = links.try_into().expect("three links");
    assert_eq!(old.into_ws().hear().await, Heard::Closed(4009));
    for _ in 0..2 {
        client.login("17850").await;
    }
    for mut link in [first, new] {
        link.lease().await;
    }
}

#[tokio::test]
async fn an_origin_that_is_asked_to_end_finishes_what_it_holds() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let one = OriginConfig::new("one")
        .edge(&edge)
        .slow()
        .set("origin.grace_seconds", 50);
    let one = Origin::start(one);
    let waiting = log_in(&edge.client(), 2).await;
    let tickets: Vec<_> = waiting.iter().map(|(ticket, _)| ticket.clone()).collect();
    one.generates(2).await;
    stopped(one).await;
    assert_eq!(
        settled(waiting).await,
        BTreeMap::from([("one".to_owned(), 2)])
    );
    for ticket in tickets {
        assert!(
            Kv::of(&edge).offer(&ticket).await.is_some(),
            "delivered to KV as well"
        );
    }
}

#[tokio::test]
async fn an_origin_that_is_asked_to_end_hands_back_what_it_cannot_finish() {
    let edge = Edge::start(EdgeConfig::default().var("LEASE_SECONDS", 600)).await;
    let one = OriginConfig::new("one")
        .endless()
        .edge(&edge)
        .set("origin.grace_seconds", 1);
    let one = Origin::start(one);
    let waiting = log_in(&edge.client(), 4).await;
    one.generates(4).await;
    let two = Origin::start(OriginConfig::new("two").edge(&edge));
    two.logged("linked", 1).await;
    stopped(one).await;
    // Long before the leases would have ended.
    assert_eq!(
        settled(waiting).await,
        BTreeMap::from([("two".to_owned(), 4)])
    );
}

#[tokio::test]
async fn an_origin_that_does_not_know_the_tickets_hands_logins_to_one_that_does() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let stranger = OriginConfig::new("stranger").edge(&edge);
    let stranger = stranger.env("HEADSTART_TICKET_KEY", &foreign_key().expose());
    let stranger = Origin::start(stranger);
    stranger.logged("linked", 1).await;
    let waiting = log_in(&edge.client(), 3).await;
    stranger.logged("HEADSTART_TICKET_KEY", 1).await;
    let _one = Origin::start(OriginConfig::new("one").edge(&edge));
    assert_eq!(
        settled(waiting).await,
        BTreeMap::from([("one".to_owned(), 3)])
    );
}

#[tokio::test]
async fn an_origin_that_an_edge_does_not_know_is_told_what_to_look_at() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let stranger = OriginConfig::new("stranger").edge(&edge);
    let stranger = stranger.env("HEADSTART_ORIGIN_KEY", &foreign_key().expose());
    let stranger = Origin::start(stranger);
    // Twice: it goes on trying.
    stranger.logged("ORIGIN_KEYS", 2).await;
    assert!(!stranger.log().contains("linked"));
}

#[tokio::test]
async fn an_offer_reaches_every_edge_that_its_origin_serves() {
    let (here, there) = tokio::join!(
        Edge::start(EdgeConfig::default()),
        Edge::start(EdgeConfig::default())
    );
    let _origin = Origin::start(OriginConfig::new("one").edge(&here).edge(&there));
    let ticket = here.client().login("17850").await;
    let elsewhere = there.client().events(&ticket).await.only().await;
    assert_eq!(elsewhere.name, "offer");
    let offer = here
        .client()
        .offer_within(&ticket, 50)
        .await
        .expect_status(200);
    assert_eq!(elsewhere.event.data.unwrap().as_bytes(), offer.body);
    for edge in [&here, &there] {
        assert_eq!(Kv::of(edge).await_offer(&ticket).await, offer.body);
    }
    let back = there.client().login("17850").await;
    let told = there.client().events(&back).await.only().await;
    assert_eq!(told.name, "offer");
}

#[tokio::test]
async fn a_login_is_leased_again_only_when_its_lease_was_lost_or_handed_back() {
    let edge = Edge::start(EdgeConfig::default().var("LEASE_SECONDS", LEASE_SECONDS)).await;
    let client = edge.client();
    let ticket = client.login("17850").await;
    let mut one = Link::open(&client, 1).await;
    let first = one.lease().await;
    assert_eq!(first.login.subject.as_deref(), Some(ticket.as_str()));
    let mut two = Link::open(&client, 1).await;
    // The first origin says nothing: its lease ends.
    let second = two.lease().await;
    assert_eq!(second.login, first.login);
    assert_ne!(second.name, first.name);
    two.release(&second).await;
    let third = tokio::select! {
        lease = one.lease() => lease,
        lease = two.lease() => lease,
    };
    assert_eq!(third.login, first.login);
    // Whoever did it, it is done.
    client.settle(&ready(&ticket, &json!("done"))).await;
    one.ack(&third).await;
    let next = client.login("17851").await;
    let fourth = tokio::select! {
        lease = one.lease() => lease,
        lease = two.lease() => lease,
    };
    assert_eq!(fourth.login.subject.as_deref(), Some(next.as_str()));
}

#[tokio::test]
async fn no_origin_gets_more_than_it_has_room_for_and_none_once_it_drains() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let client = edge.client();
    let mut one = Link::open(&client, 2).await;
    let tickets = join_all((0..3).map(|n| {
        let client = client.clone();
        async move { client.login(&format!("user-{n}")).await }
    }))
    .await;
    let (first, second) = (one.lease().await, one.lease().await);
    // With room for two it gets the third only once one is done.
    one.ack(&first).await;
    let third = one.lease().await;
    let mut leased: Vec<_> = [&first, &second, &third]
        .map(|lease| lease.login.subject.clone().unwrap())
        .into();
    let mut expected: Vec<_> = tickets
        .iter()
        .map(|ticket| ticket.as_str().to_owned())
        .collect();
    leased.sort();
    expected.sort();
    assert_eq!(leased, expected);

    one.say(&FromOrigin::Drain {}).await;
    one.ack(&second).await;
    let late = client.login("late").await;
    let mut two = Link::open(&client, 1).await;
    assert_eq!(
        two.lease().await.login.subject.as_deref(),
        Some(late.as_str())
    );
}

#[tokio::test]
async fn a_link_outlives_the_sleep_of_its_desk() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let client = edge.client();
    let mut link = Link::open(&client, 1).await;
    // An object that has nothing but hibernating WebSockets is put to sleep after 10 s.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let ticket = client.login("17850").await;
    let lease = link.lease().await;
    assert_eq!(lease.login.subject.as_deref(), Some(ticket.as_str()));
    link.ack(&lease).await;
    let next = client.login("17850").await;
    let lease = link.lease().await;
    assert_eq!(lease.login.subject.as_deref(), Some(next.as_str()));
}

#[tokio::test]
async fn a_message_that_is_not_of_the_link_closes_it_and_harms_no_login() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let client = edge.client();
    let ticket = client.login("17850").await;
    for (message, code) in [
        ("{".to_owned(), 1007),
        (r#"{"welcome":{}}"#.to_owned(), 1007),
        ("x".repeat(100_000), 1009),
    ] {
        let mut link = Link::open(&client, 1).await.into_ws();
        link.say(message).await;
        let heard = loop {
            match link.hear().await {
                Heard::Text(text) => drop(serde_json::from_str::<FromEdge>(&text).unwrap()),
                other => break other,
            }
        };
        assert_eq!(heard, Heard::Closed(code));
    }
    let _origin = Origin::start(OriginConfig::new("one").edge(&edge));
    let told = client.events(&ticket).await.only().await;
    assert_eq!(
        (told.name.as_str(), settled_by(&told.event)),
        ("offer", "one")
    );
}
