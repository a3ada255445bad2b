//! What cannot be stored has not happened: an update whose write fails is taken when it comes again, and
//! nobody is told of what is not durable. The storage fails in a module around the Worker.

use std::time::{Duration, Instant};

use headstart_protocol::report::Status;
use headstart_tests::{
    edge::Edge,
    shared::relaying,
    subscriber::Transport,
    topics::{ids, sequences, updates},
};

/// How long what `faults/slow` stores takes to become durable.
const SLOW: Duration = Duration::from_secs(2);

async fn edge() -> Edge {
    Edge::start(relaying().around("faults/storage.mjs")).await
}

#[tokio::test]
async fn an_update_whose_write_fails_is_taken_when_it_comes_again_and_told_once() {
    let edge = edge().await;
    let client = edge.client();
    for step in ["history", "taken"] {
        let topic = format!("faults/{step}");
        let mut subscribers = Vec::new();
        for transport in Transport::ALL {
            subscribers.push(client.subscribe(transport, &topic).await);
        }
        let sent = updates(&topic, 3);
        client.settle(&sent[0]).await;
        assert_eq!(
            client.publish(&sent[1]).await.status,
            Status::Retry,
            "{step}"
        );
        assert_eq!(
            client.publish(&sent[1]).await.status,
            Status::Accepted,
            "{step}"
        );
        client.settle(&sent[2]).await;
        for mut subscriber in subscribers {
            let got = subscriber.updates(3).await;
            assert_eq!(
                (ids(&got), sequences(&got)),
                (ids(&sent), vec![1, 2, 3]),
                "{step}"
            );
        }
        assert_eq!(
            ids(&client.since(&topic, 0).await.updates),
            ids(&sent),
            "{step}"
        );
    }
}

#[tokio::test]
async fn what_was_stored_is_told_though_noting_that_fails() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), "faults/told");
    let mut subscriber = client.subscribe(Transport::Ws, topic).await;
    let sent = updates(topic, 4);
    for event in &sent {
        client.publish_surely(event).await;
    }
    let got = subscriber.updates(4).await;
    assert_eq!((ids(&got), sequences(&got)), (ids(&sent), vec![1, 2, 3, 4]));
}

#[tokio::test]
async fn a_relay_that_cannot_store_how_far_it_has_got_misses_and_doubles_nothing() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), "faults/head");
    let mut subscribers = client.bring_to_relays(topic).await;
    let sent = updates(topic, 4);
    for event in &sent {
        client.settle(event).await;
    }
    for subscriber in &mut subscribers {
        assert_eq!(ids(&subscriber.updates(4).await), ids(&sent));
    }
}

#[tokio::test]
async fn nothing_is_written_into_a_stream_before_it_is_durable() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), "faults/slow");
    client.publish_all(&updates(topic, 1)).await;
    let mut subscriber = client.subscribe(Transport::Sse, topic).await;
    let sent = updates(topic, 2);
    let start = Instant::now();
    for event in &sent {
        client.settle(event).await;
    }
    let published = start.elapsed();
    assert_eq!(ids(&subscriber.updates(2).await), ids(&sent));
    assert!(start.elapsed() >= SLOW, "{:?}", start.elapsed());
    assert!(published < SLOW, "{published:?}");
}
