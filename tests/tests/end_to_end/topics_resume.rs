//! A subscriber that was away gets exactly what it missed, in order, once, whatever lay between; and
//! where history no longer reaches back it is told so, never silently.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use headstart_protocol::{channel::Gap, event::Event, report::Status};
use headstart_tests::{
    edge::Edge,
    edge_config::EdgeConfig,
    events::ready,
    keys::fresh_ticket,
    kv::Kv,
    shared::{FORGETFUL_BYTES, FORGETFUL_COUNT, edge, forgetful_edge, open_edge},
    subscriber::{News, Transport, name},
    topics::{
        Since, event_of, fresh_topic, ids, sequence, sequences, topic_path, update, update_of_size,
        updates,
    },
    wait::{LONG, until, within_time},
};
use serde_json::json;

/// An object that has nothing but hibernating WebSockets is put to sleep after 10 s.
pub(super) const UNTIL_ASLEEP: Duration = Duration::from_secs(15);

/// The gap that a subscriber is told who has got `after` where `first` is the first that is left.
fn gap(topic: &str, after: u64, first: u64) -> Gap {
    Gap {
        topic: name(topic),
        after,
        first,
    }
}

#[tokio::test]
async fn whoever_comes_back_gets_what_was_missed_and_then_what_comes() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let topic = fresh_topic();
        let mut subscriber = client.subscribe(transport, &topic).await;
        let sent = updates(&topic, 9);
        client.publish_all(&sent[..3]).await;
        let mut got = subscriber.updates(3).await;
        let resumption = subscriber.resumption();
        drop(subscriber);
        client.publish_all(&sent[3..7]).await;
        let mut subscriber = resumption.open().await;
        assert_eq!(subscriber.head(&topic), 7);
        got.extend(subscriber.updates(4).await);
        client.publish_all(&sent[7..]).await;
        got.extend(subscriber.updates(2).await);
        assert_eq!(ids(&got), ids(&sent));
        // Nothing was missed this time.
        let mut subscriber = subscriber.resume().await;
        let next = client.publish_on(&topic, &json!("next")).await;
        assert_eq!(subscriber.update().await.id, next.id);
    }
}

#[tokio::test]
async fn a_cursor_of_one_transport_is_good_for_the_other() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_all(&updates(&topic, 6)).await;
    let mut cursor = "0".to_owned();
    for transport in [Transport::Sse, Transport::Ws, Transport::Sse] {
        let subscription = client.subscription(transport, &[&topic]).after(&cursor);
        let mut subscriber = subscription.open().await;
        subscriber.updates(2).await;
        cursor = subscriber.cursor();
    }
    assert_eq!(cursor, "6");
}

#[tokio::test]
async fn a_gap_is_told_with_the_first_sequence_left() {
    let edge = forgetful_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent = updates(&topic, 25);
    client.publish_all(&sent).await;
    let first = 25 - FORGETFUL_COUNT + 1;
    let left = usize::try_from(FORGETFUL_COUNT).unwrap();
    for (after, expected) in [
        (0, Some(gap(&topic, 0, first))),
        (5, Some(gap(&topic, 5, first))),
        (first - 2, Some(gap(&topic, first - 2, first))),
        (first - 1, None),
        (20, None),
        (25, None),
    ] {
        let begins_after = usize::try_from(after).unwrap().max(25 - left);
        let expected_ids = ids(&sent[begins_after..]);
        let since = client.since(&topic, after).await;
        assert_eq!((since.gap, since.latest), (expected.clone(), 25), "{after}");
        assert_eq!(ids(&since.updates), expected_ids);
        for transport in Transport::ALL {
            let subscription = client.subscription(transport, &[&topic]).after(after);
            let mut subscriber = subscription.open().await;
            if let Some(expected) = &expected {
                assert_eq!(subscriber.gap().await, *expected);
            }
            let got = subscriber.updates(expected_ids.len()).await;
            assert_eq!(ids(&got), expected_ids);
        }
    }
}

#[tokio::test]
async fn after_a_gap_a_subscriber_goes_on_as_ever() {
    let edge = forgetful_edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let topic = fresh_topic();
        client.publish_all(&updates(&topic, 12)).await;
        let mut subscriber = client
            .subscription(transport, &[&topic])
            .after(0)
            .open()
            .await;
        assert_eq!(subscriber.gap().await, gap(&topic, 0, 3));
        // It is cut off before it has read on: its cursor is behind the gap already.
        let mut subscriber = subscriber.resume().await;
        assert_eq!(
            sequences(&subscriber.updates(10).await),
            (3..=12).collect::<Vec<_>>()
        );
        client.publish_on(&topic, &json!("next")).await;
        assert_eq!(sequence(&subscriber.update().await), 13);
    }
}

#[tokio::test]
async fn history_has_a_bound_in_bytes_too() {
    let edge = forgetful_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent: Vec<_> = (0..8).map(|_| update_of_size(&topic, 30_000)).collect();
    client.publish_all(&sent).await;
    let since = client.since(&topic, 0).await;
    let kept = since.updates.len();
    assert!(kept >= 1 && kept * 30_000 <= FORGETFUL_BYTES, "{kept}");
    assert_eq!(ids(&since.updates), ids(&sent[8 - kept..]));
    assert_eq!(since.gap, Some(gap(&topic, 0, 9 - kept as u64)));
}

