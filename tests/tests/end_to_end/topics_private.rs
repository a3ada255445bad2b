//! A private topic tells nothing to whoever has no token for it, on any route, by any transport.

use std::time::Duration;

use headstart_protocol::{
    channel::{CLOSE_FORBIDDEN, CLOSE_TOKEN, Down, Up},
    event::Event,
    report::Status,
};
use headstart_tests::{
    edge::Edge,
    edge_config::EdgeConfig,
    keys::rotated_key,
    private::{SECRET, closed_untold, no_tokens, secret_topic, slug, sockets, tells_nothing, ways},
    raw,
    shared::{PAGE, edge, open_edge},
    subscriber::{News, Subscriber, Subscription, Transport, hear},
    tokens::Token,
    topics::{
        event_of, fresh_private_topic, fresh_topic, ids, sequence, topic_path, update, updates,
    },
    ws::Heard,
};
use serde_json::{Value, json};

const STRANGER: &str = "https://shop.example.evil.example";

/// How long a token lives whose end is awaited, in seconds.
const SHORT: i64 = 3;

#[tokio::test]
async fn without_a_token_nothing_is_told_by_any_way() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    for call in ways(&client, &topic) {
        let answer = call.send().await;
        assert!(
            matches!(slug(&answer, 401).as_str(), "token-required" | ""),
            "{answer:?}"
        );
        assert!(
            answer.header("www-authenticate").starts_with("Bearer"),
            "{answer:?}"
        );
        tells_nothing(&answer);
    }
}

#[tokio::test]
async fn a_token_that_is_none_or_expired_or_narrower_or_by_another_key_opens_nothing_by_any_way() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    for (bearer, status, kind) in no_tokens(&topic) {
        for call in ways(&client, &topic) {
            let call = call.header("authorization", &bearer);
            let answer = call.send().await;
            let found = slug(&answer, status);
            // An empty one is as good as none.
            let empty = bearer == "Bearer " && found == "token-required";
            assert!(
                found.is_empty() || found == kind || empty,
                "{bearer}: {answer:?}"
            );
            tells_nothing(&answer);
        }
    }
}

#[tokio::test]
async fn a_websocket_with_a_token_that_opens_nothing_is_told_nothing() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    for (bearer, status, kind) in no_tokens(&topic) {
        for call in sockets(&client, &topic) {
            let refused = call.header("authorization", &bearer).open_ws().await;
            match refused {
                Err(answer) => assert_eq!(slug(&answer, status), kind, "{answer:?}"),
                // An empty one is as good as none: the first message may bring another.
                Ok(_) => assert_eq!(bearer, "Bearer "),
            }
        }
    }
}

#[tokio::test]
async fn a_websockets_first_message_opens_a_private_topic_or_nothing_does() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let auth = |bearer: &str| Up::Auth {
        token: bearer.strip_prefix("Bearer ").unwrap().to_owned().into(),
    };
    for call in sockets(&client, &topic) {
        let mut ws = call.open_ws().await.unwrap();
        ws.say(auth(&Token::reading(&[&topic]).bearer()).to_json())
            .await;
        assert!(matches!(hear(&mut ws).await, Ok(Down::Welcome(_))));
        let told = hear(&mut ws).await;
        assert!(matches!(told, Ok(Down::Updates(_))), "{told:?}");
    }
    let call = client.get(&format!("{}/ws?latest=1", topic_path(&topic)));
    for (bearer, status, _) in no_tokens(&topic) {
        let mut ws = call.clone().open_ws().await.unwrap();
        ws.say(auth(&bearer).to_json()).await;
        let code = if status == 401 {
            CLOSE_TOKEN
        } else {
            CLOSE_FORBIDDEN
        };
        assert_eq!(closed_untold(&mut ws).await, code, "{bearer}");
    }
    // Nothing else that it says first opens anything.
    let publish = Up::Publish {
        event: Box::new(update(&topic, &json!("forged"))),
    };
    for message in [
        publish.to_json(),
        Up::Here { place: None }.to_json(),
        Up::Pong { n: 0 }.to_json(),
    ] {
        let mut ws = call.clone().open_ws().await.unwrap();
        ws.say(message).await;
        assert_eq!(closed_untold(&mut ws).await, CLOSE_TOKEN);
    }
}

