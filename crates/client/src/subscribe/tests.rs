//! What a subscription promises, however its connections break.

use std::time::Duration;

use axum::http::StatusCode;
use headstart_protocol::{
    channel::{CLOSE_SLOW, CLOSE_TOKEN, Down, Up},
    cursor::Cursors,
    topic::TopicName,
};

use super::{transport::Transport, *};
use crate::{testing::TopicEdge, token::Token};

const BOTH: [Transport; 2] = [Transport::Sse, Transport::Ws];

fn plan(edge: &TopicEdge, topics: &[&str], transport: Transport) -> Subscribe {
    Subscribe {
        edge: edge.url.parse().unwrap(),
        topics: topics
            .iter()
            .map(|topic| TopicName::parse(topic).unwrap())
            .collect(),
        transport,
        start: Start::Head,
        token: None,
        acks: false,
    }
}

/// Returns the next event, in a word.
async fn next(subscription: &mut Subscription) -> String {
    let next = tokio::time::timeout(Duration::from_secs(20), subscription.next());
    match next.await.expect("something happens in time").unwrap() {
        SubscriptionEvent::Connected(welcome) => {
            let heads: Vec<String> = welcome
                .topics
                .iter()
                .map(|(topic, head)| format!("{topic}={head}"))
                .collect();
            format!("connected {}", heads.join(","))
        }
        SubscriptionEvent::Update(update) => format!("{} {}", update.topic, update.sequence),
        SubscriptionEvent::Gap(gap) => format!("gap {} {}..{}", gap.topic, gap.after, gap.first),
        SubscriptionEvent::Lost { .. } => "lost".to_owned(),
    }
}

async fn following(plan: Subscribe) -> Subscription {
    let mut subscription = Subscription::new(plan).unwrap();
    assert!(next(&mut subscription).await.starts_with("connected"));
    subscription
}

async fn refusal(plan: Subscribe) -> SubscribeError {
    let mut subscription = Subscription::new(plan).unwrap();
    loop {
        if let Err(error) = subscription.next().await {
            return error;
        }
    }
}

#[tokio::test]
async fn updates_come_as_they_are_published_with_all_that_was_sent() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.publish("scores/nba", "before");
        let mut subscription = Subscription::new(plan(&edge, &["scores/nba"], transport)).unwrap();
        assert_eq!(next(&mut subscription).await, "connected scores/nba=1");
        edge.publish("scores/nba", "one");
        edge.publish("other", "another");
        edge.publish("scores/nba", "two");
        let SubscriptionEvent::Update(update) = subscription.next().await.unwrap() else {
            panic!("an update");
        };
        assert_eq!((update.sequence, update.event.id.as_str()), (2, "one"));
        assert_eq!(update.event.data.unwrap().as_bytes(), b"{ \"n\":\"one\" }");
        assert_eq!(next(&mut subscription).await, "scores/nba 3");
        subscription.close().await;
    }
}

#[tokio::test]
async fn after_a_break_it_goes_on_where_it_was() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        let mut subscription = following(plan(&edge, &["t"], transport)).await;
        edge.publish("t", "1");
        assert_eq!(next(&mut subscription).await, "t 1");
        edge.cut();
        assert_eq!(next(&mut subscription).await, "lost");
        edge.publish("t", "2");
        edge.publish("t", "3");
        for expected in ["connected t=3", "t 2", "t 3"] {
            assert_eq!(next(&mut subscription).await, expected);
        }
        assert_eq!(edge.state().asked, [None, Some("1".to_owned())]);
    }
}

#[tokio::test]
async fn a_break_before_the_first_update_misses_nothing() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.publish("t", "1");
        let mut subscription = following(plan(&edge, &["t"], transport)).await;
        edge.cut();
        assert_eq!(next(&mut subscription).await, "lost");
        edge.publish("t", "2");
        assert_eq!(next(&mut subscription).await, "connected t=2");
        assert_eq!(next(&mut subscription).await, "t 2");
    }
}

#[tokio::test]
async fn several_topics_share_a_connection_and_each_goes_on_by_itself() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.publish("a+b", "1");
        let mut subscription = following(plan(&edge, &["a+b", "c/d"], transport)).await;
        edge.publish("c/d", "1");
        assert_eq!(next(&mut subscription).await, "c/d 1");
        edge.cut();
        assert_eq!(next(&mut subscription).await, "lost");
        edge.publish("c/d", "2");
        edge.publish("a+b", "2");
        for expected in ["connected a+b=2,c/d=2", "a+b 2", "c/d 2"] {
            assert_eq!(next(&mut subscription).await, expected);
        }
        assert_eq!(edge.state().asked[1].as_deref(), Some("a+b=1,c/d=1"));
    }
}

#[tokio::test]
async fn it_begins_where_it_is_told_to() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        for id in ["1", "2", "3"] {
            edge.publish("t", id);
        }
        let mut latest = plan(&edge, &["t"], transport);
        latest.start = Start::Latest;
        let mut latest = following(latest).await;
        assert_eq!(next(&mut latest).await, "t 3");
        let mut after = plan(&edge, &["t"], transport);
        after.start = Start::After(Cursors::parse("1", &after.topics).unwrap());
        let mut after = following(after).await;
        assert_eq!(next(&mut after).await, "t 2");
        assert_eq!(next(&mut after).await, "t 3");
    }
}

