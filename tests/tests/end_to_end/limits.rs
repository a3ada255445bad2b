//! Nothing that a client sends is too large, too strange or too much for the edge: it is refused with
//! a problem that says why, and the edge goes on.

use headstart_protocol::{
    event::MEDIA_TYPE_EVENT,
    limits::{
        MAX_ATTRIBUTE_BYTES, MAX_EVENTS_BODY_BYTES, MAX_EVENTS_PER_BATCH, MAX_LOGIN_BODY_BYTES,
        MAX_USER_BYTES,
    },
};
use headstart_tests::{
    client::{Client, offer_path},
    events::{batch, ready},
    keys::{fresh_ticket, login_key, origin_key},
    raw,
    shared::{OPEN_LIMIT, edge, open_edge},
};
use reqwest::Method;
use serde_json::json;

/// The routes and the methods they take.
const ROUTES: [(&str, &[&str]); 14] = [
    ("/login", &["POST"]),
    ("/tickets/T", &["GET", "HEAD"]),
    ("/tickets/T/events", &["GET"]),
    ("/tickets/T/ws", &["GET"]),
    ("/events", &["POST"]),
    ("/origin/link", &["GET"]),
    ("/topics/T", &["GET", "HEAD"]),
    ("/topics/T/events", &["GET"]),
    ("/topics/T/ws", &["GET"]),
    ("/topics/T/subscribers", &["GET"]),
    ("/topics/T/subscribers/events", &["GET"]),
    ("/topics/T/acks", &["POST"]),
    ("/ping", &["GET", "HEAD"]),
    ("/healthz", &["GET", "HEAD"]),
];

async fn is_well(client: &Client) {
    let _ = client.get("/healthz").send().await.expect_status(200);
}

async fn login(client: &Client, body: impl Into<Vec<u8>>) -> u16 {
    let call = client.post("/login", "application/json", body);
    let answer = call.signed(&login_key()).send().await;
    if answer.status != 202 {
        let _ = answer.expect_problem(answer.status);
    }
    answer.status
}

async fn publish(client: &Client, media_type: &str, body: impl Into<Vec<u8>>) -> u16 {
    let call = client.post("/events", media_type, body);
    let answer = call.signed(&origin_key()).send().await;
    if answer.status != 200 {
        let _ = answer.expect_problem(answer.status);
    }
    answer.status
}

#[tokio::test]
async fn a_login_of_the_largest_size_is_taken_and_a_larger_one_refused() {
    let edge = edge().await;
    let client = edge.client();
    let body = |bytes: usize| {
        let frame = r#"{"user":"12431","attributes":{"a":""}}"#;
        frame.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };
    assert_eq!(login(&client, body(MAX_LOGIN_BODY_BYTES)).await, 202);
    assert_eq!(login(&client, body(MAX_LOGIN_BODY_BYTES + 1)).await, 413);
    assert_eq!(login(&client, body(10 * 1024 * 1024)).await, 413);
}

