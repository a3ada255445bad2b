//! A listed page of another origin may send what it needs, with credentials, in a real browser.

use headstart_tests::{browser, edge::Edge, edge_config::EdgeConfig, tokens::Token};
use serde_json::{Value, json};

/// Does what the script asks for.
async fn answer(started: &mut Option<Edge>, name: &str, values: &[Value]) -> Value {
    let text = |at: usize| values[at].as_str().expect("a string");
    match (name, started) {
        ("edge", started) => {
            let config = EdgeConfig::default()
                .var("LOGIN_AUTH", "open")
                .var("CORS_ORIGINS", text(0));
            json!(started.insert(Edge::start(config).await).url())
        }
        ("publish", Some(edge)) => {
            edge.client().publish_on(text(0), &values[1]).await;
            Value::Null
        }
        ("token", _) => json!(Token::reading(&[text(0)]).mint()),
        _ => panic!("{name}: nobody answers this"),
    }
}

#[tokio::test]
async fn a_listed_page_sends_what_it_needs_with_credentials() {
    let mut edge = None;
    browser::run("cors.mjs", &[], async |name, values| {
        Box::pin(answer(&mut edge, name, values)).await
    })
    .await;
}
