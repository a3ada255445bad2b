//! A topic with many subscribers is told by relays: whoever is at one gets each update once and in
//! order, whatever happens, as at the root.

use std::time::Duration;

use futures_util::future::join_all;
use headstart_protocol::{
    channel::{CLOSE_SLOW, Gap},
    limits::{MAX_SUBSCRIBER_MESSAGE_BYTES, MAX_TOPIC_BYTES, MAX_UPDATE_BYTES},
    report::Status,
};
use headstart_tests::{
    edge::Edge,
    relays::objects,
    shared::{PAGE, RELAY_CAPACITY, RELAY_THRESHOLD, RELAYED_HISTORY, relaying, relaying_edge},
    subscriber::{News, Subscriber, Transport, name},
    topics::{
        Since, event_of, fresh_topic, ids, sequence, sequences, topic_path, update_of_size, updates,
    },
    wait::{LONG, within_time},
};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::topics_resume::{
    UNTIL_ASLEEP, all_get_the_same, lose_nothing_to_short_lives, survives_its_death,
};

/// How often it is looked whether a topic is at its root again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many updates a relay remembers by itself.
const RING: u64 = 256;

/// Fails where an object holds more of these subscribers than it may.
fn assert_room(subscribers: &[Subscriber]) {
    for (object, count) in objects(subscribers) {
        if object == "root" {
            assert!(count <= RELAY_THRESHOLD, "{count} at the root");
        } else {
            assert!(count <= RELAY_CAPACITY, "{count} at {object}");
        }
    }
}

#[tokio::test]
async fn a_topic_grows_from_its_root_to_a_relay_and_to_more_by_itself() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let sent = updates(&topic, 30);
    let mut subscribers = Vec::new();
    // Each comes after one more update than the one before.
    for (n, event) in sent[..20].iter().enumerate() {
        let transport = Transport::ALL[n % 2];
        subscribers.push(client.subscribe(transport, &topic).await);
        client.settle(event).await;
    }
    let at: Vec<_> = subscribers.iter().map(Subscriber::object).collect();
    assert!(
        at[..RELAY_THRESHOLD].iter().all(|at| *at == "root"),
        "{at:?}"
    );
    assert_eq!(at[RELAY_THRESHOLD], "enam:0", "{at:?}");
    let at_relays = &at[RELAY_THRESHOLD..];
    assert!(at_relays.iter().all(|at| at.starts_with("enam:")), "{at:?}");
    assert!(at_relays.contains(&"enam:1"), "{at:?}");
    assert_room(&subscribers);
    client.publish_all(&sent[20..]).await;
    for (n, subscriber) in subscribers.iter_mut().enumerate() {
        let got = subscriber.updates(30 - n).await;
        assert_eq!(ids(&got), ids(&sent[n..]), "subscriber {n}");
    }
}

#[tokio::test]
async fn whoever_comes_at_once_finds_a_place_and_no_relay_takes_more_than_it_may() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    client.publish_on(&topic, &json!("first")).await;
    let open = (0..40).map(|n| {
        let subscription = client.subscription(Transport::ALL[n % 2], &[&topic]);
        async move { subscription.after(0).open_in_a_crowd().await }
    });
    let mut subscribers = join_all(open).await;
    assert_room(&subscribers);
    let last = client.publish_on(&topic, &json!("last")).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.updates(2).await[1].id, last.id);
    }
}

#[tokio::test]
async fn subscribers_of_each_part_of_the_world_are_at_relays_there() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = client.bring_to_relays(&topic).await;
    for transport in Transport::ALL {
        let far = client.subscription(transport, &[&topic]).from_europe();
        let far = far.open_at_relay().await;
        assert_eq!(far.object(), "weur:0");
        subscribers.push(far);
        subscribers.push(client.subscribe(transport, &topic).await);
    }
    let sent = updates(&topic, 40);
    let (singly, at_once) = sent.split_at(20);
    for event in singly {
        client.settle(event).await;
    }
    client.publish_all(at_once).await;
    for subscriber in &mut subscribers {
        assert_eq!(ids(&subscriber.updates(40).await), ids(&sent));
    }
    // A region's relays are no way around: its topic is one.
    let back = subscribers.swap_remove(RELAY_THRESHOLD + 1);
    let from_here = client.subscription(back.transport(), &[&topic]);
    drop(back);
    let mut back = from_here.after(13).open_at_relay().await;
    assert_eq!(ids(&back.updates(27).await), ids(&sent[13..]));
}

