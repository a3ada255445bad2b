//! What opens something never reaches a log.

use headstart_protocol::channel::Up;
use headstart_tests::{
    edge::Edge,
    edge_config::EdgeConfig,
    keys::{foreign_key, login_key, origin_key, ticket_key, token_key},
    kv::Kv,
    origin::{Origin, OriginConfig},
    subscriber::Transport,
    tokens::Token,
    topics::{fresh_private_topic, topic_path},
};
use serde_json::json;

#[tokio::test]
async fn the_edges_log_shows_nothing_that_opens_a_topic_or_acks_in_anothers_name() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let (client, topic) = (edge.client(), fresh_private_topic());
    client
        .publish_on(&topic, &json!("content-of-a-private-topic"))
        .await;
    let token = Token::reading(&[&topic]).publishing(&[&topic]);
    let expired = token.clone().expiring_in(-5);
    let foreign = token.clone().under(foreign_key());
    let mut secrets = vec!["content-of-a-private-topic".to_owned()];
    for token in [&token, &expired, &foreign] {
        let cookie = format!("headstart_token={}", token.mint());
        let call = client
            .get(&topic_path(&topic))
            .header("origin", &edge.url());
        call.header("cookie", &cookie).send().await;
        for transport in Transport::ALL {
            let subscription = client.subscription(transport, &[&topic]).latest();
            let opened = subscription.header("authorization", &token.bearer());
            if let Ok(mut subscriber) = opened.try_open().await {
                subscriber.update().await;
                let secret = subscriber.secret_id().to_owned();
                client.ack(&topic, &secret, 1).await;
                if transport == Transport::Ws {
                    subscriber.ws().say("no message at all").await;
                    subscriber.until_end().await;
                }
                secrets.push(secret);
            }
        }
        let mut ws = client
            .get(&format!("{}/ws", topic_path(&topic)))
            .open_ws()
            .await
            .unwrap();
        let auth = Up::Auth {
            token: token.mint().into(),
        };
        // Twice: the second one is out of place, or comes too late.
        let _ = ws.try_say(auth.to_json()).await;
        let _ = ws.try_say(auth.to_json()).await;
        secrets.push(token.mint());
    }
    assert_eq!(secrets.len(), 1 + 2 + 3);
    secrets.extend([token_key(), origin_key()].map(|key| key.expose()));
    let log = edge.log();
    for secret in secrets {
        assert!(!log.contains(&secret), "{log}");
    }
}

#[tokio::test]
async fn neither_log_shows_a_key_or_what_opens_a_ticket() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let config = OriginConfig::new("one").env("HEADSTART_LOG", "debug");
    let mut origin = Origin::start(config.edge(&edge));
    let client = edge.client();
    let listener = origin.listener().await;
    let mut tickets = vec![client.login("17850").await];
    let answer = listener.login_call("17850", &json!({})).send().await;
    tickets.push(headstart_tests::client::ticket_of(
        &answer.expect_status(202),
    ));
    // One that fails, and one that comes while the edge is gone.
    let many = json!({ "max_items": "many" });
    tickets.push(client.login_with("17850", &many).await);
    for ticket in &tickets {
        assert_ne!(client.offer_within(ticket, 50).await.status, 202);
    }
    Kv::of(&edge).await_offer(&tickets[1]).await;
    let mut edge = edge;
    edge.kill().await;
    let answer = listener.login_call("17850", &json!({})).send().await;
    tickets.push(headstart_tests::client::ticket_of(
        &answer.expect_status(202),
    ));
    origin.logged("settled", 4).await;
    origin.kill();

    let by_wrangler = "[wrangler:info]";
    let edge_log = edge.log();
    // wrangler itself writes the path of each request; the platform does not.
    let edge_lines = edge_log.lines().filter(|line| !line.contains(by_wrangler));
    let lines: Vec<_> = edge_lines.map(str::to_owned).collect();
    for log in [lines.join("\n"), origin.log()] {
        for ticket in &tickets {
            let (_, tag) = ticket.as_str().split_once('.').unwrap();
            assert!(!log.contains(tag), "{log}");
        }
        for key in [ticket_key(), origin_key(), login_key()] {
            assert!(!log.contains(&key.expose()), "{log}");
        }
    }
}
