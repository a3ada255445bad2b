//! Private topics among several on one connection: a token must cover all of them, or nothing is told of
//! any; whoever may publish on one of them may do so over the connection.

use headstart_protocol::{
    channel::{CLOSE_FORBIDDEN, CLOSE_TOKEN, Down, Up},
    event::Event,
    report::{EventResult, Status},
};
use headstart_tests::{
    client::Client,
    keys::foreign_key,
    private::{SECRET, closed_untold, no_tokens, secret_topic, slug, tells_nothing},
    shared::{PAGE, edge},
    subscriber::{News, Subscriber, Subscription, Transport, hear},
    tokens::Token,
    topics::{fresh_private_topic, fresh_topic, ids, sequences, topic_path, update, updates},
};
use serde_json::json;

/// How long a token lives whose end is awaited, in seconds.
const SHORT: i64 = 5;

/// A subscription of two private topics with a secret in each, and a public one, from their beginning.
async fn mixed(client: &Client, transport: Transport) -> ([String; 3], Subscription) {
    let topics = [
        secret_topic(client).await,
        fresh_topic(),
        secret_topic(client).await,
    ];
    let asked: Vec<_> = topics.iter().map(String::as_str).collect();
    let cursor: Vec<_> = topics.iter().map(|topic| format!("{topic}=0")).collect();
    let subscription = client
        .subscription(transport, &asked)
        .after(cursor.join(","));
    (topics, subscription)
}

fn auth(token: &Token) -> String {
    let token = token.mint().into();
    Up::Auth { token }.to_json()
}

#[tokio::test]
async fn without_a_token_for_every_private_topic_nothing_is_told_of_any() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let ([a, public, b], subscription) = mixed(&client, transport).await;
        client.publish_on(&public, &json!(SECRET)).await;
        let both = Token::reading(&[&a, &b]);
        for (token, status, kind) in [
            (Token::reading(&[&a]), 403, "topic-forbidden"),
            (Token::reading(&[&b, &public]), 403, "topic-forbidden"),
            (
                Token::reading(&[]).publishing(&["*"]),
                403,
                "topic-forbidden",
            ),
            (both.clone().expiring_in(-5), 401, "token-refused"),
            (both.under(foreign_key()), 401, "token-refused"),
        ] {
            let asked = subscription
                .clone()
                .header("authorization", &token.bearer());
            let answer = asked.connect().await.err().expect("refused");
            assert_eq!(slug(&answer, status), kind);
            tells_nothing(&answer);
        }
        match subscription.connect().await {
            Err(answer) => {
                assert_eq!(
                    (slug(&answer, 401).as_str(), transport),
                    ("token-required", Transport::Sse)
                );
                assert!(
                    answer.header("www-authenticate").starts_with("Bearer"),
                    "{answer:?}"
                );
                tells_nothing(&answer);
            }
            // The first message may bring one.
            Ok(connection) => {
                let mut ws = connection.into_ws();
                ws.say(Up::Here { place: None }.to_json()).await;
                assert_eq!(closed_untold(&mut ws).await, CLOSE_TOKEN);
            }
        }
    }
}

#[tokio::test]
async fn a_token_for_every_private_topic_opens_them_and_the_public_ones_beside_them() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let ([a, public, b], subscription) = mixed(&client, transport).await;
        client.publish_on(&public, &json!(SECRET)).await;
        for token in [
            Token::reading(&[&a, &b]),
            Token::reading(&["private/*"]),
            Token::reading(&["*"]),
        ] {
            let asked = subscription
                .clone()
                .header("authorization", &token.bearer());
            let mut subscriber = asked.open().await;
            let got = subscriber.updates(5).await;
            for (topic, count) in [(&a, 2), (&public, 1), (&b, 2)] {
                let of_topic = got
                    .iter()
                    .filter(|event| event.subject.as_ref() == Some(topic));
                let of_topic: Vec<_> = of_topic.cloned().collect();
                assert!(sequences(&of_topic).into_iter().eq(1..=count), "{topic}");
            }
        }
    }
}

#[tokio::test]
async fn a_cookie_of_a_listed_page_opens_several_topics() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let ([a, _, b], subscription) = mixed(&client, transport).await;
        let cookie = |topics: &[&str]| format!("headstart_token={}", Token::reading(topics).mint());
        let asked = subscription.clone().header("cookie", &cookie(&[&a, &b]));
        let mut subscriber = asked.header("origin", PAGE).open().await;
        assert_eq!(subscriber.updates(4).await.len(), 4);
        let narrow = subscription.header("cookie", &cookie(&[&a]));
        let refused = narrow.header("origin", PAGE).connect().await;
        let refused = refused.err().expect("refused");
        assert_eq!(slug(&refused, 403), "topic-forbidden");
        tells_nothing(&refused);
    }
}

