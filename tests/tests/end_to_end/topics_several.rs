//! Several topics on one connection: each of them is told as on a connection of its own.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use headstart_protocol::{
    channel::{Ack, Gap, Up},
    event::Event,
    limits::MAX_TOPICS_PER_CONNECTION,
    presence,
};
use headstart_tests::{
    client::Client,
    edge::Edge,
    relays::objects,
    shared::{
        FORGETFUL_COUNT, PAGE, RELAY_CAPACITY, RELAYED_HISTORY, edge, forgetful_edge, relaying,
        relaying_edge,
    },
    subscriber::{News, Subscriber, Subscription, Transport, name},
    topics::{fresh_topic, ids, sequences, update, updates},
    wait::{LONG, within_time},
};
use reqwest::Method;
use serde_json::json;

use crate::topics_resume::UNTIL_ASLEEP;

/// Two topics that no other test has.
fn two() -> [String; 2] {
    [fresh_topic(), fresh_topic()]
}

fn asked(client: &Client, transport: Transport, topics: &[String]) -> Subscription {
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();
    client.subscription(transport, &topics).by_query()
}

/// The next updates, as many as that, each under its topic.
async fn by_topic(subscriber: &mut Subscriber, count: usize) -> BTreeMap<String, Vec<Event>> {
    let mut topics: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for event in subscriber.updates(count).await {
        let topic = event.subject.clone().expect("an update has a topic");
        topics.entry(topic).or_default().push(event);
    }
    topics
}

fn path_of(topics: &[String]) -> String {
    let pairs: Vec<_> = topics
        .iter()
        .map(|topic| format!("topic={topic}"))
        .collect();
    format!("/topics?{}", pairs.join("&"))
}

#[tokio::test]
async fn each_topic_of_a_connection_is_told_once_and_in_its_order() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let topics = [fresh_topic(), fresh_topic(), fresh_topic()];
        let sent: Vec<_> = topics.iter().map(|topic| updates(topic, 30)).collect();
        client.publish_all(&sent[1][..5]).await;
        let mut subscriber = asked(&client, transport, &topics).open().await;
        assert!(
            subscriber.object().starts_with("many:enam:"),
            "{}",
            subscriber.object()
        );
        let heads: Vec<_> = topics.iter().map(|topic| subscriber.head(topic)).collect();
        assert_eq!(heads, [0, 5, 0]);
        // Not one of its own.
        client.publish_on(&fresh_topic(), &json!("other")).await;
        for n in 5..15 {
            for sent in &sent {
                client.settle(&sent[n]).await;
            }
        }
        let mixed: Vec<_> = (15..30)
            .flat_map(|n| sent.iter().map(move |sent| sent[n].clone()))
            .collect();
        client.publish_all(&mixed).await;
        let got = by_topic(&mut subscriber, 75).await;
        for (topic, sent) in topics.iter().zip(&sent) {
            assert_eq!(ids(&got[topic]), ids(&sent[5..]));
        }
        assert!(sequences(&got[&topics[0]]).into_iter().eq(1..=25));
    }
}

#[tokio::test]
async fn a_frames_id_is_the_cursor_of_all_topics_in_the_order_asked() {
    let edge = edge().await;
    let (client, [a, b]) = (edge.client(), two());
    for topics in [[&a, &b], [&b, &a]] {
        let before = client.since(&a, 0).await.latest;
        let path = path_of(&topics.map(Clone::clone));
        let mut stream = client.get(&path).open_sse().await.unwrap();
        assert_eq!(stream.header("cache-control"), "private, no-store");
        assert_eq!(stream.header("x-accel-buffering"), "no");
        let cursor = |of_a: u64| {
            let at = topics.map(|topic| {
                if *topic == a {
                    (topic, of_a)
                } else {
                    (topic, 0)
                }
            });
            at.map(|(topic, at)| format!("{topic}={at}")).join(",")
        };
        let frame = stream.frame().await.unwrap();
        assert_eq!((frame.name.as_str(), frame.id), ("welcome", cursor(before)));
        assert!(stream.seen().starts_with("retry: "), "{}", stream.seen());
        client.publish_on(&a, &json!(1)).await;
        let frame = stream.frame().await.unwrap();
        assert_eq!(
            (frame.name.as_str(), frame.id),
            ("update", cursor(before + 1))
        );
    }
}

