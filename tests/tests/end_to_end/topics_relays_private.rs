//! A private topic is as private at its relays as at its root, and whoever may publish on it may do so
//! from there.

use std::time::Duration;

use futures_util::future::join_all;
use headstart_protocol::{
    channel::{CLOSE_FORBIDDEN, CLOSE_TOKEN, Down, Up},
    event::Event,
    report::{EventResult, Status},
};
use headstart_tests::{
    client::Client,
    private::{SECRET, closed_untold, no_tokens, secret_topic, slug, sockets, tells_nothing},
    relays::objects,
    shared::relaying_edge,
    subscriber::{News, Subscriber, Subscription, Transport, hear},
    tokens::Token,
    topics::{fresh_private_topic, fresh_topic, ids, sequence, topic_path, update, updates},
    ws::Heard,
};
use serde_json::json;

use crate::topics_resume::UNTIL_ASLEEP;

/// How long a token lives whose end is awaited, in seconds.
const SHORT: i64 = 5;

/// A private topic with something in it, and who keeps it at relays.
async fn at_relays(client: &Client) -> (String, Vec<Subscriber>) {
    let topic = secret_topic(client).await;
    let token = Token::reading(&[&topic]).bearer();
    let keepers = subscription(client, Transport::Ws, &topic, &token);
    let keepers = keepers.bring_to_relays().await;
    (topic, keepers)
}

fn subscription(client: &Client, transport: Transport, topic: &str, bearer: &str) -> Subscription {
    client
        .subscription(transport, &[topic])
        .header("authorization", bearer)
}

#[tokio::test]
async fn what_is_no_token_opens_nothing_at_relays() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let (topic, _keepers) = at_relays(&client).await;
    let stream = client.get(&format!("{}/events?last_event_id=0", topic_path(&topic)));
    let refused = stream.clone().send().await;
    assert_eq!(slug(&refused, 401), "token-required");
    tells_nothing(&refused);
    for (bearer, status, kind) in no_tokens(&topic) {
        let answer = stream.clone().header("authorization", &bearer).send().await;
        let found = slug(&answer, status);
        // An empty one is as good as none.
        let empty = bearer == "Bearer " && found == "token-required";
        assert!(found == kind || empty, "{bearer}: {answer:?}");
        tells_nothing(&answer);
        for call in sockets(&client, &topic) {
            match call.header("authorization", &bearer).open_ws().await {
                Err(answer) => {
                    assert_eq!(slug(&answer, status), kind, "{answer:?}");
                    tells_nothing(&answer);
                }
                // The first message may bring another.
                Ok(mut ws) => {
                    assert_eq!(bearer, "Bearer ");
                    ws.say(Up::Here { place: None }.to_json()).await;
                    assert_eq!(closed_untold(&mut ws).await, CLOSE_TOKEN);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_covers_the_topic_opens_it_at_relays() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let (topic, _keepers) = at_relays(&client).await;
    for bearer in [
        Token::reading(&[&topic]).bearer(),
        Token::reading(&["private/*"]).bearer(),
    ] {
        for transport in Transport::ALL {
            let subscription = subscription(&client, transport, &topic, &bearer).after(0);
            let mut subscriber = subscription.open_at_relay().await;
            let heard = subscriber.updates(2).await;
            assert_eq!(heard[1].json_data(), Some(SECRET.to_owned()));
        }
    }
}

#[tokio::test]
async fn a_websockets_first_message_opens_a_private_topic_at_a_relay_or_nothing_does() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let (topic, _keepers) = at_relays(&client).await;
    let auth = |bearer: &str| {
        let token = bearer.strip_prefix("Bearer ").unwrap().to_owned().into();
        Up::Auth { token }.to_json()
    };
    for (bearer, status, _) in no_tokens(&topic) {
        let unsaid = client.subscription(Transport::Ws, &[&topic]).latest();
        let mut ws = unsaid.connect().await.unwrap().into_ws();
        ws.say(auth(&bearer)).await;
        let code = if status == 401 {
            CLOSE_TOKEN
        } else {
            CLOSE_FORBIDDEN
        };
        assert_eq!(closed_untold(&mut ws).await, code, "{bearer}");
    }
    let unsaid = client.subscription(Transport::Ws, &[&topic]).after(1);
    let mut connection = unsaid.connect().await.unwrap().into_ws();
    // What comes before it has said who it is waits, and is not lost.
    let next = client.publish_on(&topic, &json!("next")).await;
    connection
        .say(auth(&Token::reading(&[&topic]).bearer()))
        .await;
    let welcome = hear(&mut connection).await;
    let Ok(Down::Welcome(welcome)) = welcome else {
        panic!("waited for a welcome and got {welcome:?}");
    };
    assert!(welcome.subscriber.as_str().starts_with("enam:"));
    let mut heard = Vec::new();
    while heard.len() < 2 {
        match hear(&mut connection).await {
            Ok(Down::Updates(events)) => heard.extend(events),
            other => panic!("waited for updates and got {other:?}"),
        }
    }
    assert_eq!(heard.last().map(|event| &event.id), Some(&next.id));
    assert_eq!(heard.len(), 2);
}

#[tokio::test]
async fn a_websocket_that_brings_a_relay_no_token_in_time_is_closed_untold() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let (topic, _keepers) = at_relays(&client).await;
    let unsaid = client.subscription(Transport::Ws, &[&topic]).latest();
    let mut ws = unsaid.connect().await.unwrap().into_ws();
    client.publish_on(&topic, &json!(SECRET)).await;
    assert_eq!(closed_untold(&mut ws).await, CLOSE_TOKEN);
}

#[tokio::test]
async fn the_end_of_a_token_ends_its_streams_and_websockets_at_relays() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let (topic, _keepers) = at_relays(&client).await;
    let bearer = Token::reading(&[&topic]).expiring_in(SHORT).bearer();
    let mut subscribers = Vec::new();
    for transport in Transport::ALL {
        let subscription = subscription(&client, transport, &topic, &bearer).latest();
        subscribers.push(subscription.open_at_relay().await);
    }
    for mut subscriber in subscribers {
        let expected = match subscriber.transport() {
            Transport::Sse => News::Ended,
            Transport::Ws => News::Closed(CLOSE_TOKEN),
        };
        assert_eq!(sequence(&subscriber.update().await), 2);
        assert_eq!(subscriber.until_end().await, (vec![], expected));
        let refused = subscriber.resumption().connect().await.err();
        assert_eq!(slug(&refused.expect("refused"), 401), "token-refused");
        // What comes after its end is there for a new token, from the same cursor.
        let head = client.publish_on(&topic, &json!(SECRET)).await;
        let bearer = Token::reading(&[&topic]).bearer();
        let again = subscription(&client, subscriber.transport(), &topic, &bearer);
        let mut again = again.after(subscriber.cursor()).open_at_relay().await;
        let missed = again.head(&topic) - 2;
        let missed = again.updates(usize::try_from(missed).unwrap()).await;
        assert_eq!(missed.last().map(|event| &event.id), Some(&head.id));
    }
}