#[tokio::test]
async fn whoever_comes_back_to_a_relay_gets_what_was_missed_and_then_what_comes() {
    let edge = relaying_edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let topic = fresh_topic();
        let _stay = client.bring_to_relays(&topic).await;
        let subscription = client.subscription(transport, &[&topic]);
        let mut subscriber = subscription.open_at_relay().await;
        let sent = updates(&topic, 9);
        client.publish_all(&sent[..3]).await;
        let mut got = subscriber.updates(3).await;
        let resumption = subscriber.resumption();
        drop(subscriber);
        client.publish_all(&sent[3..7]).await;
        let mut subscriber = resumption.open_at_relay().await;
        got.extend(subscriber.updates(4).await);
        client.publish_all(&sent[7..]).await;
        got.extend(subscriber.updates(2).await);
        assert_eq!(ids(&got), ids(&sent));
        // Nothing was missed this time.
        let mut subscriber = subscriber.resumption().open_at_relay().await;
        let next = client.publish_on(&topic, &json!("next")).await;
        assert_eq!(subscriber.update().await.id, next.id);
    }
}

#[tokio::test]
async fn a_cursor_of_the_root_is_good_for_a_relay_and_the_other_way_round() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = Vec::new();
    for transport in Transport::ALL {
        subscribers.push(client.subscribe(transport, &topic).await);
    }
    assert_eq!(objects(&subscribers), [("root".to_owned(), 2)].into());
    let stays = client.subscription(Transport::Ws, &[&topic]);
    let stays = stays.open_at_relay().await;
    client.publish_all(&updates(&topic, 4)).await;
    let mut moved = Vec::new();
    for mut subscriber in subscribers {
        subscriber.updates(4).await;
        let resumption = subscriber.resumption();
        drop(subscriber);
        moved.push(resumption.open_at_relay().await);
    }
    client.publish_on(&topic, &json!("at relays")).await;
    let mut resumptions = Vec::new();
    for mut subscriber in moved {
        assert_eq!(sequence(&subscriber.update().await), 5);
        resumptions.push(subscriber.resumption());
    }
    drop(stays);
    within_time(LONG, "the topic to be at its root again", async {
        loop {
            // Relays say that nobody is left when they are told something, and the edge remembers for
            // 10 s that the topic was there.
            client.publish_on(&topic, &json!("anybody there?")).await;
            let comes = client.subscribe(Transport::Ws, &topic).await;
            if comes.object() == "root" {
                break;
            }
            drop(comes);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    let head = client.since(&topic, 0).await.latest;
    for resumption in resumptions {
        let mut subscriber = resumption.open().await;
        assert_eq!(subscriber.object(), "root");
        let missed = usize::try_from(head - 5).unwrap();
        assert!(
            sequences(&subscriber.updates(missed).await)
                .into_iter()
                .eq(6..=head)
        );
    }
}

#[tokio::test]
async fn what_a_relay_does_not_remember_it_has_from_the_root() {
    let edge = relaying_edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let topic = fresh_topic();
        let _stay = client.bring_to_relays(&topic).await;
        let sent = updates(&topic, 400);
        client.publish_all(&sent).await;
        let first = 400 - RING + 1;
        for after in [0, 100, first - 2, first - 1, first, 399, 400] {
            let subscription = client.subscription(transport, &[&topic]).after(after);
            let mut subscriber = subscription.open_at_relay().await;
            let missed = &sent[usize::try_from(after).unwrap()..];
            assert_eq!(ids(&subscriber.updates(missed.len()).await), ids(missed));
        }
        let mut subscriber = client
            .subscription(transport, &[&topic])
            .after(1)
            .open_at_relay()
            .await;
        let next = client.publish_on(&topic, &json!("next")).await;
        assert_eq!(subscriber.updates(400).await[399].id, next.id);
    }
}

#[tokio::test]
async fn much_at_once_reaches_relays_and_more_bytes_than_they_remember_can_be_resumed() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = client.bring_to_relays(&topic).await;
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[&topic]);
        subscribers.push(subscription.open_at_relay().await);
    }
    // Four times what a relay remembers, and more than the root hands over at once.
    let mut sent: Vec<_> = (0..39).map(|_| update_of_size(&topic, 50_000)).collect();
    sent.push(update_of_size(&topic, MAX_UPDATE_BYTES));
    client.publish_all(&sent).await;
    let read = subscribers
        .iter_mut()
        .map(|subscriber| subscriber.updates(40));
    for got in join_all(read).await {
        assert_eq!(ids(&got), ids(&sent));
        assert_eq!(got[39].data, sent[39].data);
    }
    for transport in Transport::ALL {
        for after in [0, 20, 38] {
            let subscription = client.subscription(transport, &[&topic]).after(after);
            let mut subscriber = subscription.open_at_relay().await;
            assert_eq!(
                ids(&subscriber.updates(40 - after).await),
                ids(&sent[after..])
            );
        }
    }
}