#[tokio::test]
async fn whoever_comes_back_gets_what_was_missed_of_each_topic() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let [a, b] = two();
        let (of_a, of_b) = (updates(&a, 9), updates(&b, 9));
        let subscription = asked(&client, transport, &[a.clone(), b.clone()]);
        let mut subscriber = subscription.open().await;
        client.publish_all(&of_a[..3]).await;
        client.publish_all(&of_b[..1]).await;
        subscriber.updates(4).await;
        assert_eq!(subscriber.cursor(), format!("{a}=3,{b}=1"));
        let resumption = subscriber.resumption();
        drop(subscriber);
        client.publish_all(&of_b[1..6]).await;
        client.publish_all(&of_a[3..4]).await;
        // By the query as by the header, which a browser sends anew and so goes before it.
        let by_header = subscription
            .clone()
            .after(format!("{a}=0,{b}=0"))
            .header("last-event-id", &format!("{a}=3,{b}=1"));
        let mut subscribers = vec![resumption.open().await];
        if let Transport::Sse = transport {
            subscribers.push(by_header.open().await);
        }
        for subscriber in &mut subscribers {
            let got = by_topic(subscriber, 6).await;
            assert_eq!(ids(&got[&b]), ids(&of_b[1..6]));
            assert_eq!(ids(&got[&a]), ids(&of_a[3..4]));
        }
        client.publish_all(&of_a[4..]).await;
        client.publish_all(&of_b[6..]).await;
        for subscriber in &mut subscribers {
            let got = by_topic(subscriber, 8).await;
            assert_eq!(
                (ids(&got[&a]), ids(&got[&b])),
                (ids(&of_a[4..]), ids(&of_b[6..]))
            );
        }
    }
}

#[tokio::test]
async fn a_cursor_may_name_some_topics_and_topics_that_were_not_asked_for() {
    let edge = edge().await;
    let (client, [a, b]) = (edge.client(), two());
    client.publish_all(&updates(&a, 4)).await;
    client.publish_all(&updates(&b, 4)).await;
    for transport in Transport::ALL {
        let (of_a, of_b) = (
            client.since(&a, 0).await.latest,
            client.since(&b, 0).await.latest,
        );
        let both = asked(&client, transport, &[a.clone(), b.clone()]);
        let cursor = format!("elsewhere=7,{b}=1");
        // A topic that the cursor does not name begins at its head, or with its current value.
        let mut plain = both.clone().after(&cursor).open().await;
        let mut latest = both.after(&cursor).latest().open().await;
        client.publish_on(&a, &json!("next")).await;
        client.publish_on(&b, &json!("next")).await;
        let missed = usize::try_from(of_b - 1).unwrap();
        let got = by_topic(&mut plain, missed + 2).await;
        assert_eq!(sequences(&got[&a]), [of_a + 1]);
        assert!(sequences(&got[&b]).into_iter().eq(2..=of_b + 1));
        let got = by_topic(&mut latest, missed + 3).await;
        assert_eq!(sequences(&got[&a]), [of_a, of_a + 1]);
        assert!(sequences(&got[&b]).into_iter().eq(2..=of_b + 1));
    }
}

#[tokio::test]
async fn a_topic_that_is_named_twice_is_one() {
    let edge = edge().await;
    let (client, [a, b]) = (edge.client(), two());
    for transport in Transport::ALL {
        let topics = [&b, &a, &b, &a, &b].map(Clone::clone);
        let mut subscriber = asked(&client, transport, &topics).open().await;
        let heads = (subscriber.head(&a), subscriber.head(&b));
        assert_eq!(
            subscriber.cursor(),
            format!("{b}={},{a}={}", heads.1, heads.0)
        );
        let mut alone = asked(&client, transport, &[a.clone(), a.clone()])
            .open()
            .await;
        let of_a = client.publish_on(&a, &json!(1)).await;
        let of_b = client.publish_on(&b, &json!(1)).await;
        let got = by_topic(&mut subscriber, 2).await;
        assert_eq!(
            (ids(&got[&a]), ids(&got[&b])),
            (vec![of_a.id.as_str()], vec![of_b.id.as_str()])
        );
        assert_eq!(alone.update().await.id, of_a.id);
        assert_eq!(alone.cursor(), (heads.0 + 1).to_string());
    }
}