#[tokio::test]
async fn a_fresh_token_in_time_keeps_a_websocket_at_a_relay_open() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let (topic, _keepers) = at_relays(&client).await;
    let short = || Token::reading(&[&topic]).expiring_in(SHORT).bearer();
    let open = |bearer: String| {
        let subscription = subscription(&client, Transport::Ws, &topic, &bearer);
        async move { subscription.open_at_relay().await }
    };
    let (mut renewed, mut ends) = (open(short()).await, open(short()).await);
    let token = Token::reading(&[&topic]).mint().into();
    renewed.say(&Up::Auth { token }).await;
    assert_eq!(ends.until_end().await, (vec![], News::Closed(CLOSE_TOKEN)));
    let sent = client.publish_on(&topic, &json!("later")).await;
    assert_eq!(renewed.update().await.id, sent.id);
}

#[tokio::test]
async fn no_object_sleeps_through_the_end_of_a_token() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let asleep = i64::try_from(UNTIL_ASLEEP.as_secs()).unwrap();
    let bearer = Token::reading(&[&topic]).expiring_in(asleep + 10).bearer();
    let subscription = subscription(&client, Transport::Ws, &topic, &bearer);
    // At the root and at a relay, and nobody is awake at either.
    let subscribers = subscription.bring_to_relays().await;
    assert_eq!(objects(&subscribers).len(), 2);
    tokio::time::sleep(UNTIL_ASLEEP + Duration::from_secs(12)).await;
    client.publish_on(&topic, &json!(SECRET)).await;
    for mut subscriber in subscribers {
        let end = subscriber.until_end().await;
        assert_eq!(
            end,
            (vec![], News::Closed(CLOSE_TOKEN)),
            "{}",
            subscriber.object()
        );
    }
}