#[tokio::test]
async fn events_of_more_than_the_largest_size_or_number_are_refused() {
    let edge = edge().await;
    let client = edge.client();
    let too_large = vec![b' '; MAX_EVENTS_BODY_BYTES + 1];
    assert_eq!(publish(&client, MEDIA_TYPE_EVENT, too_large).await, 413);
    let event = ready(&fresh_ticket(), &json!(1));
    let mut body = event.to_json();
    body.push_str(&" ".repeat(MAX_EVENTS_BODY_BYTES - body.len()));
    assert_eq!(publish(&client, MEDIA_TYPE_EVENT, body).await, 200);
    let too_many = batch(&vec![event; MAX_EVENTS_PER_BATCH + 1]);
    let answer = client.publish_batch(&too_many).await;
    let _ = answer.expect_problem(413);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_off_at_the_limit() {
    let edge = edge().await;
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for (path, limit) in [
        ("/login", MAX_LOGIN_BODY_BYTES),
        ("/events", MAX_EVENTS_BODY_BYTES),
    ] {
        let mut request =
            format!("POST {path} HTTP/1.1\r\nhost: edge\r\ntransfer-encoding: chunked\r\n\r\n");
        request.push_str(&chunk.repeat(limit / 0x1000 + 1));
        request.push_str("0\r\n\r\n");
        let answer = raw::send(edge.address(), request.as_bytes()).await;
        assert_eq!(raw::status(&answer), 413, "{path}: {answer}");
    }
    is_well(&edge.client()).await;
}

#[tokio::test]
async fn a_malformed_login_is_refused() {
    let edge = edge().await;
    let client = edge.client();
    let user = |user: &str| json!({ "user": user }).to_string().into_bytes();
    let deep = |depth: usize| {
        let (open, close) = ("{\"a\":".repeat(depth), "}".repeat(depth));
        format!(r#"{{"user":"12431","attributes":{open}1{close}}}"#).into_bytes()
    };
    assert_eq!(login(&client, user(&"x".repeat(MAX_USER_BYTES))).await, 202);
    for body in [
        vec![],
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        b"{\"user\":\"12431\"".to_vec(),
        b"{\"user\":\"\xFF\xFE\"}".to_vec(),
        b"{\"user\":\"\\ud800\"}".to_vec(),
        b"{\"user\":7}".to_vec(),
        b"{\"user\":\"12431\",\"admin\":true}".to_vec(),
        b"{\"user\":\"12431\",\"attributes\":7}".to_vec(),
        b"{\"user\":\"1\",\"user\":\"2\"}".to_vec(),
        user(""),
        user("a\nb"),
        user("a\0b"),
        user(&"x".repeat(MAX_USER_BYTES + 1)),
        deep(2500),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(login(&client, body).await, 400, "{shown}");
    }
    is_well(&client).await;
}

#[tokio::test]
async fn malformed_events_are_refused() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let good = ready(&ticket, &json!(1)).to_json();
    let long = "x".repeat(MAX_ATTRIBUTE_BYTES + 1);
    for body in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "{".repeat(100_000),
        "[".repeat(100_000),
        good[..good.len() - 1].to_owned(),
        good.replace("\"1.0\"", "\"0.3\""),
        good.replace("\"id\":\"", "\"id\":\"\\n"),
        good.replace("\"id\":\"", &format!("\"id\":\"{long}")),
        good.replace("\"id\"", "\"Id\""),
        good.replace("\"data\":1", "\"data\":1,\"data_base64\":\"AA==\""),
        good.replace("\"data\":1", "\"data_base64\":\"?\""),
    ] {
        let shown = &body[..body.len().min(200)];
        assert_eq!(
            publish(&client, MEDIA_TYPE_EVENT, body.clone()).await,
            400,
            "{shown}"
        );
    }
    let answer = client.publish_batch("{}").await;
    let _ = answer.expect_problem(400);
    for media_type in [
        "text/plain",
        "application/json",
        "",
        "application/cloudevents+xml",
    ] {
        assert_eq!(
            publish(&client, media_type, good.clone()).await,
            415,
            "{media_type}"
        );
    }
    assert_eq!(client.offer(&ticket).await.status, 202);
    is_well(&client).await;
}

#[tokio::test]
async fn a_malformed_event_in_binary_mode_is_refused() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let good = client
        .post("/events", "application/json", "1")
        .header("ce-specversion", "1.0")
        .header("ce-type", "dev.headstart.offer.ready")
        .header("ce-source", "/test")
        .header("ce-id", "1")
        .header("ce-subject", ticket.as_str());
    for bad in [
        good.clone().header("ce-specversion", "0.3"),
        good.clone().without_header("ce-id"),
        good.clone().header("ce-id", "%FF"),
        good.clone().header("ce-id", "a%0Ab"),
        good.clone().header("ce-under_score", "1"),
        good.clone()
            .header("content-type", "x".repeat(300).as_str()),
    ] {
        let answer = bad.signed(&origin_key()).send().await;
        let _ = answer.expect_problem(400);
    }
    assert_eq!(client.offer(&ticket).await.status, 202);
}