#[tokio::test]
async fn one_topic_may_be_asked_for_in_the_same_way() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let topic = fresh_topic();
        let sent = updates(&topic, 3);
        client.publish_all(&sent[..2]).await;
        let one = asked(&client, transport, std::slice::from_ref(&topic));
        for cursor in [
            "1".to_owned(),
            format!("{topic}=1"),
            format!("x=9,{topic}=1"),
        ] {
            let mut subscriber = one.clone().after(&cursor).open().await;
            assert_eq!(subscriber.update().await.id, sent[1].id, "{cursor}");
            // It may go on by either route.
            assert_eq!(subscriber.cursor(), "2");
        }
        let mut latest = one.latest().open().await;
        client.settle(&sent[2]).await;
        assert_eq!(ids(&latest.updates(2).await), ids(&sent[1..]));
    }
}

#[tokio::test]
async fn as_many_topics_as_may_be_on_one_connection_work_and_one_more_is_refused() {
    let edge = edge().await;
    let client = edge.client();
    let mut topics: Vec<_> = (0..MAX_TOPICS_PER_CONNECTION)
        .map(|_| fresh_topic())
        .collect();
    for transport in Transport::ALL {
        let mut subscriber = asked(&client, transport, &topics).open().await;
        let mut sent: Vec<_> = topics
            .iter()
            .map(|topic| update(topic, &json!(1)))
            .collect();
        client.publish_all(&sent).await;
        let mut got = subscriber.updates(topics.len()).await;
        for events in [&mut sent, &mut got] {
            events.sort_by(|a, b| a.subject.cmp(&b.subject));
        }
        assert_eq!(ids(&got), ids(&sent));
        // All of them are in the cursor, and it is taken back.
        let mut subscriber = subscriber.resume().await;
        let next = client.publish_on(&topics[31], &json!("next")).await;
        assert_eq!(subscriber.update().await.id, next.id);
    }
    topics.push(fresh_topic());
    for transport in Transport::ALL {
        let refused = asked(&client, transport, &topics).connect().await;
        let problem = refused.err().expect("too many").expect_problem(400);
        assert_eq!(problem.kind, "urn:headstart:topic-count");
    }
}

#[tokio::test]
async fn no_topic_is_refused() {
    let edge = edge().await;
    let client = edge.client();
    for query in ["", "?", "?latest=1", "?topics=a", "?Topic=a", "?topic"] {
        let call = client.get(&format!("/topics{query}"));
        let answers = [Some(call.clone().send().await), call.open_ws().await.err()];
        for answer in answers {
            let problem = answer.expect("refused").expect_problem(400);
            assert_eq!(problem.kind, "urn:headstart:topic-count", "{query}");
        }
    }
}

#[tokio::test]
async fn what_is_no_topic_is_not_found_among_others() {
    let edge = edge().await;
    let client = edge.client();
    for bad in [
        "", "a//b", "/a", "a/", "a%20b", "a+b%2F", "a,b", "a=1", "a*", "%C3%A9", "%252F", "a%00",
        "a%FF", "..", "a/../b", "events", "a/ws", "a/acks",
    ] {
        for query in [
            format!("topic={bad}"),
            format!("topic=a&topic={bad}&topic=b"),
        ] {
            let call = client.get(&format!("/topics?{query}"));
            let answers = [Some(call.clone().send().await), call.open_ws().await.err()];
            for answer in answers {
                let problem = answer.expect("refused").expect_problem(404);
                assert_eq!(problem.kind, "urn:headstart:unknown-topic", "{query}");
            }
        }
    }
}

#[tokio::test]
async fn a_cursor_that_is_none_of_several_topics_is_refused() {
    let edge = edge().await;
    let (client, [a, b]) = (edge.client(), two());
    let topics = [a.clone(), b.clone()];
    for bad in [
        "7".to_owned(),
        "x".to_owned(),
        a.clone(),
        format!("{a}="),
        format!("{a}=-1"),
        format!("{a}=1.5"),
        format!("{a}=1,"),
        format!(",{a}=1"),
        format!("{a}=1,{a}=2"),
        format!("{a}=1, {b}=2"),
        format!("{a}=1;{b}=2"),
        format!("{a}=1&{b}=2"),
        format!("{a}=99999999999999999999"),
        format!("{a}=1,a//b=2"),
        "\u{0}".to_owned(),
        "=".to_owned(),
        ",".repeat(5000),
    ] {
        for transport in Transport::ALL {
            let refused = asked(&client, transport, &topics)
                .after(&bad)
                .connect()
                .await;
            let answer = refused.err().unwrap_or_else(|| panic!("taken: {bad}"));
            let problem = answer.expect_problem(400);
            assert_eq!(problem.kind, "urn:headstart:malformed-cursor", "{bad}");
        }
    }
    let by_header = client.get(&path_of(&topics)).header("last-event-id", "7");
    let _ = by_header.send().await.expect_problem(400);
}

