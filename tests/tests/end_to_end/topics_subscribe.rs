//! Whoever asks for a topic gets its latest update; whoever follows it gets each update once, in
//! order, as it comes.

use std::time::Duration;

use futures_util::future::join_all;
use headstart_protocol::stamps::{Point, Stamps};
use headstart_tests::{
    answer::Answer,
    client::Client,
    raw,
    shared::edge,
    subscriber::Transport,
    topics::{
        Since, event_of, fresh_topic, ids, sequence, sequences, topic_path, update_of_size, updates,
    },
};
use reqwest::Method;
use serde_json::json;

/// About how much goes into one answer, in bytes, with room for the last update of it.
const ONE_ANSWER_BYTES: usize = 1024 * 1024 + 128 * 1024;

/// Long enough for a request to have reached the edge, most of the time.
const UNDER_WAY: Duration = Duration::from_millis(300);

/// The names of what is no topic, as they stand in a path.
const NO_TOPICS: [&str; 10] = [
    "a//b", "a%20b", "a,b", "a=1", "a*", "%C3%A9", "a%252Fb", "a%00", "a%FF", "a/",
];

async fn asked(client: &Client, topic: &str, headers: &[(&str, &str)]) -> Answer {
    let call = client.get(&topic_path(topic));
    let call = headers
        .iter()
        .fold(call, |call, (name, value)| call.header(name, value));
    call.send().await
}

#[tokio::test]
async fn a_topic_without_update_says_so() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let answer = client.latest(&topic).await;
    assert_eq!(answer.expect_problem(404).kind, "urn:headstart:no-update");
    assert!(
        answer.header("cache-status").ends_with("; fwd=miss"),
        "{answer:?}"
    );
    let since = client.since(&topic, 0).await;
    assert_eq!(
        (since.topic.as_str(), since.latest, since.more),
        (topic.as_str(), 0, false)
    );
    assert!(since.updates.is_empty() && since.gap.is_none(), "{since:?}");
}

#[tokio::test]
async fn the_latest_update_is_one_request_away() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_all(&updates(&topic, 2)).await;
    let answer = client.latest(&topic).await;
    let event = event_of(&answer);
    assert_eq!((sequence(&event), event.json_data()), (2, Some(2)));
    assert_eq!(answer.header("etag"), "\"2\"");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert!(
        answer.header("cache-status").contains("; hit; detail="),
        "{answer:?}"
    );
    assert_ne!(answer.header("server-timing"), "");
    let head = client
        .call(Method::HEAD, &topic_path(&topic))
        .send()
        .await
        .expect_status(200);
    assert!(head.body.is_empty());
    for name in ["content-type", "etag", "cache-control"] {
        assert_eq!(head.header(name), answer.header(name), "{name}");
    }
}

#[tokio::test]
async fn whoever_has_the_latest_update_is_told_so_without_it() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_all(&updates(&topic, 3)).await;
    for (tag, status) in [
        ("\"3\"", 304),
        ("W/\"3\"", 304),
        ("\"1\", \"3\"", 304),
        ("*", 304),
        ("\"2\"", 200),
        ("\"33\"", 200),
        ("3", 200),
        ("", 200),
    ] {
        let answer = asked(&client, &topic, &[("if-none-match", tag)])
            .await
            .expect_status(status);
        assert_eq!(answer.header("etag"), "\"3\"", "{tag}");
        assert_eq!(answer.body.is_empty(), status == 304, "{tag}");
    }
    client.publish_on(&topic, &json!(4)).await;
    let answer = asked(&client, &topic, &[("if-none-match", "\"3\"")]).await;
    assert_eq!(sequence(&event_of(&answer)), 4);
}

#[tokio::test]
async fn what_came_after_a_number_is_told_oldest_first() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent = updates(&topic, 5);
    client.publish_all(&sent).await;
    for since in 0..=5 {
        let answer = client.since(&topic, since).await;
        assert_eq!((answer.latest, answer.more), (5, false));
        assert_eq!(answer.gap, None);
        let after = usize::try_from(since).unwrap();
        assert_eq!(ids(&answer.updates), ids(&sent[after..]));
        assert!(sequences(&answer.updates).into_iter().eq(since + 1..=5));
    }
}

