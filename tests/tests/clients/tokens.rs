//! Tokens by other people's libraries, and by what `docs/tokens.md` shows.

use std::fs;

use headstart_tests::{
    client::Client,
    edge_config::root,
    keys::token_key,
    script::{Script, clients},
    shared::brief_edge,
    subscriber::Transport,
    topics::{fresh_private_topic, topic_path},
};
use serde_json::json;

/// Asks for a private topic with a token, by a request and over a WebSocket.
async fn opens(client: &Client, topic: &str, token: &str) -> bool {
    let bearer = format!("Bearer {token}");
    let read = client.get(&format!("{}?since=0", topic_path(topic)));
    let answer = read.header("authorization", &bearer).send().await;
    if answer.status == 401 {
        return false;
    }
    let _ = answer.expect_status(200);
    let subscription = client.subscription(Transport::Ws, &[topic]);
    let mut subscriber = subscription.header("authorization", &bearer).open().await;
    let event = client.publish_on(topic, &json!("for its holder")).await;
    assert_eq!(subscriber.update().await.id, event.id);
    true
}

async fn mint(script: &str) {
    let edge = brief_edge().await;
    let (client, topic) = (edge.client(), fresh_private_topic());
    let script = Script::new(script)
        .env("HEADSTART_TOKEN_KEY", token_key().expose())
        .arg(&topic);
    let told = script.told().await;
    assert_eq!(told.len(), 4);
    for (name, values) in &told {
        let [what, token] = values.as_slice() else {
            panic!("{values:?}");
        };
        let token = token.as_str().expect("a token is text");
        assert_eq!(
            opens(&client, &topic, token).await,
            name == "good",
            "{what}"
        );
    }
}

#[tokio::test]
async fn tokens_of_jose_open_private_topics_until_they_end() {
    mint("clients/with_jose.mjs").await;
}

#[tokio::test]
async fn tokens_of_pyjwt_open_private_topics_until_they_end() {
    mint("clients/with_pyjwt.py").await;
}

/// Runs the block of `docs/tokens.md` in `language` as it stands there, and fails unless it writes a token that
/// opens what the document says.
async fn shown(language: &str, program: Script) {
    let text = fs::read_to_string(root().join("docs/tokens.md")).expect("the document is there");
    let (_, block) = text
        .split_once(&format!("```{language}\n"))
        .unwrap_or_else(|| panic!("the document shows {language}"));
    let (code, _) = block.split_once("```").expect("a block ends");
    let program = program
        .folder(&clients())
        .env("HEADSTART_TOKEN_KEY", token_key().expose());
    let token = program.input(code).output().await;
    let edge = brief_edge().await;
    let client = edge.client();
    let topic = fresh_private_topic().replacen("private/", "private/desk-7/", 1);
    assert!(opens(&client, &topic, token.trim()).await, "{token}");
    let other = client.get(&topic_path(&fresh_private_topic()));
    let bearer = format!("Bearer {}", token.trim());
    let answer = other.header("authorization", &bearer).send().await;
    let _ = answer.expect_problem(403);
}

#[tokio::test]
async fn the_token_that_the_document_makes_in_node_opens_what_it_says() {
    shown("js", Script::of("node").arg("--input-type=module").arg("-")).await;
}

#[tokio::test]
async fn the_token_that_the_document_makes_in_python_opens_what_it_says() {
    shown("python", Script::of("python").arg("-")).await;
}

#[tokio::test]
async fn the_token_that_the_document_makes_in_php_opens_what_it_says() {
    shown("php", Script::of("php")).await;
}