#[tokio::test]
async fn whoever_asks_for_the_latest_gets_that_of_each_topic_first() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let [a, b] = two();
        let empty = fresh_topic();
        client.publish_all(&updates(&a, 3)).await;
        client.publish_all(&updates(&b, 1)).await;
        let topics = [a.clone(), empty.clone(), b.clone()];
        let mut subscriber = asked(&client, transport, &topics).latest().open().await;
        let first = by_topic(&mut subscriber, 2).await;
        assert_eq!(
            (sequences(&first[&a]), sequences(&first[&b])),
            (vec![3], vec![1])
        );
        for topic in &topics {
            client.publish_on(topic, &json!("next")).await;
        }
        let next = by_topic(&mut subscriber, 3).await;
        let next = topics.each_ref().map(|topic| sequences(&next[topic])[0]);
        assert_eq!(next, [4, 1, 2]);
    }
}

#[tokio::test]
async fn a_gap_of_one_topic_is_told_of_that_one_only() {
    let edge = forgetful_edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let [a, b] = two();
        client.publish_all(&updates(&a, FORGETFUL_COUNT + 5)).await;
        client.publish_all(&updates(&b, 3)).await;
        let subscription = asked(&client, transport, &[b.clone(), a.clone()]);
        let mut subscriber = subscription.after(format!("{a}=2,{b}=1")).open().await;
        let (mut gaps, mut got) = (Vec::new(), Vec::new());
        let left = usize::try_from(FORGETFUL_COUNT).unwrap() + 2;
        while got.len() < left {
            match subscriber.next().await {
                News::Update(event) => got.push(event),
                News::Gap(gap) => gaps.push(gap),
                other => panic!("unexpected: {other:?}"),
            }
        }
        let gap = Gap {
            topic: name(&a),
            after: 2,
            first: 6,
        };
        assert_eq!(gaps, [gap]);
        // It goes on as ever on both.
        client.publish_on(&a, &json!("next")).await;
        client.publish_on(&b, &json!("next")).await;
        let next = by_topic(&mut subscriber, 2).await;
        assert_eq!(
            (sequences(&next[&a]), sequences(&next[&b])),
            (vec![FORGETFUL_COUNT + 6], vec![4])
        );
    }
}

#[tokio::test]
async fn a_subscriber_is_listed_at_each_of_its_topics_and_acks_each_by_name() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let [a, b] = two();
        let mut subscriber = asked(&client, transport, &[a.clone(), b.clone()])
            .open()
            .await;
        let expected = match transport {
            Transport::Sse => presence::Transport::Sse,
            Transport::Ws => presence::Transport::Ws,
        };
        for topic in [&a, &b] {
            let found = client.await_subscribers(topic, "the subscriber", |list| {
                (list.len() == 1).then(|| list[0].clone())
            });
            let found = found.await;
            assert_eq!((found.transport, found.roundtrip), (expected, None));
        }
        let secret = subscriber.secret_id().to_owned();
        client.publish_on(&a, &json!(1)).await;
        client.publish_on(&b, &json!(1)).await;
        subscriber.updates(2).await;
        let ack = async |subscriber: &mut Subscriber, topic: &str| {
            if let Transport::Ws = transport {
                let topic = name(topic);
                subscriber.say(&Up::Ack(Ack { topic, sequence: 1 })).await;
            } else {
                assert_eq!(client.ack(topic, &secret, 1).await.status, 204);
            }
        };
        ack(&mut subscriber, &a).await;
        let round_trip = |topic: &str| {
            let (client, topic) = (client.clone(), topic.to_owned());
            async move {
                let what = "the round trip";
                let trip = client.await_subscribers(&topic, what, |list| list.first()?.roundtrip);
                trip.await
            }
        };
        round_trip(&a).await;
        let of_b = client.subscribers(&b).await.subscribers;
        assert!(of_b.iter().all(|one| one.roundtrip.is_none()), "{of_b:?}");
        ack(&mut subscriber, &b).await;
        round_trip(&b).await;
        // It is none of another topic's subscribers, and saying so does no harm.
        let other = fresh_topic();
        let _ = client.ack(&other, &secret, 1).await.expect_problem(404);
        if let Transport::Ws = transport {
            ack(&mut subscriber, &other).await;
        }
        let next = client.publish_on(&b, &json!("next")).await;
        assert_eq!(subscriber.update().await.id, next.id);
        drop(subscriber);
        client.publish_on(&a, &json!("gone?")).await;
        for topic in [&a, &b] {
            client
                .await_subscribers(topic, "the subscriber to go", |list| {
                    list.is_empty().then_some(())
                })
                .await;
        }
    }
}