#[tokio::test]
async fn a_gap_is_told_at_a_relay_too_and_the_subscriber_goes_on_as_ever() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let all = RELAYED_HISTORY + 100;
    for transport in Transport::ALL {
        let topic = fresh_topic();
        let _stay = client.bring_to_relays(&topic).await;
        client.publish_all(&updates(&topic, all)).await;
        for after in [0, 50] {
            let subscription = client.subscription(transport, &[&topic]).after(after);
            let mut subscriber = subscription.open_at_relay().await;
            let gap = Gap {
                topic: name(&topic),
                after,
                first: 101,
            };
            assert_eq!(subscriber.gap().await, gap);
            // It is cut off before it has read on: its cursor is behind the gap already.
            let mut subscriber = subscriber.resumption().open_at_relay().await;
            let left = usize::try_from(RELAYED_HISTORY).unwrap();
            let got = subscriber.updates(left).await;
            assert!(sequences(&got).into_iter().eq(101..=all));
        }
        let subscription = client.subscription(transport, &[&topic]).after(100);
        let mut subscriber = subscription.open_at_relay().await;
        client.publish_on(&topic, &json!("next")).await;
        let left = usize::try_from(RELAYED_HISTORY).unwrap();
        let got = subscriber.updates(left + 1).await;
        assert!(sequences(&got).into_iter().eq(101..=all + 1));
    }
}

#[tokio::test]
async fn a_cursor_ahead_of_the_topic_is_told_as_a_gap_at_a_relay_too() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let _stay = client.bring_to_relays(&topic).await;
    client.publish_all(&updates(&topic, 3)).await;
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[&topic]).after(100);
        let mut subscriber = subscription.open_at_relay().await;
        let gap = subscriber.gap().await;
        assert_eq!(gap.after, 100);
        let next = client.publish_on(&topic, &json!("next")).await;
        let head = client.since(&topic, 0).await.latest;
        let left = usize::try_from(head + 1 - gap.first).unwrap();
        // The subscriber itself sees to it that the first one is the gap's.
        let got = subscriber.updates(left).await;
        assert_eq!(got.last().map(|event| &event.id), Some(&next.id));
    }
}

