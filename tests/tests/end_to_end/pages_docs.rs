//! The reference of the edge's routes, in a real browser: what it promises is in `tests/browser/docs.mjs`.

use headstart_tests::{browser, edge_config::root, openapi, shared::edge};
use serde_json::Value;

#[tokio::test]
async fn the_reference_shows_every_route_and_asks_nobody_else() {
    let edge = edge().await;
    let axe = root().join("node_modules/axe-core/axe.min.js");
    let routes = openapi::routes();
    let mut arguments = vec![
        edge.url(),
        axe.to_str().expect("the path is text").to_owned(),
    ];
    arguments.extend(routes);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    Box::pin(browser::run("docs.mjs", &arguments, async |_, _| {
        Value::Null
    }))
    .await;
}
