//! How long a connection of another's client lives.

use std::time::Duration;

use headstart_tests::{
    follower::{Follower, Heard, LAST},
    shared::{brief_edge, open_edge},
    tokens::Token,
    topics::{fresh_private_topic, fresh_topic, topic_path},
};
use serde_json::json;

use crate::following::Library;

/// For how long a WebSocket is watched: ten lives of a stream at the open edge.
const WATCHED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_websocket_outlives_many_streams() {
    let edge = open_edge().await;
    let (client, topic) = (edge.client(), fresh_topic());
    let (socket, stream) = (Follower::default(), Follower::default());
    let path = topic_path(&topic);
    let publish = async {
        for follower in [&socket, &stream] {
            follower.until("a connection", |now| now.opened > 0).await;
        }
        tokio::time::sleep(WATCHED).await;
        client.publish_on(&topic, &json!(LAST)).await;
    };
    let (socket, stream, ()) = tokio::join!(
        socket.run(Library::WS.script(&edge.url(), &path)),
        stream.run(Library::SSECLIENT.script(&edge.url(), &path)),
        publish
    );
    assert_eq!((socket.opened, socket.ended.len()), (1, 0), "{socket:?}");
    assert!(stream.opened >= 3, "{stream:?}");
    assert_eq!(socket.heard, [Heard::Update(1)]);
}

#[tokio::test]
async fn a_websocket_is_closed_when_its_token_ends() {
    let edge = brief_edge().await;
    let (client, topic, follower) = (edge.client(), fresh_private_topic(), Follower::default());
    let token = Token::reading(&[&topic]).expiring_in(4).mint();
    let script = Library::WS.script(&edge.url(), &topic_path(&topic));
    let publish = async {
        follower.until("a connection", |now| now.opened > 0).await;
        client.publish_on(&topic, &json!("in time")).await;
    };
    let (course, ()) = tokio::join!(follower.run(script.env("HEADSTART_TOKEN", token)), publish);
    assert_eq!(course.heard, [Heard::Update(1)]);
    assert_eq!((course.opened, course.ended), (1, vec![Some(4001)]));
}