#[tokio::test]
async fn much_that_came_after_a_number_is_told_in_several_answers() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent: Vec<_> = (0..40).map(|_| update_of_size(&topic, 60_000)).collect();
    client.publish_all(&sent).await;
    let mut got = Vec::new();
    for answers in 1.. {
        let path = format!("{}?since={}", topic_path(&topic), got.len());
        let answer = client.get(&path).send().await;
        assert!(
            answer.body.len() < ONE_ANSWER_BYTES,
            "{}",
            answer.body.len()
        );
        let since = Since::of(&answer);
        assert_eq!((since.latest, since.gap), (40, None));
        assert!(!since.updates.is_empty(), "it gets on");
        got.extend(since.updates);
        if !since.more {
            assert!(answers >= 3, "{answers}");
            break;
        }
    }
    assert_eq!(ids(&got), ids(&sent));
    // A stream tells it all.
    for transport in Transport::ALL {
        let mut subscriber = client
            .subscription(transport, &[&topic])
            .after(0)
            .open()
            .await;
        assert_eq!(ids(&subscriber.updates(40).await), ids(&sent));
    }
}

#[tokio::test]
async fn a_number_that_is_none_is_refused() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for bad in [
        "",
        "x",
        "-1",
        "+1",
        "1.5",
        "0x1",
        "1,2",
        "99999999999999999999",
        "%31%00",
    ] {
        let path = format!("{}?since={bad}", topic_path(&topic));
        let problem = client.get(&path).send().await.expect_problem(400);
        assert_eq!(problem.kind, "urn:headstart:malformed-cursor", "{bad}");
    }
}

#[tokio::test]
async fn a_long_poll_is_answered_by_the_next_update_in_every_form() {
    let edge = edge().await;
    let client = edge.client();
    let (empty, topic) = (fresh_topic(), fresh_topic());
    client.publish_on(&topic, &json!("old")).await;
    let wait = ("prefer", "wait=50");
    let first = [wait];
    let newer = [wait, ("if-none-match", "\"1\"")];
    let polls = async {
        tokio::join!(
            asked(&client, &empty, &first),
            asked(&client, &topic, &newer),
            async {
                let path = format!("{}?since=1", topic_path(&topic));
                client.get(&path).header(wait.0, wait.1).send().await
            },
        )
    };
    let publish = async {
        // The polls go out first; that they wait already is likely, and the answers the same if not.
        tokio::time::sleep(UNDER_WAY).await;
        let first = client.publish_on(&empty, &json!("first")).await;
        (first, client.publish_on(&topic, &json!("new")).await)
    };
    let ((of_empty, of_newer, of_since), (first, new)) = tokio::join!(polls, publish);
    assert_eq!(event_of(&of_empty).id, first.id);
    assert_eq!(event_of(&of_newer).id, new.id);
    assert_eq!(of_newer.header("etag"), "\"2\"");
    assert_eq!(ids(&Since::of(&of_since).updates), [&new.id]);
    for answer in [of_empty, of_newer, of_since] {
        assert_eq!(answer.header("preference-applied"), "wait=50");
    }
}

#[tokio::test]
async fn a_long_poll_for_what_is_there_is_answered_at_once() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_all(&updates(&topic, 2)).await;
    let begun = tokio::time::Instant::now();
    let wait = ("prefer", "wait=50");
    let plain = asked(&client, &topic, &[wait]).await;
    let newer = asked(&client, &topic, &[wait, ("if-none-match", "\"1\"")]).await;
    assert_eq!(
        (sequence(&event_of(&plain)), sequence(&event_of(&newer))),
        (2, 2)
    );
    let path = format!("{}?since=1", topic_path(&topic));
    let since = client.get(&path).header(wait.0, wait.1).send().await;
    assert_eq!(sequences(&Since::of(&since).updates), [2]);
    assert!(
        begun.elapsed() < Duration::from_secs(40),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_long_poll_in_vain_says_that_nothing_is_new() {
    let edge = edge().await;
    let client = edge.client();
    let (empty, topic) = (fresh_topic(), fresh_topic());
    client.publish_on(&topic, &json!(1)).await;
    let wait = ("prefer", "wait=1");
    let answer = asked(&client, &empty, &[wait]).await;
    assert_eq!(answer.expect_problem(404).kind, "urn:headstart:no-update");
    let same = asked(&client, &topic, &[wait, ("if-none-match", "\"1\"")]).await;
    assert_eq!((same.status, same.header("etag")), (304, "\"1\""));
    assert_eq!(same.header("preference-applied"), "wait=1");
    let path = format!("{}?since=1", topic_path(&topic));
    let since = client.get(&path).header(wait.0, wait.1).send().await;
    assert_eq!(since.header("preference-applied"), "wait=1");
    let since = Since::of(&since);
    assert!(since.updates.is_empty() && since.latest == 1, "{since:?}");
}

#[tokio::test]
async fn what_is_no_topic_is_not_found_on_any_route() {
    let edge = edge().await;
    let client = edge.client();
    for name in NO_TOPICS {
        for way in [
            "",
            "?since=0",
            "/events",
            "/subscribers",
            "/subscribers/events",
        ] {
            let answer = client.get(&format!("/topics/{name}{way}")).send().await;
            assert_eq!(
                answer.expect_problem(404).kind,
                "urn:headstart:unknown-topic",
                "{name}{way}"
            );
        }
        let refused = client.get(&format!("/topics/{name}/ws")).open_ws().await;
        let _ = refused.expect_err("no WebSocket").expect_problem(404);
        let ack = client.ack(name, "0", 1).await;
        assert_eq!(
            ack.expect_problem(404).kind,
            "urn:headstart:unknown-topic",
            "{name}"
        );
        let several = client.get(&format!("/topics?topic=a&topic={name}"));
        let _ = several.send().await.expect_problem(404);
    }
    for path in [
        "/topics/",
        "/topics/events",
        "/topics/ws",
        "/topics/subscribers",
        "/topics/a/acks",
    ] {
        let status = client.get(path).send().await.status;
        assert!(matches!(status, 404 | 405), "{path}: {status}");
    }
}

#[tokio::test]
async fn a_topic_is_the_same_however_its_name_is_encoded() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_on(&topic, &json!(1)).await;
    for name in [topic.replace('/', "%2F"), topic.replace("test", "%74e%73t")] {
        assert_eq!(
            sequence(&event_of(&client.latest(&name).await)),
            1,
            "{name}"
        );
        let stream = client
            .get(&format!("/topics/{name}/events?latest=1"))
            .open_sse()
            .await;
        let mut stream = stream.unwrap();
        let frames = [stream.frame().await.unwrap(), stream.frame().await.unwrap()];
        assert_eq!(
            (frames[0].name.as_str(), frames[1].id.as_str()),
            ("welcome", "1")
        );
    }
    // As a client that does not tidy up its path would ask.
    let request = format!("GET /topics/x/../{topic} HTTP/1.1\r\nhost: edge\r\n\r\n");
    let status = raw::status(&raw::send(edge.address(), request.as_bytes()).await);
    assert!(matches!(status, 200 | 404), "{status}");
}