#[tokio::test]
async fn a_method_that_a_route_does_not_take_is_refused_and_told_which_it_takes() {
    let edge = edge().await;
    let client = edge.client();
    let ticket = fresh_ticket();
    for (path, methods) in ROUTES {
        let path = path.replace('T', ticket.as_str());
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
            if methods.contains(&method) {
                continue;
            }
            let call = client.call(method.parse().unwrap(), &path).with_body("{}");
            let answer = call.send().await;
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            let allowed: Vec<_> = answer.header("allow").split(", ").collect();
            assert!(
                methods.iter().all(|method| allowed.contains(method)),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_path_that_is_no_route_is_not_found() {
    let edge = edge().await;
    let client = edge.client();
    let ticket = offer_path(&fresh_ticket());
    for path in [
        "/login/".to_owned(),
        "/LOGIN".to_owned(),
        "/tickets".to_owned(),
        "/tickets/".to_owned(),
        format!("{ticket}/"),
        format!("{ticket}/offer"),
        format!("{ticket}/settle"),
        format!("{ticket}/events/x"),
        "//login".to_owned(),
        format!("/{}", "x".repeat(8000)),
        "/%00".to_owned(),
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = client.call(method, &path).send().await;
            let _ = answer.expect_problem(404);
        }
    }
}

#[tokio::test]
async fn the_inner_routes_of_the_durable_objects_cannot_be_reached_from_outside() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!("forged")).to_json();
    for path in [
        format!("{}/settle", offer_path(&ticket)),
        "/logins".to_owned(),
    ] {
        let answer = client
            .post(&path, MEDIA_TYPE_EVENT, event.clone())
            .send()
            .await;
        let _ = answer.expect_problem(404);
    }
    assert_eq!(client.offer(&ticket).await.status, 202);
}

#[tokio::test]
async fn a_body_where_none_is_expected_is_passed_over() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    client.settle(&ready(&ticket, &json!(1))).await;
    let path = offer_path(&ticket);
    let stream = format!("{path}/events");
    for path in [path.as_str(), &stream, "/ping", "/healthz"] {
        let call = client.get(path).with_body(vec![b'x'; 1024 * 1024]);
        let _ = call.send().await.expect_status(200);
    }
    let call = client
        .get("/origin/link?desk=0")
        .with_body(vec![b'x'; 1024 * 1024]);
    let _ = call.send().await.expect_problem(401);
}

#[tokio::test]
async fn headers_that_no_client_would_send_do_no_harm() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    client.settle(&ready(&ticket, &json!(1))).await;
    let path = offer_path(&ticket);
    let line = |path: &str, headers: &[u8]| {
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: edge\r\n").into_bytes();
        request.extend_from_slice(headers);
        request.extend_from_slice(b"\r\n\r\n");
        request
    };
    for headers in [
        &b"last-event-id: \xFF\xFE\x80"[..],
        b"last-event-id: ",
        b"prefer: wait=\xF0\x9F\x8E\xAB",
        b"origin: \xFF",
        b"origin: null\r\norigin: https://shop.example",
        b"prefer: wait=1\r\nprefer: wait=2",
        b"accept: \t",
    ] {
        let answer = raw::send(edge.address(), &line(&path, headers)).await;
        assert_eq!(raw::status(&answer), 200, "{headers:?}: {answer}");
        let answer = raw::send(edge.address(), &line(&format!("{path}/events"), headers)).await;
        assert_eq!(raw::status(&answer), 200, "{headers:?}: {answer}");
    }
    for path in [
        "/origin/link?desk=%FF",
        "/origin/link?desk=99999999999999999999&desk",
        "/ping?%",
    ] {
        let answer = raw::send(edge.address(), &line(path, b"webhook-id: \xFF")).await;
        assert!(
            matches!(raw::status(&answer), 200 | 401),
            "{path}: {answer}"
        );
    }
    let mut huge = b"x-huge: ".to_vec();
    huge.extend(vec![b'x'; 200_000]);
    // How much is too much is the platform's to say.
    raw::send(edge.address(), &line("/ping", &huge)).await;
    for nonsense in [
        &b"\r\n\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let mut bytes = nonsense.to_vec();
        bytes.extend_from_slice(b"\r\n\r\n");
        let answer = raw::send(edge.address(), &bytes).await;
        assert!(raw::status(&answer) >= 400 || answer.is_empty(), "{answer}");
    }
    is_well(&client).await;
}

#[tokio::test]
async fn a_client_that_logs_in_too_often_is_told_when_to_come_back() {
    let edge = open_edge().await;
    let client = edge.client();
    let mut taken = 0;
    let refused = loop {
        let login = client.post("/login", "application/json", r#"{"user":"12431"}"#);
        let answer = login.send().await;
        if answer.status != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken <= 2 * OPEN_LIMIT, "nothing limits the rate");
    };
    let _ = refused.expect_problem(429);
    assert_ne!(refused.header("retry-after"), "");
}
