//! The first page, in a real browser: what it promises is in `tests/browser/race.mjs`.

use std::net::TcpListener;

use headstart_tests::{
    browser,
    edge::Edge,
    edge_config::{EdgeConfig, root},
    origin::{Origin, OriginConfig},
};
use serde_json::Value;

#[tokio::test]
async fn the_race_ends_with_all_lanes_filled_and_true_times() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it has an address").to_string();
    drop(socket);
    let config = EdgeConfig::default()
        .var("LOGIN_AUTH", "open")
        .var("ORIGIN_URL", format!("http://{address}"));
    let edge = Edge::start(config).await;
    let config = OriginConfig::new("race")
        .edge(&edge)
        .set("listen.addr", address)
        .set("listen.auth", "open")
        .set("generate.retail.effort_limit", 2000);
    let origin = Origin::start(config);
    origin.logged("linked", 1).await;
    let axe = root().join("node_modules/axe-core/axe.min.js");
    let axe = axe.to_str().expect("the path is text");
    browser::run("race.mjs", &[&edge.url(), axe], async |_, _| Value::Null).await;
}
