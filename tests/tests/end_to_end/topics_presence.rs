//! Who follows a topic, how far away and where they are: told to whoever asks, and as they come and go.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use headstart_protocol::{
    channel::{Ack, Place, Up},
    limits::{MAX_ACK_BODY_BYTES, SILENT_AFTER_MS},
    presence::{self, RoundTrip, SubscriberPlace},
};
use headstart_tests::{
    keys::now_ms,
    shared::{edge, forgetful_edge},
    subscriber::{Subscriber, Transport, name},
    topics::{fresh_topic, sequence, topic_path},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// How far the clocks of the test and of the edge, on one machine, may seem apart.
const CLOCK_MS: u64 = 60_000;

/// How often a subscriber that wants to be listed says that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// Reads the next update and acks it over the WebSocket.
async fn ack_next(subscriber: &mut Subscriber, topic: &str) {
    let sequence = sequence(&subscriber.update().await);
    let topic = name(topic);
    subscriber.say(&Up::Ack(Ack { topic, sequence })).await;
}

fn is_sound(roundtrip: &RoundTrip) -> bool {
    roundtrip.p50 <= roundtrip.p90 && roundtrip.p90 <= roundtrip.p99 && roundtrip.last <= CLOCK_MS
}

#[tokio::test]
async fn a_topic_that_nobody_follows_has_an_empty_list() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let list = client.subscribers(&topic).await;
    assert_eq!(
        (list.topic, list.count, list.subscribers.len()),
        (name(&topic), 0, 0)
    );
    // Asking who is there makes nobody be there.
    let (list, _changes) = client.watch_subscribers(&topic).await;
    assert_eq!(list.count, 0);
    assert_eq!(client.subscribers(&topic).await.count, 0);
}

#[tokio::test]
async fn subscribers_see_each_other_with_their_round_trips() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let begun = now_ms();
    let mut one = client.subscribe(Transport::Ws, &topic).await;
    let mut two = client.subscribe(Transport::Ws, &topic).await;
    let list = client.subscribers(&topic).await;
    assert_eq!((list.count, list.subscribers.len()), (2, 2));
    for subscriber in &list.subscribers {
        assert_eq!(subscriber.transport, presence::Transport::Ws);
        assert!(
            subscriber.connectedat.abs_diff(begun) < CLOCK_MS,
            "{subscriber:?}"
        );
        assert!(subscriber.seen < SILENT_AFTER_MS, "{subscriber:?}");
        assert_eq!(subscriber.roundtrip, None);
    }
    for n in 0..5 {
        client.publish_on(&topic, &json!(n)).await;
        ack_next(&mut one, &topic).await;
        ack_next(&mut two, &topic).await;
    }
    let trips = client
        .await_subscribers(&topic, "both round trips", |list| {
            let trips: Option<Vec<_>> =
                list.iter().map(|subscriber| subscriber.roundtrip).collect();
            trips.filter(|trips| trips.len() == 2)
        })
        .await;
    assert!(trips.iter().all(is_sound), "{trips:?}");
}

#[tokio::test]
async fn a_round_trip_is_the_time_until_the_ack() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscriber = client.subscribe(Transport::Ws, &topic).await;
    client.publish_on(&topic, &json!(1)).await;
    let sequence = sequence(&subscriber.update().await);
    sleep(Duration::from_millis(700)).await;
    let ack = Up::Ack(Ack {
        topic: name(&topic),
        sequence,
    });
    subscriber.say(&ack).await;
    // Once more for the same update says nothing new.
    subscriber.say(&ack).await;
    let trip = client
        .await_subscribers(&topic, "the round trip", |list| list.first()?.roundtrip)
        .await;
    assert!((600..30_000).contains(&trip.last), "{trip:?}");
    assert!(is_sound(&trip), "{trip:?}");
}