#[tokio::test]
async fn whoever_asks_a_relay_for_the_latest_gets_it_first_and_then_what_comes() {
    let edge = relaying_edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let topic = fresh_topic();
        let _stay = client.bring_to_relays(&topic).await;
        let subscription = client.subscription(transport, &[&topic]);
        let latest = subscription.clone().latest();
        // There is none yet.
        let mut early = latest.open_at_relay().await;
        client.publish_all(&updates(&topic, 3)).await;
        assert_eq!(sequences(&early.updates(3).await), [1, 2, 3]);
        let mut late = latest.open_at_relay().await;
        // This relay has been told of nothing.
        let mut far = latest.clone().from_europe().open_at_relay().await;
        let mut plain = subscription.open_at_relay().await;
        client.publish_on(&topic, &json!(4)).await;
        assert_eq!(sequences(&late.updates(2).await), [3, 4]);
        assert_eq!(sequences(&far.updates(2).await), [3, 4]);
        assert_eq!(sequence(&plain.update().await), 4);
        // A cursor says more than the wish for the latest.
        let mut both = latest.after(1).open_at_relay().await;
        assert_eq!(sequences(&both.updates(3).await), [2, 3, 4]);
    }
}

#[tokio::test]
async fn whatever_a_topic_is_called_it_may_be_at_relays() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let fresh = fresh_topic();
    let begins = format!("{fresh}/many:enam:0:~@+-._");
    let long = format!("{begins}{}", "x".repeat(MAX_TOPIC_BYTES - begins.len()));
    for topic in [long, format!("{fresh}/0:a"), format!("enam:0:{fresh}")] {
        let mut subscribers = client.bring_to_relays(&topic).await;
        let subscription = client.subscription(Transport::Sse, &[&topic]);
        subscribers.push(subscription.open_at_relay().await);
        let sent = client.publish_on(&topic, &json!(1)).await;
        for subscriber in &mut subscribers {
            assert_eq!(subscriber.update().await.id, sent.id);
            let secret = subscriber.secret_id().to_owned();
            assert_eq!(client.ack(&topic, &secret, 1).await.status, 204);
        }
    }
}

#[tokio::test]
async fn what_the_root_answers_by_itself_it_answers_while_its_topic_is_at_relays() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = client.bring_to_relays(&topic).await;
    let polls = async {
        let poll = client.get(&topic_path(&topic)).header("prefer", "wait=50");
        let since = format!("{}?since=0", topic_path(&topic));
        let since = client.get(&since).header("prefer", "wait=50");
        tokio::join!(poll.send(), since.send())
    };
    let news = json!("news");
    let publish = client.publish_on(&topic, &news);
    let ((latest, since), sent) = tokio::join!(polls, publish);
    assert_eq!(event_of(&latest).id, sent.id);
    assert_eq!(ids(&Since::of(&since).updates), [&sent.id]);
    // The same again is a duplicate, and told once at relays.
    assert_eq!(client.publish(&sent).await.status, Status::Duplicate);
    let next = client.publish_on(&topic, &json!("next")).await;
    for subscriber in &mut subscribers {
        assert_eq!(ids(&subscriber.updates(2).await), [&sent.id, &next.id]);
    }
}