#[tokio::test]
async fn history_has_a_bound_in_time_too_and_the_latest_value_has_not() {
    let edge = forgetful_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_all(&updates(&topic, 3)).await;
    assert_eq!(client.since(&topic, 0).await.updates.len(), 3);
    let since = until("history to be forgotten", async || {
        let since = client.since(&topic, 0).await;
        (since.updates.len() == 1).then_some(since)
    })
    .await;
    assert_eq!((since.gap, since.latest), (Some(gap(&topic, 0, 3)), 3));
    for transport in Transport::ALL {
        let head = client.since(&topic, 0).await.latest;
        let subscription = client.subscription(transport, &[&topic]).after(1);
        let mut subscriber = subscription.open().await;
        assert_eq!(subscriber.gap().await, gap(&topic, 1, head));
        assert_eq!(sequence(&subscriber.update().await), head);
        client.publish_on(&topic, &json!("next")).await;
        assert_eq!(sequence(&subscriber.update().await), head + 1);
    }
}

#[tokio::test]
async fn a_cursor_ahead_of_the_topic_is_told_as_a_gap() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent = updates(&topic, 3);
    client.publish_all(&sent).await;
    let since = client.since(&topic, 100).await;
    assert_eq!((since.gap, since.latest), (Some(gap(&topic, 100, 1)), 3));
    assert_eq!(ids(&since.updates), ids(&sent));
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[&topic]).after(100);
        let mut subscriber = subscription.open().await;
        assert_eq!(subscriber.gap().await, gap(&topic, 100, 1));
        assert_eq!(ids(&subscriber.updates(3).await), ids(&sent));
        // A topic that has nothing yet is behind every cursor.
        let empty = fresh_topic();
        let subscription = client.subscription(transport, &[&empty]).after(7);
        let mut subscriber = subscription.open().await;
        assert_eq!(subscriber.gap().await, gap(&empty, 7, 1));
        client.publish_on(&empty, &json!(1)).await;
        assert_eq!(sequence(&subscriber.update().await), 1);
    }
    let path = format!("{}?since=100", topic_path(&topic));
    let waiting = client.get(&path).header("prefer", "wait=50").send().await;
    assert!(
        Since::of(&waiting).gap.is_some(),
        "a gap is news: nobody waits for it"
    );
}