#[tokio::test]
async fn a_client_of_server_sent_events_acks_by_request() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscriber = client.subscribe(Transport::Sse, &topic).await;
    client.publish_on(&topic, &json!(1)).await;
    let sequence = sequence(&subscriber.update().await);
    let secret = subscriber.secret_id().to_owned();
    let answer = client
        .ack(&topic, &secret, sequence)
        .await
        .expect_status(204);
    assert!(answer.body.is_empty());
    let found = client
        .await_subscribers(&topic, "the round trip", |list| {
            list.iter()
                .find(|subscriber| subscriber.roundtrip.is_some())
                .cloned()
        })
        .await;
    assert_eq!(found.transport, presence::Transport::Sse);
    assert!(is_sound(&found.roundtrip.unwrap()));
    // What nobody has sent has no round trip, and does no harm.
    for sequence in [0, sequence + 100, u64::MAX] {
        let status = client.ack(&topic, &secret, sequence).await.status;
        assert!(matches!(status, 204 | 400), "{sequence}: {status}");
    }
}

#[tokio::test]
async fn acks_name_a_subscriber_by_an_id_that_only_it_knows() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut secrets = BTreeSet::new();
    let mut subscribers = Vec::new();
    for transport in [Transport::Sse, Transport::Ws, Transport::Sse] {
        let subscriber = client.subscribe(transport, &topic).await;
        secrets.insert(subscriber.secret_id().to_owned());
        subscribers.push(subscriber);
    }
    assert_eq!(secrets.len(), 3);
    client.publish_on(&topic, &json!(1)).await;
    let list = client.subscribers(&topic).await;
    let text = serde_json::to_string(&list).unwrap();
    assert!(
        secrets.iter().all(|secret| !text.contains(secret.as_str())),
        "{text}"
    );
    for subscriber in &list.subscribers {
        let hex = subscriber
            .id
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        assert!(hex && subscriber.id.len() == 16, "{subscriber:?}");
        assert!(
            secrets
                .iter()
                .all(|secret| !secret.contains(&subscriber.id))
        );
        let problem = client
            .ack(&topic, &subscriber.id, 1)
            .await
            .expect_problem(404);
        assert_eq!(problem.kind, "urn:headstart:unknown-subscriber");
    }
    for stranger in [
        "",
        "0",
        "'; --",
        "0123456789abcdef",
        &"f".repeat(32),
        &"x".repeat(2000),
    ] {
        let answer = client.ack(&topic, stranger, 1).await;
        assert_eq!(
            answer.expect_problem(404).kind,
            "urn:headstart:unknown-subscriber",
            "{stranger}"
        );
    }
    // A subscriber of another topic is none of this one.
    let elsewhere = fresh_topic();
    let secret = subscribers[0].secret_id();
    let _ = client.ack(&elsewhere, secret, 1).await.expect_problem(404);
}

#[tokio::test]
async fn an_ack_that_is_none_is_refused() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let subscriber = client.subscribe(Transport::Sse, &topic).await;
    let good = json!({ "subscriber": subscriber.secret_id(), "sequence": 1 });
    for (member, value) in [
        ("sequence", json!(-1)),
        ("sequence", json!("1")),
        ("sequence", json!(1.5)),
        ("sequence", json!(null)),
        ("subscriber", json!(7)),
        ("place", json!("here")),
        ("place", json!({ "latitude": 1 })),
        ("place", json!({ "latitude": 91, "longitude": 0 })),
        ("place", json!({ "latitude": 0, "longitude": -181 })),
        ("place", json!({ "latitude": "1", "longitude": "1" })),
    ] {
        let mut bad = good.clone();
        bad[member] = value;
        let problem = client.ack_with(&topic, &bad).await.expect_problem(400);
        assert_eq!(problem.kind, "urn:headstart:malformed-ack", "{bad}");
    }
    for bad in [json!({}), json!([]), json!(null), json!("x")] {
        let _ = client.ack_with(&topic, &bad).await.expect_problem(400);
    }
    let path = format!("{}/acks", topic_path(&topic));
    for (body, status) in [
        (b"{".to_vec(), 400),
        (b"\xFF".to_vec(), 400),
        (vec![b' '; MAX_ACK_BODY_BYTES + 1], 413),
    ] {
        let answer = client.post(&path, "application/json", body).send().await;
        let _ = answer.expect_problem(status);
    }
    assert_eq!(client.ack_with(&topic, &good).await.status, 204);
}