#[tokio::test]
async fn whoever_breaks_the_rules_at_a_relay_loses_the_connection_and_disturbs_nobody() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let _stay = client.bring_to_relays(&topic).await;
    let subscription = client.subscription(Transport::Ws, &[&topic]);
    let mut other = subscription.open_at_relay().await;
    let large = " ".repeat(MAX_SUBSCRIBER_MESSAGE_BYTES + 1);
    for (message, code) in [
        (Message::from(vec![0, 255]), 1003),
        (Message::from("x"), 1007),
        (Message::from(r#"{"updates":[]}"#), 1007),
        (Message::from(large), 1009),
    ] {
        let mut rude = subscription.open_at_relay().await;
        rude.ws().say(message).await;
        assert_eq!(rude.until_end().await, (vec![], News::Closed(code)));
        let sent = client.publish_on(&topic, &json!(code)).await;
        assert_eq!(other.update().await.id, sent.id);
    }
}

#[tokio::test]
async fn an_edge_may_have_no_subscribers_at_roots_at_all() {
    let edge = Edge::start(relaying().var("RELAY_THRESHOLD", 0)).await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = Vec::new();
    for transport in Transport::ALL {
        subscribers.push(client.subscribe(transport, &topic).await);
    }
    assert_eq!(objects(&subscribers), [("enam:0".to_owned(), 2)].into());
    let sent = updates(&topic, 3);
    client.publish_all(&sent).await;
    for subscriber in &mut subscribers {
        assert_eq!(ids(&subscriber.updates(3).await), ids(&sent));
    }
}

#[tokio::test]
async fn a_relays_websockets_outlive_its_sleep() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let mut subscribers = client.bring_to_relays(&topic).await;
    for _ in 0..2 {
        let subscription = client.subscription(Transport::Ws, &[&topic]);
        subscribers.push(subscription.open_at_relay().await);
    }
    let sent = updates(&topic, 6);
    // Before the first update, and after some.
    for some in sent.chunks(3) {
        tokio::time::sleep(UNTIL_ASLEEP).await;
        for event in some {
            client.settle(event).await;
        }
        for subscriber in &mut subscribers {
            assert_eq!(ids(&subscriber.updates(3).await), ids(some));
        }
    }
    // What it remembers it has forgotten in its sleep, and has it from the root.
    tokio::time::sleep(UNTIL_ASLEEP).await;
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[&topic]).after(2);
        let mut subscriber = subscription.open_at_relay().await;
        assert_eq!(ids(&subscriber.updates(4).await), ids(&sent[2..]));
        subscribers.push(subscriber);
    }
    let last = client.publish_on(&topic, &json!("last")).await;
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.update().await.id, last.id);
    }
}

#[tokio::test]
async fn the_death_of_an_edge_loses_and_doubles_nothing_at_relays() {
    let edge = survives_its_death(relaying(), 9).await;
    assert_ne!(
        edge.objects("RelayDo"),
        0,
        "relays have stored where they are"
    );
}

#[tokio::test]
async fn the_end_of_a_streams_life_at_a_relay_loses_nothing() {
    let edge = Edge::start(relaying().var("STREAM_LIFE_SECONDS", 1)).await;
    lose_nothing_to_short_lives(&edge, 8).await;
}

#[tokio::test]
async fn everyone_gets_the_same_at_root_and_relays_while_subscribers_come_and_go() {
    let edge = relaying_edge().await;
    all_get_the_same(&edge).await;
}