#[tokio::test]
async fn a_websocket_that_brings_no_token_in_time_is_closed_and_told_nothing() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let path = format!("{}/ws?latest=1", topic_path(&topic));
    let mut ws = client.get(&path).open_ws().await.unwrap();
    ws.say("ping").await;
    client.publish_on(&topic, &json!(SECRET)).await;
    loop {
        match ws.hear().await {
            Heard::Text(text) if text == "pong" => {}
            Heard::Text(text) => assert!(text.starts_with("{\"problem\""), "{text}"),
            end => {
                assert_eq!(end, Heard::Closed(CLOSE_TOKEN));
                break;
            }
        }
    }
    let token = Token::reading(&[&topic]).bearer();
    let list = client.get(&format!("{}/subscribers", topic_path(&topic)));
    let list = list
        .header("authorization", &token)
        .send()
        .await
        .expect_status(200);
    assert_eq!(
        list.json()["count"],
        0,
        "it was never among the subscribers"
    );
}

#[tokio::test]
async fn a_token_that_covers_the_topic_opens_it_by_every_way() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let prefix = format!("{}*", &topic[..topic.len() - 4]);
    let tokens = [
        Token::reading(&[&topic]),
        Token::reading(&["private/other", &prefix]),
        Token::reading(&["private/*"]),
        Token::reading(&["*"]),
        Token::reading(&[&topic]).under(rotated_key()),
    ];
    for token in tokens.map(|token| token.bearer()) {
        for call in ways(&client, &topic) {
            let call = call.header("authorization", &token);
            // A stream does not end by itself: its headers are enough.
            match call.open_sse().await {
                Ok(stream) => assert_eq!(stream.header("cache-control"), "private, no-store"),
                Err(answer) => {
                    // The ack is of nobody who is there.
                    assert!(matches!(answer.status, 200 | 404), "{answer:?}");
                    if answer.status == 200 {
                        assert_eq!(answer.header("cache-control"), "private, no-store");
                    }
                }
            }
        }
        let latest = client
            .get(&topic_path(&topic))
            .header("authorization", &token);
        assert_eq!(
            event_of(&latest.send().await).json_data(),
            Some(SECRET.to_owned())
        );
        for transport in Transport::ALL {
            let subscription = client.subscription(transport, &[&topic]).after(1);
            let mut subscriber = subscription.header("authorization", &token).open().await;
            assert_eq!(sequence(&subscriber.update().await), 2);
        }
    }
}

#[tokio::test]
async fn a_private_topic_is_private_however_its_name_is_written() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let rest = topic.strip_prefix("private/").unwrap();
    for name in [
        format!("private%2F{rest}"),
        format!("%70rivate/{rest}"),
        format!("%70%72%69%76%61%74%65%2f{rest}"),
    ] {
        for call in ways(&client, &name) {
            let answer = call.send().await;
            assert!(
                matches!(slug(&answer, 401).as_str(), "token-required" | ""),
                "{answer:?}"
            );
            tells_nothing(&answer);
        }
    }
    for path in [
        format!("/topics/./private/{rest}"),
        format!("/topics//private/{rest}"),
        format!("/topics/public/../private/{rest}"),
        format!("/topics/%2e/private/{rest}"),
        format!("/topics/public/%2e%2e/private/{rest}"),
        format!("/topics/public%2F..%2Fprivate%2F{rest}"),
        format!("/topics/private/{rest}/"),
        format!("//topics/private/{rest}"),
        format!("/topics/private/{rest};a=b"),
        format!("/topics/private\\{rest}"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n\r\n");
        let answer = raw::send_all(edge.address(), request.as_bytes()).await;
        assert!(
            matches!(raw::status(&answer), 400 | 401 | 404),
            "{path}: {answer}"
        );
        assert!(!answer.contains(SECRET), "{path}: {answer}");
    }
    // What only looks like it is public.
    for name in [
        format!("Private/{rest}"),
        format!("privately/{rest}"),
        format!("a/private/{rest}"),
    ] {
        client.publish_on(&name, &json!(1)).await;
        let _ = client.latest(&name).await.expect_status(200);
    }
    client.publish_on("private", &json!(1)).await;
    let _ = client.latest("private").await.expect_problem(401);
}

#[tokio::test]
async fn a_token_in_a_url_is_no_token() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let token = Token::reading(&[&topic]).mint();
    for name in [
        "token",
        "access_token",
        "authorization",
        "headstart_token",
        "jwt",
    ] {
        for way in ["", "/events", "/subscribers"] {
            let path = format!("{}{way}?{name}={token}", topic_path(&topic));
            let answer = client.get(&path).send().await;
            assert_eq!(slug(&answer, 401), "token-required");
            tells_nothing(&answer);
        }
    }
}