#[tokio::test]
async fn other_methods_are_told_which_is_allowed_and_pages_which_may_call() {
    let edge = edge().await;
    let client = edge.client();
    let path = path_of(&two());
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::DELETE] {
        let answer = client.call(method, &path).send().await.expect_status(405);
        assert_eq!(answer.header("allow"), "GET, OPTIONS");
    }
    let preflight = client.call(Method::OPTIONS, &path).header("origin", PAGE);
    let preflight = preflight.header("access-control-request-method", "GET");
    let answer = preflight.send().await.expect_status(204);
    assert_eq!(answer.header("access-control-allow-origin"), PAGE);
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("GET")
    );
    let stranger = "https://shop.example.evil.example";
    for (page, expected) in [(PAGE, PAGE), (stranger, "")] {
        let call = client.get(&path).header("origin", page);
        let stream = call.clone().open_sse().await.unwrap();
        assert_eq!(stream.header("access-control-allow-origin"), expected);
        let refused = client.get("/topics").header("origin", page).send().await;
        assert_eq!(refused.header("access-control-allow-origin"), expected);
    }
}

#[tokio::test]
async fn connections_with_several_topics_have_relays_of_their_own_that_take_no_more_than_they_may()
{
    let edge = relaying_edge().await;
    let (client, [a, b]) = (edge.client(), two());
    let topics = [a.clone(), b.clone()];
    let mut several = Vec::new();
    for transport in Transport::ALL.into_iter().cycle().take(12) {
        several.push(asked(&client, transport, &topics).open().await);
    }
    let at = objects(&several);
    assert!(
        at.keys().all(|object| object.starts_with("many:enam:")),
        "{at:?}"
    );
    assert!(at.values().all(|count| *count <= RELAY_CAPACITY), "{at:?}");
    // They are no reason for a topic to leave its root, and are told the same as those there.
    let mut single = client.bring_to_relays(&a).await;
    let (of_a, of_b) = (updates(&a, 20), updates(&b, 20));
    let mixed: Vec<_> = of_a
        .iter()
        .zip(&of_b)
        .flat_map(|(a, b)| [a.clone(), b.clone()])
        .collect();
    client.publish_all(&mixed).await;
    for subscriber in &mut several {
        let got = by_topic(subscriber, 40).await;
        assert_eq!((ids(&got[&a]), ids(&got[&b])), (ids(&of_a), ids(&of_b)));
    }
    for subscriber in &mut single {
        assert_eq!(ids(&subscriber.updates(20).await), ids(&of_a));
    }
}

#[tokio::test]
async fn more_than_a_relay_remembers_is_there_for_each_topic_and_what_is_not_is_a_gap() {
    let edge = relaying_edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let [a, b] = two();
        let subscription = asked(&client, transport, &[a.clone(), b.clone()]);
        let _stay = subscription.open().await;
        let of_a = updates(&a, 400);
        client.publish_all(&of_a).await;
        client.publish_all(&updates(&b, RELAYED_HISTORY + 50)).await;
        let mut subscriber = subscription.after(format!("{a}=10,{b}=20")).open().await;
        let (mut gaps, mut got) = (Vec::new(), Vec::new());
        let history = usize::try_from(RELAYED_HISTORY).unwrap();
        while got.len() < 390 + history {
            match subscriber.next().await {
                News::Update(event) => got.push(event),
                News::Gap(gap) => gaps.push(gap),
                other => panic!("unexpected: {other:?}"),
            }
        }
        let gap = Gap {
            topic: name(&b),
            after: 20,
            first: 51,
        };
        assert_eq!(gaps, [gap]);
        let of_topic = |topic: &String| {
            let of_topic = got
                .iter()
                .filter(|event| event.subject.as_ref() == Some(topic));
            of_topic.cloned().collect::<Vec<_>>()
        };
        assert_eq!(ids(&of_topic(&a)), ids(&of_a[10..]));
        assert!(
            sequences(&of_topic(&b))
                .into_iter()
                .eq(51..=RELAYED_HISTORY + 50)
        );
    }
}

