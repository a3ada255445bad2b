//! `POST /offers`: an offer that the origin generates while the client waits.

use std::net::TcpListener;

use headstart_protocol::stamps::Point;
use headstart_tests::{
    edge::Edge,
    edge_config::EdgeConfig,
    keys::{foreign_key, login_key},
    origin::{Origin, OriginConfig},
    shared::edge,
};
use serde_json::json;

const CUSTOMER: &str = "17850";

/// An edge that asks the origin at `url`.
async fn edge_that_asks(url: &str) -> Edge {
    Edge::start(EdgeConfig::default().var("ORIGIN_URL", url)).await
}

#[tokio::test]
async fn the_origins_answer_is_handed_on() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it has an address").to_string();
    drop(socket);
    let edge = edge_that_asks(&format!("http://{address}/")).await;
    let client = edge.client();
    let offer = |user: &str| {
        client.post(
            "/offers",
            "application/json",
            json!({ "user": user }).to_string(),
        )
    };

    let problem = offer(CUSTOMER)
        .signed(&login_key())
        .send()
        .await
        .expect_problem(502);
    assert_eq!(
        problem.kind, "urn:headstart:origin-unreachable",
        "nothing listens yet"
    );

    let config = OriginConfig::new("listens")
        .edge(&edge)
        .set("listen.addr", address);
    let origin = Origin::start(config);
    origin.listener().await;
    let answer = offer(CUSTOMER)
        .signed(&login_key())
        .send()
        .await
        .expect_status(200);
    assert_eq!(answer.json()["user"], CUSTOMER);
    assert_eq!(answer.header("cache-control"), "private, no-store");
    assert!(answer.stamps().between(Point::Started, Point::Generated) >= Some(0));

    let wrong = json!({ "user": CUSTOMER, "attributes": { "max_items": "many" } }).to_string();
    let failed = client
        .post("/offers", "application/json", wrong)
        .signed(&login_key());
    let problem = failed.send().await.expect_problem(502);
    assert_eq!(
        problem.kind, "urn:headstart:generation-failed",
        "the origin says so"
    );

    let problem = offer(CUSTOMER)
        .signed(&foreign_key())
        .send()
        .await
        .expect_problem(401);
    assert_eq!(problem.kind, "urn:headstart:signature-refused");
    let problem = offer("")
        .signed(&login_key())
        .send()
        .await
        .expect_problem(400);
    assert_eq!(problem.kind, "urn:headstart:malformed-login");
}

#[tokio::test]
async fn an_edge_that_names_no_origin_says_so() {
    let edge = edge().await;
    let body = json!({ "user": CUSTOMER }).to_string();
    let client = edge.client();
    let call = client.post("/offers", "application/json", body);
    let problem = call.signed(&login_key()).send().await.expect_problem(404);
    assert_eq!(problem.kind, "urn:headstart:no-origin");
}