#[tokio::test]
async fn a_cookie_opens_a_topic_for_listed_pages_and_the_edges_own_only() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let cookie = format!(
        "theme=dark; headstart_token={}; x=y",
        Token::reading(&[&topic]).mint()
    );
    let own = edge.url();
    for (origin, welcome) in [
        (PAGE, true),
        (own.as_str(), true),
        (STRANGER, false),
        ("null", false),
    ] {
        for transport in Transport::ALL {
            let subscription = client.subscription(transport, &[&topic]).latest();
            let subscription = subscription
                .header("cookie", &cookie)
                .header("origin", origin);
            if welcome {
                assert_eq!(
                    sequence(&subscription.open().await.update().await),
                    2,
                    "{origin}"
                );
            } else {
                refused_untold(&subscription).await;
            }
        }
        let call = client.get(&topic_path(&topic)).header("cookie", &cookie);
        let answer = call.header("origin", origin).send().await;
        if welcome {
            assert_eq!(sequence(&event_of(&answer)), 2, "{origin}");
        } else {
            assert!(matches!(answer.status, 401 | 403), "{answer:?}");
            tells_nothing(&answer);
        }
    }
    // A cookie of a listed page that holds no token for the topic opens nothing either.
    let other = format!(
        "headstart_token={}",
        Token::reading(&["private/other"]).mint()
    );
    let call = client.get(&topic_path(&topic)).header("cookie", &other);
    let answer = call.header("origin", PAGE).send().await;
    assert_eq!(slug(&answer, 403), "topic-forbidden");
    tells_nothing(&answer);
}

/// Fails unless the edge refuses a subscription, or opens a WebSocket that tells nothing.
async fn refused_untold(subscription: &Subscription) {
    match subscription.connect().await {
        Err(answer) => {
            assert!(matches!(answer.status, 401 | 403), "{answer:?}");
            tells_nothing(&answer);
        }
        // It may still send a token as its first message, and this is none.
        Ok(connection) => {
            let mut ws = connection.into_ws();
            ws.say(Up::Here { place: None }.to_json()).await;
            assert_eq!(closed_untold(&mut ws).await, CLOSE_TOKEN);
        }
    }
}

#[tokio::test]
async fn a_listed_page_may_send_its_cookie_and_its_token() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let preflight = client.call(reqwest::Method::OPTIONS, &topic_path(&topic));
    let preflight = preflight
        .header("origin", PAGE)
        .header("access-control-request-method", "GET");
    let answer = preflight.send().await.expect_status(204);
    let headers = answer.header("access-control-allow-headers").to_lowercase();
    for name in ["authorization", "if-none-match", "last-event-id", "prefer"] {
        assert!(headers.contains(name), "{headers}");
    }
    let cookie = format!("headstart_token={}", Token::reading(&[&topic]).mint());
    let subscription = client.subscription(Transport::Sse, &[&topic]);
    let subscription = subscription
        .header("cookie", &cookie)
        .header("origin", PAGE);
    let mut subscriber = subscription.open().await;
    let stream = subscriber.sse();
    assert_eq!(stream.header("access-control-allow-origin"), PAGE);
    // Without it a browser keeps the answer from a page that sends its cookie.
    assert_eq!(stream.header("access-control-allow-credentials"), "true");
    let answer = client.get(&topic_path(&topic)).header("cookie", &cookie);
    let answer = answer
        .header("origin", PAGE)
        .send()
        .await
        .expect_status(200);
    assert!(
        answer
            .header("access-control-expose-headers")
            .contains("ETag")
    );
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert!(answer.header("vary").contains("Origin"), "{answer:?}");
}

#[tokio::test]
async fn a_star_in_the_allow_list_makes_no_page_a_listed_one() {
    let edge = open_edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let cookie = format!("headstart_token={}", Token::reading(&[&topic]).mint());
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[&topic]).latest();
        let subscription = subscription
            .header("cookie", &cookie)
            .header("origin", STRANGER);
        refused_untold(&subscription).await;
    }
}

