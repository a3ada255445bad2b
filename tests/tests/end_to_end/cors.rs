//! Only pages on the allow-list may call the edge from a browser.

use headstart_tests::{
    answer::Answer,
    client::{Client, offer_path},
    events::ready,
    keys::fresh_ticket,
    shared::{PAGE, edge, open_edge},
};
use reqwest::Method;
use serde_json::json;

const STRANGER: &str = "https://shop.example.evil.example";

fn allowed(answer: &Answer) -> &str {
    answer.header("access-control-allow-origin")
}

async fn preflight(client: &Client, path: &str, page: &str) -> Answer {
    let call = client.call(Method::OPTIONS, path).header("origin", page);
    let call = call.header("access-control-request-method", "GET");
    call.send().await.expect_status(204)
}

#[tokio::test]
async fn a_listed_page_may_read_what_it_needs_and_a_stranger_nothing() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    client.settle(&ready(&ticket, &json!(1))).await;
    let pages = [(PAGE, PAGE), (STRANGER, ""), ("null", "")];
    for way in ["", "/events"] {
        for (page, expected) in pages {
            let path = format!("{}{way}", offer_path(&ticket));
            let answer = client.get(&path).header("origin", page).send().await;
            assert_eq!(allowed(&answer), expected, "{answer:?}");
            assert_eq!(answer.header("vary"), "Origin");
            let exposed = answer.header("access-control-expose-headers");
            assert_eq!(exposed.contains("Headstart-Stamps"), page == PAGE);
        }
    }
}

#[tokio::test]
async fn a_listed_page_may_read_a_stream_that_waits() {
    let edge = edge().await;
    let client = edge.client();
    for (page, expected) in [(PAGE, PAGE), (STRANGER, "")] {
        let path = format!("{}/events", offer_path(&fresh_ticket()));
        let stream = client.get(&path).header("origin", page).open_sse().await;
        let header = "access-control-allow-origin";
        assert_eq!(stream.unwrap().header(header), expected);
    }
}

#[tokio::test]
async fn a_listed_page_may_read_errors_too() {
    let edge = edge().await;
    let client = edge.client();
    for path in ["/tickets/none", "/nowhere"] {
        let answer = client.get(path).header("origin", PAGE).send().await;
        let _ = answer.expect_problem(404);
        assert_eq!(allowed(&answer), PAGE);
    }
}

#[tokio::test]
async fn a_preflight_is_answered_for_listed_pages_only() {
    let edge = edge().await;
    let client = edge.client();
    let path = offer_path(&fresh_ticket());
    let answer = preflight(&client, &path, PAGE).await;
    assert_eq!(allowed(&answer), PAGE);
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("GET")
    );
    let headers = answer.header("access-control-allow-headers");
    // Of the routes, and of pages that trace their requests.
    for name in [
        "Prefer",
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
    ] {
        assert!(headers.contains(name), "{name} in {headers}");
    }
    // For the cookie with a subscriber's token.
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    let answer = preflight(&client, &path, STRANGER).await;
    assert_eq!(allowed(&answer), "");
    assert_eq!(answer.header("access-control-allow-methods"), "");
}

#[tokio::test]
async fn a_star_lets_every_page_in() {
    let edge = open_edge().await;
    let answer = edge
        .client()
        .get("/ping")
        .header("origin", STRANGER)
        .send()
        .await;
    assert_eq!(allowed(&answer), "*");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    assert_eq!(
        allowed(&preflight(&edge.client(), "/login", STRANGER).await),
        "*"
    );
}
