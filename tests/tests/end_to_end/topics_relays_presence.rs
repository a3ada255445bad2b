//! Who is connected to a topic is one list, wherever they are connected; an ack finds its subscriber,
//! and what names none finds nobody.

use std::{collections::BTreeSet, time::Duration};

use headstart_protocol::{
    channel::{Ack, Place, Up},
    limits::SILENT_AFTER_MS,
    presence::{self, SubscriberList},
};
use headstart_tests::{
    client::Client,
    edge::Edge,
    relays::objects,
    shared::{relaying, relaying_edge},
    subscriber::{Subscriber, Transport, name},
    topics::{fresh_topic, sequence, topic_path},
    wait::until,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

/// How often a subscriber that wants to be listed says that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// Subscribers at the root, at two relays near it and at one far away.
async fn everywhere(client: &Client, topic: &str) -> Vec<Subscriber> {
    let mut subscribers = client.bring_to_relays(topic).await;
    for transport in Transport::ALL.into_iter().cycle().take(6) {
        let subscription = client.subscription(transport, &[topic]);
        subscribers.push(subscription.open_at_relay().await);
    }
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[topic]).from_europe();
        subscribers.push(subscription.open_at_relay().await);
    }
    assert!(
        objects(&subscribers).len() >= 4,
        "{:?}",
        objects(&subscribers)
    );
    subscribers
}

/// Says that a subscriber is there.
async fn say_here(client: &Client, topic: &str, subscriber: &mut Subscriber) {
    if let Transport::Ws = subscriber.transport() {
        subscriber.say(&Up::Here { place: None }).await;
    } else {
        let secret = subscriber.secret_id().to_owned();
        assert_eq!(client.ack(topic, &secret, 1).await.status, 204);
    }
}

/// Waits until the list has so many, all of whom keep saying that they are there.
async fn await_count(
    client: &Client,
    topic: &str,
    subscribers: &mut [Subscriber],
    count: usize,
) -> SubscriberList {
    until("the list of all", async || {
        for subscriber in &mut *subscribers {
            say_here(client, topic, subscriber).await;
        }
        let list = client.subscribers(topic).await;
        assert_eq!(list.count, list.subscribers.len() as u64);
        (list.subscribers.len() == count).then_some(list)
    })
    .await
}

#[tokio::test]
async fn the_list_of_a_topic_has_everyone_at_root_and_relays_once() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = everywhere(&client, &topic).await;
    let all = subscribers.len();
    let list = await_count(&client, &topic, &mut subscribers, all).await;
    let ids: BTreeSet<_> = list.subscribers.iter().map(|one| &one.id).collect();
    assert_eq!(ids.len(), all);
    let streams = list.subscribers.iter();
    let streams = streams.filter(|one| one.transport == presence::Transport::Sse);
    assert_eq!(streams.count(), 4);
    let text = serde_json::to_string(&list).unwrap();
    for subscriber in &subscribers {
        let (_, random) = subscriber.secret_id().split_once('.').unwrap();
        assert!(!text.contains(random), "{text}");
    }
    // Who goes leaves the list, from wherever it was.
    let mut stays = subscribers.split_off(all / 2);
    drop(subscribers);
    let left = stays.len();
    await_count(&client, &topic, &mut stays, left).await;
}