#[tokio::test]
async fn a_websocket_with_several_topics_outlives_the_sleep_of_its_relay() {
    let edge = edge().await;
    let (client, [a, b]) = (edge.client(), two());
    client.publish_on(&b, &json!("before")).await;
    let subscription = asked(&client, Transport::Ws, &[a.clone(), b.clone()]);
    let mut subscriber = subscription.open().await;
    let (of_a, of_b) = (updates(&a, 4), updates(&b, 4));
    for some in [0..2, 2..4] {
        tokio::time::sleep(UNTIL_ASLEEP).await;
        for n in some.clone() {
            client.settle(&of_b[n]).await;
            client.settle(&of_a[n]).await;
        }
        let got = by_topic(&mut subscriber, 4).await;
        assert_eq!(ids(&got[&a]), ids(&of_a[some.clone()]));
        assert_eq!(ids(&got[&b]), ids(&of_b[some]));
    }
}

#[tokio::test]
async fn the_death_of_an_edge_loses_and_doubles_nothing_on_any_topic() {
    const ALL: u64 = 100;
    let mut edge = Edge::start(relaying()).await;
    let (client, [a, b]) = (edge.client(), two());
    let topics = [b.clone(), a.clone()];
    let mut subscribers = Vec::new();
    for transport in Transport::ALL.into_iter().cycle().take(8) {
        subscribers.push(asked(&client, transport, &topics).open().await);
    }
    let ends = [(a.as_str(), ALL), (b.as_str(), ALL)];
    let follow = join_all(subscribers.into_iter().map(|one| one.follow_to(&ends)));
    let (of_a, of_b) = (updates(&a, ALL), updates(&b, ALL));
    let publish = async {
        for (a, b) in of_a.iter().zip(&of_b) {
            client.publish_surely(a).await;
            client.publish_surely(b).await;
        }
    };
    let die = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            edge.kill().await;
            edge.start_again().await;
        }
    };
    let (followed, (), ()) = tokio::join!(follow, publish, die);
    for got in &followed {
        for (topic, sent) in [(&a, &of_a), (&b, &of_b)] {
            let got = got
                .iter()
                .filter(|event| event.subject.as_ref() == Some(topic));
            let got: Vec<_> = got.map(|event| event.id.as_str()).collect();
            assert_eq!(got, ids(sent));
        }
    }
    assert_ne!(edge.objects("RelayDo"), 0);
}

#[tokio::test]
async fn subscribers_that_come_and_go_with_other_topics_each_time_miss_and_double_nothing() {
    const ALL: u64 = 120;
    let edge = relaying_edge().await;
    let client = edge.client();
    let topics: Vec<_> = (0..4).map(|_| fresh_topic()).collect();
    let sent: Vec<_> = topics.iter().map(|topic| updates(topic, ALL)).collect();
    let publish = join_all(sent.iter().map(|sent| {
        let client = &client;
        async move {
            for event in sent {
                client.settle(event).await;
            }
        }
    }));
    let follow = join_all((0..9usize).map(|n| {
        let (client, topics) = (&client, &topics);
        async move {
            let transport = Transport::ALL[n % 2];
            let mut at: BTreeMap<String, u64> =
                topics.iter().map(|topic| (topic.clone(), 0)).collect();
            let mut visit = n;
            while at.values().any(|at| *at < ALL) {
                // Three of the four, another one left out each time.
                let asked_for: Vec<_> = (1..4).map(|k| topics[(visit + k) % 4].clone()).collect();
                visit += 1;
                if asked_for.iter().all(|topic| at[topic] == ALL) {
                    continue;
                }
                let cursor: Vec<_> = at
                    .iter()
                    .map(|(topic, at)| format!("{topic}={at}"))
                    .collect();
                let subscription = asked(client, transport, &asked_for).after(cursor.join(","));
                let mut subscriber = subscription.open_in_a_crowd().await;
                for _ in 0..=3 * n {
                    if asked_for.iter().all(|topic| at[topic] == ALL) {
                        break;
                    }
                    // The subscriber itself sees to it that this is the topic's next one.
                    let event = subscriber.update().await;
                    *at.get_mut(event.subject.as_ref().unwrap()).unwrap() += 1;
                }
            }
        }
    }));
    within_time(LONG, "all updates", async { tokio::join!(follow, publish) }).await;
}