#[tokio::test]
async fn the_end_of_a_token_ends_its_streams_and_websockets() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let token = Token::reading(&[&topic]).expiring_in(SHORT).bearer();
    let watch = client.get(&format!("{}/subscribers/events", topic_path(&topic)));
    let watch = watch.header("authorization", &token).open_sse().await;
    let mut watch = watch.unwrap();
    let mut subscribers = Vec::new();
    for transport in Transport::ALL {
        let subscription = client.subscription(transport, &[&topic]).latest();
        subscribers.push(subscription.header("authorization", &token).open().await);
    }
    for subscriber in &mut subscribers {
        assert_eq!(sequence(&subscriber.update().await), 2);
    }
    for subscriber in &mut subscribers {
        let expected = match subscriber.transport() {
            Transport::Sse => News::Ended,
            Transport::Ws => News::Closed(CLOSE_TOKEN),
        };
        assert_eq!(subscriber.until_end().await, (vec![], expected));
        let refused = subscriber.resumption().connect().await.err();
        assert_eq!(slug(&refused.expect("refused"), 401), "token-refused");
    }
    while watch.frame().await.is_some() {}
    // What came after its end is there for a new token, from the same cursor.
    client.publish_on(&topic, &json!("later")).await;
    let token = Token::reading(&[&topic]).bearer();
    let again = client.subscription(Transport::Ws, &[&topic]).after(2);
    let mut again = again.header("authorization", &token).open().await;
    assert_eq!(sequence(&again.update().await), 3);
}

#[tokio::test]
async fn a_token_with_an_audience_opens_the_edge_that_it_names_and_no_other() {
    const AUDIENCE: &str = "https://edge.example";
    let named = Edge::start(EdgeConfig::default().var("TOKEN_AUDIENCE", AUDIENCE)).await;
    let unnamed = edge().await;
    let topic = fresh_private_topic();
    let token = Token::reading(&[&topic]);
    for (edge, token, opens) in [
        (&named, token.clone().naming(AUDIENCE), true),
        (&named, token.clone().naming("another"), false),
        (&named, token.clone(), false),
        (&unnamed, token.clone(), true),
        (&unnamed, token.naming(AUDIENCE), false),
    ] {
        let path = format!("{}?since=0", topic_path(&topic));
        let client = edge.client();
        let call = client.get(&path);
        let answer = call.header("authorization", &token.bearer()).send().await;
        if opens {
            let _ = answer.expect_status(200);
        } else {
            let problem = answer.expect_problem(401);
            assert_eq!(problem.kind, "urn:headstart:token-refused");
            assert!(problem.detail.contains("TOKEN_AUDIENCE"), "{problem:?}");
        }
    }
}

#[tokio::test]
async fn a_long_poll_does_not_outlive_its_token() {
    let edge = edge().await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let token = Token::reading(&[&topic]).expiring_in(SHORT).bearer();
    let poll = client
        .get(&format!("{}?since=2", topic_path(&topic)))
        .header("authorization", &token)
        .header("prefer", "wait=20")
        .send();
    let publish = async {
        tokio::time::sleep(Duration::from_secs(2 * SHORT.unsigned_abs())).await;
        client.publish_on(&topic, &json!(SECRET)).await;
    };
    let (answer, ()) = tokio::join!(poll, publish);
    assert!(!answer.text().contains(SECRET), "{answer:?}");
}

/// What the edge answers to a publish: its result, or what it says instead.
async fn answer_to(subscriber: &mut Subscriber, event: &Event) -> News {
    let event = Box::new(event.clone());
    subscriber.say(&Up::Publish { event }).await;
    loop {
        match subscriber.next().await {
            News::Update(_) => {}
            other => return other,
        }
    }
}

#[tokio::test]
async fn a_token_to_publish_publishes_over_a_websocket_as_an_origin_does() {
    let edge = edge().await;
    let client = edge.client();
    for topic in [fresh_topic(), fresh_private_topic()] {
        let token = Token::reading(&[&topic]).publishing(&[&topic]).bearer();
        let subscription = |transport| {
            let subscription = client.subscription(transport, &[&topic]);
            subscription.header("authorization", &token)
        };
        let mut publisher = subscription(Transport::Ws).open().await;
        let mut reader = subscription(Transport::Sse).open().await;
        let events = updates(&topic, 3);
        for event in &events {
            for status in [Status::Accepted, Status::Duplicate] {
                match answer_to(&mut publisher, event).await {
                    News::Published(result) => {
                        assert_eq!((&result.id, result.status), (&event.id, status));
                    }
                    other => panic!("waited for a result and got {other:?}"),
                }
            }
        }
        assert_eq!(ids(&reader.updates(3).await), ids(&events));
    }
}