/// Publishes over a subscriber's WebSocket; gives what became of it.
async fn publish(subscriber: &mut Subscriber, event: &Event) -> EventResult {
    let event = Box::new(event.clone());
    subscriber.say(&Up::Publish { event }).await;
    loop {
        match subscriber.next().await {
            News::Update(_) => {}
            News::Published(result) => return result,
            other => panic!("waited for a result and got {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_token_to_publish_publishes_over_a_relays_websocket_as_an_origin_does() {
    let edge = relaying_edge().await;
    let client = edge.client();
    for topic in [fresh_topic(), fresh_private_topic()] {
        let bearer = Token::reading(&[&topic]).publishing(&[&topic]).bearer();
        let subscription = |transport| subscription(&client, transport, &topic, &bearer);
        let mut readers = subscription(Transport::Ws).bring_to_relays().await;
        readers.push(subscription(Transport::Sse).open_at_relay().await);
        let mut publisher = subscription(Transport::Ws).open_at_relay().await;
        let events = updates(&topic, 3);
        for event in &events {
            for status in [Status::Accepted, Status::Duplicate] {
                let result = publish(&mut publisher, event).await;
                assert_eq!((&result.id, result.status), (&event.id, status));
            }
        }
        for reader in &mut readers {
            assert_eq!(ids(&reader.updates(3).await), ids(&events));
        }
        // It is a subscriber itself, and is told its own in their order.
        let cursor = publisher.cursor();
        let mut again = publisher.resumption().open_at_relay().await;
        let next = update(&topic, &json!("next"));
        assert_eq!(
            publish(&mut publisher, &next).await.status,
            Status::Accepted
        );
        let rest = 4 - cursor.parse::<usize>().unwrap();
        let got = again.updates(rest).await;
        assert_eq!(got.last().map(|event| &event.id), Some(&next.id));
    }
}

#[tokio::test]
async fn publishers_at_root_and_relays_at_once_keep_each_its_own_order_and_lose_nothing() {
    const EACH: u64 = 40;
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let bearer = Token::reading(&[]).publishing(&[&topic]).bearer();
    let subscription = subscription(&client, Transport::Ws, &topic, &bearer);
    let mut publishers = subscription.bring_to_relays().await;
    let far = subscription.clone().from_europe();
    publishers.push(far.open_at_relay().await);
    publishers.push(subscription.open_at_relay().await);
    let all = EACH * publishers.len() as u64;
    let publish = publishers
        .into_iter()
        .enumerate()
        .map(|(n, mut publisher)| {
            let sent: Vec<_> = (0..EACH)
                .map(|k| update(&topic, &json!({ "publisher": n, "k": k })))
                .collect();
            async move {
                // All of them before the first answer.
                for event in &sent {
                    let event = Box::new(event.clone());
                    publisher.say(&Up::Publish { event }).await;
                }
                let (mut results, mut heard) = (Vec::new(), Vec::new());
                while results.len() < sent.len() || heard.len() as u64 != all {
                    match publisher.next().await {
                        News::Published(result) => results.push(result),
                        News::Update(event) => heard.push(event),
                        other => panic!("unexpected: {other:?}"),
                    }
                }
                for (event, result) in sent.iter().zip(&results) {
                    assert_eq!((&result.id, result.status), (&event.id, Status::Accepted));
                }
                (sent, heard)
            }
        });
    let done = join_all(publish).await;
    let history = client.since(&topic, 0).await.updates;
    for (sent, heard) in &done {
        assert_eq!(ids(heard), ids(&history));
        let own = history
            .iter()
            .filter(|event| sent.iter().any(|one| one.id == event.id));
        let own: Vec<_> = own.map(|event| event.id.as_str()).collect();
        assert_eq!(own, ids(sent));
    }
}

#[tokio::test]
async fn without_a_token_to_publish_nothing_is_published_over_a_relays_websocket() {
    let edge = relaying_edge().await;
    let client = edge.client();
    let (topic, _keepers) = at_relays(&client).await;
    let public = fresh_topic();
    let _others = client.bring_to_relays(&public).await;
    let elsewhere = fresh_private_topic();
    let reading = Token::reading(&["*"]);
    let narrow = reading.clone().publishing(&[&elsewhere, "test/x*"]);
    for (topic, bearer) in [
        (&public, None),
        (&public, Some(reading.bearer())),
        (&public, Some(narrow.bearer())),
        (&topic, Some(reading.bearer())),
        (&topic, Some(narrow.bearer())),
    ] {
        let mut subscription = client.subscription(Transport::Ws, &[topic]);
        if let Some(bearer) = &bearer {
            subscription = subscription.header("authorization", bearer);
        }
        let mut subscriber = subscription.open_at_relay().await;
        let result = publish(&mut subscriber, &update(topic, &json!("forged"))).await;
        assert_eq!(result.status, Status::Rejected, "{result:?}");
        assert!(result.reason.is_some());
        // Nor on a topic that it does not follow.
        let other = update(&fresh_topic(), &json!("forged"));
        let result = publish(&mut subscriber, &other).await;
        assert_eq!(result.status, Status::Rejected, "{result:?}");
    }
    assert_eq!(client.since(&public, 0).await.latest, 0);
    let call = client.get(&topic_path(&topic));
    let answer = call.header("authorization", &reading.bearer()).send().await;
    assert_eq!(answer.header("etag"), "\"2\"");
}

#[tokio::test]
async fn a_relays_websocket_may_publish_after_its_sleep() {
    let edge = relaying_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let bearer = Token::reading(&[]).publishing(&[&topic]).bearer();
    let subscription = subscription(&client, Transport::Ws, &topic, &bearer);
    let mut subscribers = subscription.bring_to_relays().await;
    let mut ping = subscription.open_at_relay().await;
    tokio::time::sleep(UNTIL_ASLEEP).await;
    let sent = update(&topic, &json!("awake"));
    let publisher = subscribers.last_mut().unwrap();
    assert_eq!(publish(publisher, &sent).await.status, Status::Accepted);
    assert_eq!(ping.update().await.id, sent.id);
    // The text is answered by the platform, asleep or not.
    ping.ws().say("ping").await;
    assert_eq!(ping.ws().hear().await, Heard::Text("pong".to_owned()));
}