#[tokio::test]
async fn whoever_is_silent_leaves_the_list_and_still_gets_every_update() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut silent = Vec::new();
    for transport in Transport::ALL {
        silent.push(client.subscribe(transport, &topic).await);
    }
    let mut here = client.subscribe(Transport::Ws, &topic).await;
    let mut pinging = client.subscribe(Transport::Ws, &topic).await;
    let acking = client.subscribe(Transport::Sse, &topic).await;
    let secret = acking.secret_id().to_owned();
    assert_eq!(client.subscribers(&topic).await.count, 5);
    let begun = Instant::now();
    // A busy machine may see the silent ones leave late, never early, and the others not at all.
    let left = loop {
        here.say(&Up::Here { place: None }).await;
        pinging.ws().say("ping").await;
        assert_eq!(client.ack(&topic, &secret, 1).await.status, 204);
        let list = client.subscribers(&topic).await;
        assert!(
            list.subscribers
                .iter()
                .all(|subscriber| subscriber.seen < SILENT_AFTER_MS)
        );
        // The two silent ones may leave one after the other.
        if list.count <= 3 {
            break list;
        }
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "nobody leaves: {list:?}"
        );
        sleep(SIGN_OF_LIFE).await;
    };
    let waited = u64::try_from(begun.elapsed().as_millis()).unwrap();
    assert!(waited + 1000 >= SILENT_AFTER_MS, "left after {waited} ms");
    assert_eq!((left.count, left.subscribers.len()), (3, 3), "{left:?}");

    let sent = client.publish_on(&topic, &json!(1)).await;
    for mut subscriber in silent {
        assert_eq!(subscriber.update().await.id, sent.id);
        // Whoever is heard again is listed again.
        if let Transport::Sse = subscriber.transport() {
            let secret = subscriber.secret_id().to_owned();
            assert_eq!(client.ack(&topic, &secret, 1).await.status, 204);
        } else {
            subscriber.say(&Up::Here { place: None }).await;
        }
        client
            .await_subscribers(&topic, "the silent one to be back", |list| {
                (list.len() >= 4).then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn coordinates_are_rounded_unless_the_client_shares_its_own() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut sharing = client.subscribe(Transport::Ws, &topic).await;
    let quiet = client.subscribe(Transport::Ws, &topic).await;
    let guessed = client.subscribers(&topic).await;
    for subscriber in &guessed.subscribers {
        let SubscriberPlace {
            latitude,
            longitude,
            shared,
            ..
        } = subscriber.place;
        assert!(!shared);
        for degrees in [latitude, longitude].into_iter().flatten() {
            assert!(degrees.fract() == 0.0, "{subscriber:?}");
        }
    }
    let place = Place::new(-33.8688, 151.2093).unwrap();
    sharing.say(&Up::Here { place: Some(place) }).await;
    let exact = |place: &SubscriberPlace| {
        place.latitude == Some(-33.8688) && place.longitude == Some(151.2093)
    };
    client
        .await_subscribers(&topic, "the shared place", |list| {
            let shared: Vec<_> = list
                .iter()
                .filter(|subscriber| subscriber.place.shared)
                .collect();
            (shared.len() == 1 && exact(&shared[0].place)).then_some(())
        })
        .await;
    drop((sharing, quiet));

    let topic = fresh_topic();
    let subscriber = client.subscribe(Transport::Sse, &topic).await;
    let ack = json!({
        "subscriber": subscriber.secret_id(),
        "sequence": 1,
        "place": { "latitude": -33.8688, "longitude": 151.2093 },
    });
    assert_eq!(client.ack_with(&topic, &ack).await.status, 204);
    let list = client.subscribers(&topic).await.subscribers;
    assert!(list[0].place.shared && exact(&list[0].place), "{list:?}");
}

#[tokio::test]
async fn who_comes_and_goes_is_told_at_most_once_a_second() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut stays = client.subscribe(Transport::Ws, &topic).await;
    let (list, mut changes) = client.watch_subscribers(&topic).await;
    assert_eq!((list.count, list.subscribers.len()), (1, 1));
    let mut listed: BTreeSet<_> = list.subscribers.into_iter().map(|one| one.id).collect();
    let begun = Instant::now();
    let come = async {
        let mut all = Vec::new();
        for n in 0..12 {
            sleep(Duration::from_millis(200)).await;
            all.push(client.subscribe(Transport::Ws, &topic).await);
            client.publish_on(&topic, &json!(n)).await;
            ack_next(&mut stays, &topic).await;
        }
        all
    };
    let mut told = 0;
    let mut measured = 0;
    let watch = async {
        while listed.len() < 13 {
            let change = changes.next().await;
            told += 1;
            measured += change.changed.len();
            for one in change.joined {
                assert!(listed.insert(one.id), "nobody joins twice");
            }
            assert!(change.left.is_empty(), "{:?}", change.left);
            assert_eq!(change.count, listed.len() as u64);
        }
    };
    let (all, ()) = tokio::join!(come, watch);
    let seconds = begun.elapsed().as_secs();
    assert!(told <= seconds + 2, "{told} in {seconds} s");
    assert!(told < 12, "{told} changes for 12 who came");
    assert!(measured >= 1, "the one that acks has a round trip");

    drop(all);
    while listed.len() > 1 {
        stays.say(&Up::Here { place: None }).await;
        let change = changes.next().await;
        for id in &change.left {
            assert!(listed.remove(id), "only who was there leaves");
        }
        assert!(change.joined.is_empty(), "{:?}", change.joined);
    }
    assert_eq!(client.subscribers(&topic).await.count, 1);
}

#[tokio::test]
async fn a_list_that_is_followed_is_the_same_for_all_who_follow_it() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let watchers = join_all((0..3).map(|_| client.watch_subscribers(&topic))).await;
    let _subscriber = client.subscribe(Transport::Ws, &topic).await;
    let mut ids = BTreeSet::new();
    for (_, mut changes) in watchers {
        let change = changes.next().await;
        assert_eq!((change.count, change.joined.len()), (1, 1));
        ids.insert(change.joined[0].id.clone());
    }
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn where_presence_is_off_nobody_is_told_of_anybody() {
    let edge = forgetful_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for transport in Transport::ALL {
        let mut subscriber = client.subscribe(transport, &topic).await;
        for way in ["subscribers", "subscribers/events"] {
            let answer = client
                .get(&format!("{}/{way}", topic_path(&topic)))
                .send()
                .await;
            assert_eq!(
                answer.expect_problem(404).kind,
                "urn:headstart:presence-off"
            );
        }
        // Updates come all the same, and an ack does no harm.
        let sent = client.publish_on(&topic, &json!(1)).await;
        let got = subscriber.update().await;
        assert_eq!(got.id, sent.id);
        if let Transport::Ws = transport {
            let ack = Ack {
                topic: name(&topic),
                sequence: sequence(&got),
            };
            subscriber.say(&Up::Ack(ack)).await;
            subscriber.say(&Up::Here { place: None }).await;
        } else {
            let secret = subscriber.secret_id().to_owned();
            let status = client.ack(&topic, &secret, 1).await.status;
            assert!(matches!(status, 204 | 404), "{status}");
        }
        let sent = client.publish_on(&topic, &json!(2)).await;
        assert_eq!(subscriber.update().await.id, sent.id);
    }
}