#[tokio::test]
async fn a_websockets_first_message_opens_all_of_its_topics_or_none() {
    let edge = edge().await;
    let client = edge.client();
    let ([a, public, b], subscription) = mixed(&client, Transport::Ws).await;
    for (token, code) in [
        (Token::reading(&[&a]), CLOSE_FORBIDDEN),
        (Token::reading(&[&b, &public]), CLOSE_FORBIDDEN),
        (Token::reading(&["*"]).expiring_in(-5), CLOSE_TOKEN),
    ] {
        let mut ws = subscription.connect().await.unwrap().into_ws();
        ws.say(auth(&token)).await;
        assert_eq!(closed_untold(&mut ws).await, code);
    }
    for (bearer, status, _) in no_tokens(&a) {
        let mut ws = subscription.connect().await.unwrap().into_ws();
        let token = bearer.strip_prefix("Bearer ").unwrap().to_owned().into();
        ws.say(Up::Auth { token }.to_json()).await;
        let code = if status == 401 {
            CLOSE_TOKEN
        } else {
            CLOSE_FORBIDDEN
        };
        assert_eq!(closed_untold(&mut ws).await, code, "{bearer}");
    }
    let mut ws = subscription.connect().await.unwrap().into_ws();
    ws.say(auth(&Token::reading(&[&a, &b]))).await;
    let welcome = hear(&mut ws).await;
    let Ok(Down::Welcome(welcome)) = welcome else {
        panic!("waited for a welcome and got {welcome:?}");
    };
    let heads: Vec<_> = welcome.topics.values().copied().collect();
    assert_eq!(heads.len(), 3);
    assert_eq!(heads.iter().sum::<u64>(), 4);
    let mut heard = 0;
    while heard < 4 {
        match hear(&mut ws).await {
            Ok(Down::Updates(events)) => heard += events.len(),
            other => panic!("waited for updates and got {other:?}"),
        }
    }
}

#[tokio::test]
async fn whoever_brings_no_token_in_time_is_closed_and_was_never_listed() {
    let edge = edge().await;
    let client = edge.client();
    let ([_, public, _], subscription) = mixed(&client, Transport::Ws).await;
    let mut ws = subscription.connect().await.unwrap().into_ws();
    client.publish_on(&public, &json!(SECRET)).await;
    assert_eq!(client.subscribers(&public).await.count, 0);
    assert_eq!(closed_untold(&mut ws).await, CLOSE_TOKEN);
}

#[tokio::test]
async fn the_end_of_a_token_ends_the_whole_connection() {
    let edge = edge().await;
    let client = edge.client();
    for transport in Transport::ALL {
        let ([a, public, b], subscription) = mixed(&client, transport).await;
        let token = Token::reading(&[&a, &b]).expiring_in(SHORT);
        let asked = subscription.header("authorization", &token.bearer());
        let mut subscriber = asked.open().await;
        subscriber.updates(4).await;
        let expected = match transport {
            Transport::Sse => News::Ended,
            Transport::Ws => News::Closed(CLOSE_TOKEN),
        };
        assert_eq!(subscriber.until_end().await, (vec![], expected));
        // From its cursor a new token goes on with all of them.
        client.publish_on(&public, &json!(1)).await;
        client.publish_on(&b, &json!(SECRET)).await;
        let asked = client.subscription(transport, &[&a, &public, &b]);
        let asked = asked.after(subscriber.cursor());
        let token = Token::reading(&["private/*"]);
        let mut again = asked.header("authorization", &token.bearer()).open().await;
        let mut got = again.updates(2).await;
        got.sort_by_key(|event| event.subject != Some(b.clone()));
        assert_eq!(sequences(&got), [3, 1]);
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
async fn a_token_to_publish_publishes_on_those_topics_of_the_connection_that_it_names() {
    let edge = edge().await;
    let client = edge.client();
    let (public, private, silent) = (fresh_topic(), fresh_private_topic(), fresh_topic());
    let elsewhere = fresh_topic();
    let token = Token::reading(&[&private]);
    let bearer = token.publishing(&[&public, &private, &elsewhere]).bearer();
    let subscription = client.subscription(Transport::Ws, &[&public, &private, &silent]);
    let subscription = subscription.header("authorization", &bearer);
    let mut publisher = subscription.open().await;
    let mut reader = subscription.open().await;
    let mut sent = Vec::new();
    for topic in [&public, &private] {
        for event in updates(topic, 2) {
            for status in [Status::Accepted, Status::Duplicate] {
                let result = publish(&mut publisher, &event).await;
                assert_eq!((&result.id, result.status), (&event.id, status));
            }
            sent.push(event);
        }
    }
    for topic in [&silent, &fresh_topic()] {
        let result = publish(&mut publisher, &update(topic, &json!("forged"))).await;
        assert_eq!(result.status, Status::Rejected, "{result:?}");
        assert!(result.reason.is_some());
        assert_eq!(client.since(topic, 0).await.latest, 0);
    }
    let mut heard = reader.updates(4).await;
    heard.sort_by_key(|event| event.subject != Some(public.clone()));
    assert_eq!(ids(&heard), ids(&sent));
    let last = client.publish_on(&silent, &json!("last")).await;
    assert_eq!(reader.update().await.id, last.id);
}

#[tokio::test]
async fn without_a_token_to_publish_nothing_is_published_over_several_topics() {
    let edge = edge().await;
    let client = edge.client();
    let (public, private) = (fresh_topic(), fresh_private_topic());
    let reading = Token::reading(&["*"]).bearer();
    let subscription = client.subscription(Transport::Ws, &[&public, &private]);
    let mut subscriber = subscription.header("authorization", &reading).open().await;
    for topic in [&public, &private] {
        let result = publish(&mut subscriber, &update(topic, &json!("forged"))).await;
        assert_eq!(result.status, Status::Rejected, "{result:?}");
    }
    let both_public = client.subscription(Transport::Ws, &[&public, &fresh_topic()]);
    let mut anyone = both_public.open().await;
    let result = publish(&mut anyone, &update(&public, &json!("forged"))).await;
    assert_eq!(result.status, Status::Rejected, "{result:?}");
    for topic in [&public, &private] {
        let call = client.get(&format!("{}?since=0", topic_path(topic)));
        let answer = call.header("authorization", &reading).send().await;
        assert_eq!(answer.expect_status(200).json()["latest"], 0, "{topic}");
    }
}