#[tokio::test]
async fn without_a_token_to_publish_nothing_is_published_over_a_websocket() {
    let edge = edge().await;
    let client = edge.client();
    let (public, private, other) = (fresh_topic(), fresh_private_topic(), fresh_private_topic());
    let reading = Token::reading(&["*"]);
    let narrow = Token::reading(&["*"]).publishing(&[&other, "test/x*"]);
    for (topic, token) in [
        (&public, None),
        (&public, Some(&reading)),
        (&public, Some(&narrow)),
        (&private, Some(&reading)),
        (&private, Some(&narrow)),
    ] {
        let mut subscription = client.subscription(Transport::Ws, &[topic]);
        if let Some(token) = token {
            subscription = subscription.header("authorization", &token.bearer());
        }
        let mut subscriber = subscription.open().await;
        match answer_to(&mut subscriber, &update(topic, &json!("forged"))).await {
            News::Problem(problem) => assert!(matches!(problem.status, 401 | 403), "{problem:?}"),
            News::Published(result) => assert_eq!(result.status, Status::Rejected, "{result:?}"),
            News::Closed(code) => assert_eq!(code, CLOSE_FORBIDDEN),
            other => panic!("waited for a refusal and got {other:?}"),
        }
    }
    // A token for another topic than it follows is good for that one.
    let subscription = client.subscription(Transport::Ws, &[&public]);
    let mut subscriber = subscription
        .header("authorization", &narrow.bearer())
        .open()
        .await;
    let event = update(&other, &json!("theirs"));
    let answer = answer_to(&mut subscriber, &event).await;
    assert!(matches!(answer, News::Published(_)), "{answer:?}");
    for (topic, latest) in [(&public, 0), (&private, 0)] {
        let call = client.get(&format!("{}?since=0", topic_path(topic)));
        let answer = call.header("authorization", &reading.bearer()).send().await;
        assert_eq!(
            answer.expect_status(200).json()["latest"],
            latest,
            "{topic}"
        );
    }
}

#[tokio::test]
async fn what_is_published_over_a_websocket_is_checked_as_everywhere() {
    let edge = edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let token = Token::reading(&["*"]).publishing(&["*"]).bearer();
    let subscription = client.subscription(Transport::Ws, &[&topic]);
    let mut publisher = subscription.header("authorization", &token).open().await;
    let good = update(&topic, &json!(1));
    let mut wrong = Vec::new();
    for change in [
        |event: &mut Value| event["type"] = json!("dev.headstart.offer.ready"),
        |event: &mut Value| event["subject"] = json!("a//b"),
        |event: &mut Value| event["id"] = json!("a\nid: 9"),
        |event: &mut Value| event["source"] = json!("a\r\nevent: gap"),
        |event: &mut Value| event["dataref"] = json!("/elsewhere"),
        |event: &mut Value| event["data"] = json!("x".repeat(66_000)),
    ] {
        let mut event: Value = serde_json::from_str(&good.to_json()).unwrap();
        change(&mut event);
        wrong.push(event);
    }
    for event in wrong {
        publisher
            .ws()
            .say(json!({ "publish": { "event": event } }).to_string())
            .await;
        match publisher.next().await {
            News::Published(result) => assert_eq!(result.status, Status::Rejected, "{result:?}"),
            News::Problem(problem) => assert_eq!(problem.status, 400, "{problem:?}"),
            other => panic!("waited for a refusal and got {other:?}: {event}"),
        }
    }
    let answer = answer_to(&mut publisher, &good).await;
    assert!(matches!(answer, News::Published(result) if result.status == Status::Accepted));
    assert_eq!(client.since(&topic, 0).await.latest, 1);
}

#[tokio::test]
async fn an_edge_without_keys_for_tokens_keeps_private_topics_shut() {
    let edge = Edge::start(EdgeConfig::default().without("TOKEN_KEYS")).await;
    let client = edge.client();
    let topic = secret_topic(&client).await;
    let token = Token::reading(&["*"]).bearer();
    for call in ways(&client, &topic) {
        let answer = call.header("authorization", &token).send().await;
        assert_eq!(answer.status, 401, "{answer:?}");
        tells_nothing(&answer);
    }
    let public = fresh_topic();
    let mut subscriber = client.subscribe(Transport::Sse, &public).await;
    let sent = client.publish_on(&public, &json!(1)).await;
    assert_eq!(subscriber.update().await.id, sent.id);
}