#[tokio::test]
async fn a_gap_is_told_also_where_numbering_began_anew() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        for id in ["1", "2", "3", "4"] {
            edge.publish("t", id);
        }
        edge.state().first_kept = 3;
        let mut after = plan(&edge, &["t"], transport);
        after.start = Start::After(Cursors::parse("1", &after.topics).unwrap());
        let mut subscription = following(after).await;
        for expected in ["gap t 1..3", "t 3", "t 4"] {
            assert_eq!(next(&mut subscription).await, expected);
        }
        {
            let mut state = edge.state();
            state.topics.clear();
            state.first_kept = 1;
        }
        edge.cut();
        assert_eq!(next(&mut subscription).await, "lost");
        edge.publish("t", "anew");
        for expected in ["connected t=1", "gap t 4..1", "t 1"] {
            assert_eq!(next(&mut subscription).await, expected);
        }
    }
}

#[tokio::test]
async fn what_comes_twice_is_told_once() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.state().tells_twice = true;
        let mut subscription = following(plan(&edge, &["t"], transport)).await;
        for id in ["1", "2"] {
            edge.publish("t", id);
        }
        assert_eq!(next(&mut subscription).await, "t 1");
        assert_eq!(next(&mut subscription).await, "t 2");
    }
}

#[tokio::test]
async fn what_did_not_come_is_asked_for() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.state().untold = vec![2];
        let mut subscription = following(plan(&edge, &["t"], transport)).await;
        for id in ["1", "2", "3"] {
            edge.publish("t", id);
        }
        for expected in ["t 1", "lost", "connected t=3", "t 2", "t 3"] {
            assert_eq!(next(&mut subscription).await, expected);
        }
    }
}

#[tokio::test]
async fn a_sick_edge_is_tried_again_and_a_refusal_is_final() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.state().refusals = vec![StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE];
        let mut subscription = Subscription::new(plan(&edge, &["t"], transport)).unwrap();
        assert_eq!(next(&mut subscription).await, "lost");
        let error = subscription.next().await.unwrap_err();
        assert_eq!(error.to_string(), "the edge answered 403: as it was told");
    }
}

#[tokio::test]
async fn an_edge_that_is_not_there_is_waited_for() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = TopicEdge::start().await;
    let mut plan = plan(&edge, &["t"], Transport::Ws);
    plan.edge = format!("http://{}", socket.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(socket);
    let mut subscription = Subscription::new(plan).unwrap();
    for _ in 0..2 {
        assert_eq!(next(&mut subscription).await, "lost");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_where_the_url_asks_for_it() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        let mut plan = plan(&edge, &["t"], transport);
        plan.edge = edge.url.replacen("http", "https", 1).parse().unwrap();
        let mut subscription = Subscription::new(plan).unwrap();
        assert_eq!(next(&mut subscription).await, "lost");
        assert_eq!(edge.state().asked, []);
    }
}

#[tokio::test]
async fn a_private_topic_is_opened_by_the_token_and_never_without() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.state().token = Some("good.token".to_owned());
        let with = |token: &str| Subscribe {
            token: Token::new(token),
            ..plan(&edge, &["private/t"], transport)
        };
        following(with("good.token")).await;
        for token in ["", "bad.token"] {
            let error = refusal(with(token)).await.to_string();
            assert!(
                error.contains("401") && !error.contains("bad.token"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_socket_that_is_closed_for_good_is_not_opened_again() {
    let edge = TopicEdge::start().await;
    let mut subscription = following(plan(&edge, &["t"], Transport::Ws)).await;
    edge.close(CLOSE_SLOW);
    assert_eq!(next(&mut subscription).await, "lost");
    assert!(next(&mut subscription).await.starts_with("connected"));
    edge.close(CLOSE_TOKEN);
    let error = subscription.next().await.unwrap_err();
    assert!(
        matches!(error, SubscribeError::Closed { code: 4001, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn pings_are_answered() {
    let edge = TopicEdge::start().await;
    let mut subscription = following(plan(&edge, &["t"], Transport::Ws)).await;
    edge.say(Down::Ping { n: 7 });
    edge.publish("t", "1");
    assert_eq!(next(&mut subscription).await, "t 1");
    edge.until(|state| state.said == [Up::Pong { n: 7 }]).await;
}

#[tokio::test]
async fn every_update_is_acked_where_that_is_wanted() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        let acking = Subscribe {
            acks: true,
            ..plan(&edge, &["a", "b/c"], transport)
        };
        let mut subscription = following(acking).await;
        for (topic, id) in [("a", "1"), ("b/c", "1"), ("a", "2")] {
            edge.publish(topic, id);
            next(&mut subscription).await;
        }
        subscription.close().await;
        let expected = [("a", 1), ("b/c", 1), ("a", 2)].map(|(topic, at)| (topic.to_owned(), at));
        edge.until(|state| state.acks == expected).await;
    }
}

#[tokio::test]
async fn what_only_a_later_edge_says_is_passed_over() {
    let edge = TopicEdge::start().await;
    let mut subscription = following(plan(&edge, &["t"], Transport::Sse)).await;
    // A stream tells it as a frame of a name that nobody knows, and a comment.
    edge.say(Down::Ping { n: 1 });
    edge.publish("t", "1");
    assert_eq!(next(&mut subscription).await, "t 1");
}