#[tokio::test]
async fn a_stream_begins_with_its_rules_and_its_welcome() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_all(&updates(&topic, 3)).await;
    let path = format!("{}/events", topic_path(&topic));
    let mut stream = client.get(&path).open_sse().await.unwrap();
    assert_eq!(stream.header("cache-control"), "private, no-store");
    assert_eq!(stream.header("x-accel-buffering"), "no");
    let frame = stream.frame().await.unwrap();
    assert_eq!((frame.name.as_str(), frame.id.as_str()), ("welcome", "3"));
    let welcome: serde_json::Value = serde_json::from_str(&frame.data).unwrap();
    assert_eq!(welcome["topics"], json!({ &topic: 3 }));
    assert!(
        welcome["subscriber"].as_str().unwrap().len() >= 16,
        "{welcome}"
    );
    assert!(stream.seen().starts_with("retry: "), "{}", stream.seen());
    let sent = client.publish_on(&topic, &json!(4)).await;
    let frame = stream.frame().await.unwrap();
    assert_eq!((frame.name.as_str(), frame.id.as_str()), ("update", "4"));
    assert!(frame.data.contains(&sent.id));
}

#[tokio::test]
async fn every_subscriber_gets_each_update_once_and_in_order() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = Vec::new();
    for transport in Transport::ALL.into_iter().cycle().take(6) {
        subscribers.push(client.subscribe(transport, &topic).await);
    }
    let mut sent = updates(&topic, 50);
    let (singly, at_once) = sent.split_at(20);
    for event in singly {
        client.settle(event).await;
    }
    client.publish_all(at_once).await;
    sent.push(client.publish_on(&topic, &json!("last")).await);
    for subscriber in &mut subscribers {
        let got = subscriber.updates(51).await;
        assert_eq!(ids(&got), ids(&sent));
        assert!(sequences(&got).into_iter().eq(1..=51));
        for event in &got {
            let stamps = Stamps::of_event(event);
            assert!(
                stamps.between(Point::Received, Point::Delivered) >= Some(0),
                "{event:?}"
            );
        }
    }
}

#[tokio::test]
async fn updates_that_come_in_the_same_instant_are_one_message() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscriber = client.subscribe(Transport::Ws, &topic).await;
    client.publish_all(&updates(&topic, 100)).await;
    subscriber.updates(100).await;
    assert!(
        subscriber.messages() <= 10,
        "{} messages",
        subscriber.messages()
    );
}

#[tokio::test]
async fn a_subscriber_hears_only_of_its_own_topics() {
    let edge = edge().await;
    let client = edge.client();
    let (mine, other) = (fresh_topic(), fresh_topic());
    for transport in Transport::ALL {
        let mut subscriber = client.subscribe(transport, &mine).await;
        client.publish_on(&other, &json!("other")).await;
        client
            .publish_on(&format!("{mine}/below"), &json!("below"))
            .await;
        let sent = client.publish_on(&mine, &json!("mine")).await;
        assert_eq!(subscriber.update().await.id, sent.id);
    }
}