/// Fails unless so many subscribers get each update once at an edge whose streams live for a second.
pub(super) async fn lose_nothing_to_short_lives(edge: &Edge, subscribers: usize) {
    let (client, topic) = (edge.client(), fresh_topic());
    let mut readers = Vec::new();
    for transport in Transport::ALL.into_iter().cycle().take(subscribers) {
        readers.push(
            client
                .subscription(transport, &[&topic])
                .after(0)
                .open()
                .await,
        );
    }
    let read = join_all(readers.into_iter().map(|mut subscriber| async move {
        let (mut ends, mut got) = (0, Vec::new());
        while got.last().map(sequence) != Some(200) {
            match subscriber.next().await {
                News::Update(event) => got.push(event),
                News::Ended | News::Closed(_) => {
                    ends += 1;
                    subscriber = subscriber.resume().await;
                }
                other => panic!("unexpected: {other:?}"),
            }
        }
        (ends, got)
    }));
    let sent = updates(&topic, 200);
    let publish = async {
        for event in &sent {
            client.settle(event).await;
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    let (read, ()) = tokio::join!(read, publish);
    for (_, got) in &read {
        assert_eq!(ids(got), ids(&sent));
    }
    assert!(
        read[0].0 >= 2,
        "a stream's life is one second: {}",
        read[0].0
    );
}

#[tokio::test]
async fn a_websocket_outlives_a_stream() {
    let edge = open_edge().await;
    let (client, topic, ticket) = (edge.client(), fresh_topic(), fresh_ticket());
    let mut socket = client.subscribe(Transport::Ws, &topic).await;
    let waiting = client.ws(&ticket).await;
    // A stream's life is one second; three of them, one after the other, are longer.
    for _ in 0..3 {
        let mut stream = client.subscribe(Transport::Sse, &topic).await;
        let mut waiting = client.events(&ticket).await;
        assert_eq!(stream.until_end().await, (vec![], News::Ended));
        assert_eq!(waiting.next().await, None);
    }
    let sent = client.publish_on(&topic, &json!(1)).await;
    assert_eq!(socket.update().await.id, sent.id);
    let event = ready(&ticket, &json!([1]));
    client.settle(&event).await;
    assert_eq!(waiting.only().await.id, event.id);
}

#[tokio::test]
async fn the_end_of_a_streams_life_loses_nothing() {
    let edge = open_edge().await;
    lose_nothing_to_short_lives(&edge, 2).await;
}

/// Fails unless everyone gets the same in the same order, while four publish at once and subscribers
/// come and go.
pub(super) async fn all_get_the_same(edge: &Edge) {
    const EACH: u64 = 60;
    const ALL: u64 = 4 * EACH;
    let (client, topic) = (edge.client(), fresh_topic());
    let publish = join_all((0..4u64).map(|publisher| {
        let (client, topic) = (client.clone(), topic.clone());
        async move {
            let mut sent: Vec<Event> = Vec::new();
            for n in 0..EACH {
                let mut event = update(&topic, &json!({ "publisher": publisher, "n": n }));
                event.source = format!("/origin/{publisher}");
                sent.push(event);
            }
            // One by one, and some at once.
            let (singly, at_once) = sent.split_at(sent.len() / 2);
            for event in singly {
                client.settle(event).await;
            }
            for some in at_once.chunks(10) {
                client.publish_all(some).await;
            }
        }
    }));
    let follow = join_all((0..12u64).map(|n| {
        let (client, topic) = (client.clone(), topic.clone());
        async move {
            let transport = Transport::ALL[usize::from(n.is_multiple_of(2))];
            let subscription = client.subscription(transport, &[&topic]).after(0);
            let mut subscriber = subscription.open_in_a_crowd().await;
            let mut got = Vec::new();
            // Each leaves after another number of updates, most of them many times.
            let stay = usize::try_from(3 + 7 * n).unwrap();
            while got.last().map(sequence) != Some(ALL) {
                if got.len() % stay == stay - 1 {
                    subscriber = subscriber.resume().await;
                }
                got.push(subscriber.update().await);
            }
            got
        }
    }));
    let (followed, _) =
        within_time(LONG, "all updates", async { tokio::join!(follow, publish) }).await;
    let history = client.since(&topic, 0).await.updates;
    assert!(sequences(&history).into_iter().eq(1..=ALL));
    for got in &followed {
        assert_eq!(ids(got), ids(&history));
    }
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for event in &history {
        let data: serde_json::Value = event.json_data().unwrap();
        let next = counts
            .entry(data["publisher"].as_u64().unwrap())
            .or_default();
        assert_eq!(
            data["n"].as_u64(),
            Some(*next),
            "each publisher's own order is kept"
        );
        *next += 1;
    }
    assert!(counts.values().all(|count| *count == EACH), "{counts:?}");
}

#[tokio::test]
async fn four_publishers_at_once_and_subscribers_that_come_and_go_lose_and_double_nothing() {
    let edge = edge().await;
    all_get_the_same(&edge).await;
}

#[tokio::test]
async fn a_websocket_outlives_the_sleep_of_its_topic() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_on(&topic, &json!(1)).await;
    let mut subscriber = client.subscribe(Transport::Ws, &topic).await;
    tokio::time::sleep(UNTIL_ASLEEP).await;
    let sent = client.publish_on(&topic, &json!(2)).await;
    let got = subscriber.update().await;
    assert_eq!(
        (got.id, sequence(&client.since(&topic, 1).await.updates[0])),
        (sent.id, 2)
    );
}

/// What an edge that is killed and started again keeps: the numbers, what was taken before, history,
/// the latest value, and, with so many subscribers that come back, every update exactly once.
pub(super) async fn survives_its_death(config: EdgeConfig, subscribers: usize) -> Edge {
    const ALL: u64 = 120;
    let mut edge = Edge::start(config).await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent = updates(&topic, ALL);
    let mut followers = Vec::new();
    for transport in Transport::ALL.into_iter().cycle().take(subscribers) {
        followers.push(client.subscribe(transport, &topic).await);
    }
    let ends = [(topic.as_str(), ALL)];
    let follow = join_all(
        followers
            .into_iter()
            .map(|subscriber| subscriber.follow_to(&ends)),
    );
    let publish = async {
        for event in &sent {
            client.publish_surely(event).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
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
        assert_eq!(ids(got), ids(&sent));
    }
    // What was taken before is known, and the numbers go on.
    assert_eq!(client.publish(&sent[0]).await.status, Status::Duplicate);
    edge.kill().await;
    edge.start_again().await;
    assert_eq!(client.publish(&sent[1]).await.status, Status::Duplicate);
    assert_eq!(ids(&client.since(&topic, 0).await.updates), ids(&sent));
    let next = client.publish_on(&topic, &json!("next")).await;
    let latest = event_of(&client.latest(&topic).await);
    assert_eq!((&latest.id, sequence(&latest)), (&next.id, ALL + 1));
    // The last value was taken a moment before the edge died.
    edge.kill().await;
    edge.start_again().await;
    // A topic that nobody asks for need not know that it died; this one is asked.
    assert_eq!(event_of(&client.latest(&topic).await).id, next.id);
    let kv = Kv::of(&edge);
    until("the last value in KV", async || {
        let (_, metadata) = kv.update(&topic).await?;
        (metadata.sequence == ALL + 1).then_some(())
    })
    .await;
    edge
}

#[tokio::test]
async fn the_death_of_an_edge_loses_and_doubles_nothing() {
    survives_its_death(EdgeConfig::default(), 4).await;
}