#[tokio::test]
async fn who_comes_and_goes_at_relays_is_told_to_whoever_watches_the_topic() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut stay = client.bring_to_relays(&topic).await;
    await_count(&client, &topic, &mut stay, 3).await;
    let (list, mut changes) = client.watch_subscribers(&topic).await;
    assert_eq!(list.count, 3);
    let mut listed: BTreeSet<_> = list.subscribers.into_iter().map(|one| one.id).collect();
    let before = listed.clone();
    let mut comes = Vec::new();
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[&topic]);
        comes.push(subscription.open_at_relay().await);
    }
    while listed.len() < 5 {
        for one in stay.iter_mut().chain(&mut comes) {
            say_here(&client, &topic, one).await;
        }
        let change = changes.next().await;
        for one in change.joined {
            assert!(listed.insert(one.id), "nobody joins twice");
        }
        assert!(change.left.is_empty(), "{:?}", change.left);
        assert_eq!(change.count, listed.len() as u64);
    }
    // A round trip at a relay is told as a change.
    client.publish_on(&topic, &json!(1)).await;
    let sequence = sequence(&comes[1].update().await);
    let topic_name = name(&topic);
    comes[1]
        .say(&Up::Ack(Ack {
            topic: topic_name,
            sequence,
        }))
        .await;
    loop {
        for one in stay.iter_mut().chain(&mut comes) {
            say_here(&client, &topic, one).await;
        }
        let change = changes.next().await;
        assert!(
            change.joined.is_empty() && change.left.is_empty(),
            "{change:?}"
        );
        if change.changed.iter().any(|one| one.roundtrip.is_some()) {
            break;
        }
    }
    drop(comes);
    // That a stream has gone is noticed when something is written to it.
    client.publish_on(&topic, &json!("gone?")).await;
    while listed.len() > 3 {
        for one in &mut stay {
            say_here(&client, &topic, one).await;
        }
        let change = changes.next().await;
        for id in &change.left {
            assert!(listed.remove(id), "only who was there leaves");
        }
        assert!(change.joined.is_empty(), "{:?}", change.joined);
    }
    assert_eq!(listed, before);
}

#[tokio::test]
async fn acks_at_relays_make_round_trips_over_either_transport() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = everywhere(&client, &topic).await;
    let all = subscribers.len();
    for n in 0..3 {
        client.publish_on(&topic, &json!(n)).await;
        for subscriber in &mut subscribers {
            let sequence = sequence(&subscriber.update().await);
            if let Transport::Ws = subscriber.transport() {
                let topic = name(&topic);
                subscriber.say(&Up::Ack(Ack { topic, sequence })).await;
            } else {
                let secret = subscriber.secret_id().to_owned();
                let answer = client.ack(&topic, &secret, sequence).await;
                assert!(answer.expect_status(204).body.is_empty());
            }
        }
    }
    until("everyone's round trip", async || {
        for subscriber in &mut subscribers {
            say_here(&client, &topic, subscriber).await;
        }
        let list = client.subscribers(&topic).await.subscribers;
        let trips: Vec<_> = list.iter().filter_map(|one| one.roundtrip).collect();
        let sound = |trip: &presence::RoundTrip| trip.p50 <= trip.p90 && trip.p90 <= trip.p99;
        assert!(trips.iter().all(sound), "{trips:?}");
        (trips.len() == all).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whoever_is_silent_at_a_relay_leaves_the_list_and_still_gets_every_update() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut stay = client.bring_to_relays(&topic).await;
    let mut silent = Vec::new();
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[&topic]);
        silent.push(subscription.open_at_relay().await);
    }
    await_count(&client, &topic, &mut stay, 5).await;
    let begun = Instant::now();
    loop {
        for one in &mut stay {
            say_here(&client, &topic, one).await;
        }
        let list = client.subscribers(&topic).await;
        let mut all = list.subscribers.iter();
        assert!(all.all(|one| one.seen < SILENT_AFTER_MS), "{list:?}");
        if list.count == 3 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "nobody leaves: {list:?}"
        );
        sleep(SIGN_OF_LIFE).await;
    }
    let sent = client.publish_on(&topic, &json!(1)).await;
    for mut subscriber in silent {
        assert_eq!(subscriber.update().await.id, sent.id);
        stay.push(subscriber);
    }
    // Whoever is heard again is listed again.
    await_count(&client, &topic, &mut stay, 5).await;
}

#[tokio::test]
async fn a_subscriber_at_a_relay_is_listed_where_it_is() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut stay = client.bring_to_relays(&topic).await;
    let far = client.subscription(Transport::Ws, &[&topic]).from_europe();
    stay.push(far.open_at_relay().await);
    let list = await_count(&client, &topic, &mut stay, 4).await;
    let far: Vec<_> = list
        .subscribers
        .iter()
        .filter(|one| one.place.country.as_deref() == Some("DE"))
        .collect();
    assert_eq!(far.len(), 1, "{list:?}");
    // The network's guess is rounded, what the client shares is not.
    let place = &far[0].place;
    assert_eq!(
        (place.latitude, place.longitude, place.shared),
        (Some(54.0), Some(10.0), false)
    );
    let place = Some(Place::new(53.5511, 9.9937).unwrap());
    stay[3].say(&Up::Here { place }).await;
    client
        .await_subscribers(&topic, "the shared place", |list| {
            let mut shared = list.iter().filter(|one| one.place.shared);
            let place = &shared.next()?.place;
            (place.latitude == Some(53.5511) && place.longitude == Some(9.9937)).then_some(())
        })
        .await;
}