#[tokio::test]
async fn whoever_asks_for_the_latest_gets_it_first_and_then_what_comes() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let topic = fresh_topic();
        let mut early = client
            .subscription(transport, &[&topic])
            .latest()
            .open()
            .await;
        client.publish_all(&updates(&topic, 3)).await;
        assert_eq!(sequences(&early.updates(3).await), [1, 2, 3]);
        let mut late = client
            .subscription(transport, &[&topic])
            .latest()
            .open()
            .await;
        let mut plain = client.subscribe(transport, &topic).await;
        assert_eq!(late.head(&topic), 3);
        client.publish_on(&topic, &json!(4)).await;
        assert_eq!(sequences(&late.updates(2).await), [3, 4]);
        assert_eq!(sequence(&plain.update().await), 4);
        // A cursor says more than the wish for the latest.
        let both = client.subscription(transport, &[&topic]).after(1).latest();
        assert_eq!(sequences(&both.open().await.updates(3).await), [2, 3, 4]);
    }
}

#[tokio::test]
async fn what_a_reconnect_says_goes_before_where_the_client_began() {
    let edge = edge().await;
    let (client, topic, other) = (edge.client(), fresh_topic(), fresh_topic());
    client.publish_all(&updates(&topic, 4)).await;
    for transport in Transport::ALL {
        // Libraries that reconnect by themselves add `lastEventId` to the URL that they were given.
        let one = client.subscription(transport, &[&topic]).after(1);
        let mut resumed = one.reconnected_after(3).open().await;
        assert_eq!(sequence(&resumed.update().await), 4);
        let several = client.subscription(transport, &[&topic, &other]);
        let cursor = format!("{topic}=3,{other}=0");
        let mut resumed = several.reconnected_after(cursor).open().await;
        assert_eq!(sequence(&resumed.update().await), 4);
    }
    let subscription = client.subscription(Transport::Sse, &[&topic]);
    let subscription = subscription.after(1).reconnected_after(2);
    let mut subscriber = subscription.header("last-event-id", "3").open().await;
    assert_eq!(sequence(&subscriber.update().await), 4);
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for transport in Transport::ALL {
        for bad in [
            "x".to_owned(),
            "-1".to_owned(),
            "1.5".to_owned(),
            "99999999999999999999".to_owned(),
            topic.clone(),
            format!("{topic}="),
            format!("{topic}=1,"),
            format!("{topic}=1,{topic}=2"),
            "42, 7".to_owned(),
            "\u{0}".to_owned(),
        ] {
            let asked = client.subscription(transport, &[&topic]).after(&bad);
            let refused = asked.connect().await;
            let answer = refused.err().unwrap_or_else(|| panic!("taken: {bad}"));
            let problem = answer.expect_problem(400);
            assert_eq!(problem.kind, "urn:headstart:malformed-cursor", "{bad}");
        }
    }
}

#[tokio::test]
async fn whoever_subscribes_while_updates_come_misses_none_and_gets_none_twice() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_on(&topic, &json!("first")).await;
    let join = |n: u64| {
        let (client, topic) = (&client, &topic);
        async move {
            tokio::time::sleep(Duration::from_millis(10 * n)).await;
            let transport = Transport::ALL[usize::from(n.is_multiple_of(2))];
            let mut subscriber = client
                .subscription(transport, &[topic])
                .after(1)
                .open()
                .await;
            // The subscriber itself sees to it that nothing is missing and nothing comes twice.
            subscriber.updates(60).await;
            subscriber
        }
    };
    let publish = async {
        for event in updates(&topic, 60) {
            client.settle(&event).await;
        }
    };
    let (mut subscribers, ()) = tokio::join!(join_all((0..20).map(join)), publish);
    let last = client.publish_on(&topic, &json!("last")).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.update().await.id, last.id);
    }
}

#[tokio::test]
async fn a_subscriber_that_went_away_disturbs_nobody() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    for transport in Transport::ALL {
        drop(client.subscribe(transport, &topic).await);
    }
    let mut stays = Vec::new();
    for transport in Transport::ALL {
        stays.push(client.subscribe(transport, &topic).await);
    }
    for n in 0..3 {
        let sent = client.publish_on(&topic, &json!(n)).await;
        for subscriber in &mut stays {
            assert_eq!(subscriber.update().await.id, sent.id);
        }
    }
}

#[tokio::test]
async fn a_websocket_route_of_a_topic_asked_without_upgrade_says_what_it_wants() {
    let edge = edge().await;
    let path = format!("{}/ws", topic_path(&fresh_topic()));
    let answer = edge.client().get(&path).send().await;
    let _ = answer.expect_problem(426);
}