#[tokio::test]
async fn short_visits_to_relays_while_updates_come_miss_and_double_nothing() {
    const VISITORS: u64 = 12;
    const ALL: u64 = 150;
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let stay = client.bring_to_relays(&topic).await;
    let sent = updates(&topic, ALL);
    let publish = async {
        for event in &sent {
            client.settle(event).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let visit = |n: u64| {
        let (client, topic) = (&client, &topic);
        async move {
            let transport = Transport::ALL[usize::from(n.is_multiple_of(2))];
            let subscription = client.subscription(transport, &[topic]);
            let mut visits = 0;
            // The subscriber itself sees to it that nothing is missing and nothing comes twice.
            loop {
                let subscription = match n % 3 {
                    0 => subscription.clone(),
                    1 => subscription.clone().latest(),
                    _ => subscription.clone().after(0),
                };
                let mut subscriber = subscription.open_in_a_crowd().await;
                for _ in 0..=n {
                    if subscriber.cursor() == ALL.to_string() {
                        return visits;
                    }
                    subscriber.update().await;
                }
                visits += 1;
                if n % 3 == 2 && client.since(topic, ALL - 1).await.latest == ALL {
                    return visits;
                }
            }
        }
    };
    let ends = [(topic.as_str(), ALL)];
    let follow = join_all(stay.into_iter().map(|one| one.follow_to(&ends)));
    let visits = join_all((0..VISITORS).map(visit));
    let all = Box::pin(async { tokio::join!(visits, follow, publish) });
    let (visits, followed, ()) = within_time(LONG, "all updates", all).await;
    assert!(visits.iter().sum::<u64>() > 2 * VISITORS, "{visits:?}");
    for got in &followed {
        assert_eq!(ids(got), ids(&sent));
    }
}

#[tokio::test]
async fn whoever_comes_back_from_long_ago_while_updates_come_misses_none_and_gets_none_twice() {
    const OLD: u64 = 400;
    const ALL: u64 = OLD + 60;
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let _stay = client.bring_to_relays(&topic).await;
    let sent = updates(&topic, ALL);
    let (old, new) = sent.split_at(usize::try_from(OLD).unwrap());
    client.publish_all(old).await;
    let publish = async {
        for event in new {
            client.settle(event).await;
        }
    };
    let join = |n: u64| {
        let transport = Transport::ALL[usize::from(n.is_multiple_of(2))];
        // What these have missed is at the relay, at the root, or begins at the one and ends at the other.
        let after = 30 * n;
        let subscription = client.subscription(transport, &[&topic]).after(after);
        async move {
            tokio::time::sleep(Duration::from_millis(20 * n)).await;
            let mut subscriber = subscription.open_in_a_crowd().await;
            let missed = usize::try_from(ALL - after).unwrap();
            (subscriber.updates(missed).await, subscriber)
        }
    };
    let (joined, ()) = tokio::join!(join_all((0..12).map(join)), publish);
    let last = client.publish_on(&topic, &json!("last")).await;
    for (got, mut subscriber) in joined {
        assert_eq!(ids(&got), ids(&sent[sent.len() - got.len()..]));
        assert_eq!(subscriber.update().await.id, last.id);
    }
}

#[tokio::test]
async fn a_subscriber_at_a_relay_that_does_not_keep_up_delays_nobody_and_comes_back_without_loss() {
    const LARGE: usize = 60_000;
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let _stay = client.bring_to_relays(&topic).await;
    let subscription = |transport| client.subscription(transport, &[&topic]);
    let mut stuck = subscription(Transport::Ws).open_at_relay().await;
    let mut keen = Vec::new();
    for transport in Transport::ALL {
        keen.push(subscription(transport).open_at_relay().await);
    }
    assert!(keen.iter().all(|one| one.object() == stuck.object()));
    let mut sent = Vec::new();
    // More than 4 MiB, which is all that it may leave unanswered.
    for _ in 0..10 {
        let events: Vec<_> = (0..10).map(|_| update_of_size(&topic, LARGE)).collect();
        client.publish_all(&events).await;
        for got in join_all(keen.iter_mut().map(|one| one.updates(10))).await {
            assert_eq!(ids(&got), ids(&events));
        }
        sent.extend(events);
    }
    let (mut got, end) = stuck.until_end().await;
    assert_eq!(end, News::Closed(CLOSE_SLOW));
    assert!(got.len() < sent.len(), "{}", got.len());
    let mut back = stuck.resumption().open_at_relay().await;
    got.extend(back.updates(sent.len() - got.len()).await);
    assert_eq!(ids(&got), ids(&sent));
}

#[tokio::test]
async fn a_stream_of_a_relay_has_the_headers_of_one_of_the_root() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let _stay = client.bring_to_relays(&topic).await;
    client.publish_on(&topic, &json!(1)).await;
    let subscription = client.subscription(Transport::Sse, &[&topic]).after(0);
    let mut subscriber = subscription.header("origin", PAGE).open_at_relay().await;
    subscriber.update().await;
    let stream = subscriber.sse();
    assert_eq!(stream.header("cache-control"), "private, no-store");
    assert_eq!(stream.header("x-accel-buffering"), "no");
    assert_eq!(stream.header("access-control-allow-origin"), PAGE);
    assert!(stream.header("cache-status").contains("; hit; detail="));
    assert_ne!(stream.header("server-timing"), "");
    assert!(stream.seen().starts_with("retry: "), "{}", stream.seen());
}