/// What might stand before the random part of a secret id, and names no object.
const NO_OBJECTS: [&str; 27] = [
    "",
    ":",
    ":0",
    "..",
    "a/b",
    "Root",
    "root:0",
    "enam",
    "enam:",
    "enam: 0",
    "enam:-1",
    "enam:00",
    "enam:128",
    "enam:99999999999999999999",
    "enam:0\n",
    "enam:0:a",
    "%65nam:0",
    "ENAM:0",
    "mars:0",
    "many",
    "many:",
    "many:enam",
    "many:enam:0:a",
    "many:many:enam:0",
    "\u{0}",
    "caf\u{e9}",
    "\u{1f600}",
];

#[tokio::test]
async fn a_secret_id_that_was_made_up_finds_nobody() {
    let edge = Edge::start(relaying()).await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_on(&topic, &json!(1)).await;
    let unknown = async |secret: &str| {
        let problem = client.ack(&topic, secret, 1).await.expect_problem(404);
        let kind = problem.kind.as_str();
        assert_eq!(kind, "urn:headstart:unknown-subscriber", "{secret:?}");
    };
    let random = "0123456789abcdef".repeat(2);
    let long = "x".repeat(2000);
    for object in NO_OBJECTS {
        unknown(&format!("{object}.{random}")).await;
    }
    unknown(&format!("enam:0:{topic}.{random}")).await;
    unknown(&format!("{long}.{random}")).await;
    unknown("enam:0").await;
    assert_eq!(
        edge.objects("RelayDo"),
        0,
        "none of these is a relay's name"
    );
    for object in ["root", "enam:0", "enam:127", "many:enam:0", "many:oc:127"] {
        unknown(&format!("{object}.{random}")).await;
        for odd in [
            "",
            ".",
            "x",
            "..",
            "\u{0}",
            "0",
            "';--",
            &random.to_uppercase(),
            &long,
        ] {
            unknown(&format!("{object}.{odd}")).await;
        }
    }
}

#[tokio::test]
async fn a_secret_id_is_good_for_its_own_topic_only() {
    let edge = relaying_edge().await;
    let (client, topic, other) = (edge.client(), fresh_topic(), fresh_topic());
    let subscribers = everywhere(&client, &topic).await;
    let _others = everywhere(&client, &other).await;
    for subscriber in &subscribers {
        let secret = subscriber.secret_id();
        assert_eq!(client.ack(&topic, secret, 1).await.status, 204);
        let problem = client.ack(&other, secret, 1).await.expect_problem(404);
        assert_eq!(problem.kind, "urn:headstart:unknown-subscriber");
        // Nor is it good at another object of its topic.
        let (_, random) = secret.split_once('.').unwrap();
        for object in ["root", "enam:0", "enam:1", "weur:0"] {
            let elsewhere = format!("{object}.{random}");
            if elsewhere != secret {
                let _ = client.ack(&topic, &elsewhere, 1).await.expect_problem(404);
            }
        }
    }
}

#[tokio::test]
async fn where_presence_is_off_relays_tell_of_nobody_and_of_every_update() {
    let edge = Edge::start(relaying().var("PRESENCE", "off")).await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = everywhere(&client, &topic).await;
    let answer = client
        .get(&format!("{}/subscribers", topic_path(&topic)))
        .send()
        .await;
    assert_eq!(
        answer.expect_problem(404).kind,
        "urn:headstart:presence-off"
    );
    let sent = client.publish_on(&topic, &json!(1)).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.update().await.id, sent.id);
        if let Transport::Ws = subscriber.transport() {
            let ack = Ack {
                topic: name(&topic),
                sequence: 1,
            };
            subscriber.say(&Up::Ack(ack)).await;
        }
    }
    let sent = client.publish_on(&topic, &json!(2)).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.update().await.id, sent.id);
    }
}
