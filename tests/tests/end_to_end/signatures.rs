//! Nobody is let in whose signature is not good, and nothing is done twice for one signature.

use futures_util::future::join_all;
use headstart_protocol::{
    event::MEDIA_TYPE_EVENT,
    keys::Key,
    limits::SIGNATURE_TOLERANCE_SECONDS,
    link::FromEdge,
    report::Status,
    signature::{ID_HEADER, SIGNATURE_HEADER, SignedHeaders, TIMESTAMP_HEADER},
};
use headstart_tests::{
    client::{Call, Client, ticket_of},
    events::{ready, results},
    fake_origin::{Link, handshake, handshake_to},
    keys::{foreign_key, fresh_ticket, login_key, now_ms, origin_key, rotated_key},
    shared::edge,
};
use serde_json::json;
use uuid::Uuid;

/// Older than any clock difference that is tolerated.
const TOO_OLD_MS: u64 = (SIGNATURE_TOLERANCE_SECONDS + 30) * 1000;

fn id() -> String {
    Uuid::now_v7().to_string()
}

/// Every way in which the signature of a good request can be bad.
fn badly_signed<'a>(good: &Call<'a>, key: &Key) -> Vec<(&'static str, Call<'a>)> {
    let now = now_ms();
    let good = good.clone().signed(key);
    let mut bad = vec![
        ("a foreign key", good.clone().signed(&foreign_key())),
        (
            "too old",
            good.clone().signed_at(key, &id(), now - TOO_OLD_MS),
        ),
        (
            "from the future",
            good.clone().signed_at(key, &id(), now + TOO_OLD_MS),
        ),
        ("another id", good.clone().header(ID_HEADER, "another")),
        (
            "another time",
            good.clone()
                .header(TIMESTAMP_HEADER, &(now / 1000 - 10).to_string()),
        ),
        ("no time", good.clone().header(TIMESTAMP_HEADER, "soon")),
        (
            "no signature in it",
            good.clone().header(SIGNATURE_HEADER, "v1,"),
        ),
        (
            "zeros",
            good.clone()
                .header(SIGNATURE_HEADER, &format!("v1,{}=", "A".repeat(43))),
        ),
    ];
    for header in [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER] {
        bad.push((header, good.clone().without_header(header)));
    }
    bad
}

async fn is_refused(why: &str, call: Call<'_>) {
    let answer = call.send().await;
    assert_eq!(answer.status, 401, "{why}: {answer:?}");
    let _ = answer.expect_problem(401);
    assert_ne!(answer.header("www-authenticate"), "", "{why}");
}

#[tokio::test]
async fn an_event_with_a_bad_signature_is_refused_and_does_nothing() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!("forged"));
    let good = client.post("/events", MEDIA_TYPE_EVENT, event.to_json());
    for (why, call) in badly_signed(&good, &origin_key()) {
        is_refused(why, call).await;
    }
    let changed = good.clone().signed(&origin_key());
    let changed = changed.with_body(event.to_json().replace("forged", "forget"));
    is_refused("another body", changed).await;
    is_refused("the key for logins", good.signed(&login_key())).await;
    assert_eq!(client.offer(&ticket).await.status, 202);
}

#[tokio::test]
async fn a_login_with_a_bad_signature_is_refused() {
    let edge = edge().await;
    let client = edge.client();
    let good = client.post("/login", "application/json", r#"{"user":"12431"}"#);
    for (why, call) in badly_signed(&good, &login_key()) {
        is_refused(why, call).await;
    }
    let changed = good.clone().signed(&login_key());
    let changed = changed.with_body(r#"{"user":"12432"}"#);
    is_refused("another user", changed).await;
    is_refused("the key for events", good.clone().signed(&origin_key())).await;
    is_refused("none", good).await;
}

#[tokio::test]
async fn a_link_with_a_bad_signature_is_refused() {
    let edge = edge().await;
    let client = edge.client();
    let now = now_ms();
    for headers in [
        handshake(&id(), now, &foreign_key()),
        handshake(&id(), now, &login_key()),
        handshake(&id(), now - TOO_OLD_MS, &origin_key()),
        handshake(&id(), now + TOO_OLD_MS, &origin_key()),
        SignedHeaders {
            id: id(),
            ..handshake(&id(), now, &origin_key())
        },
        SignedHeaders::sign(&id(), now, b"a body", &origin_key()),
    ] {
        let answer = Link::try_open(&client, 0, &headers)
            .await
            .expect_err("refused");
        let _ = answer.expect_problem(401);
    }
    let answer = client
        .get("/origin/link?desk=0")
        .open_ws()
        .await
        .unwrap_err();
    let _ = answer.expect_problem(401);
}

#[tokio::test]
async fn a_rotated_key_signs_as_well_as_the_current_one() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!(1)).to_json();
    let call = client.post("/events", MEDIA_TYPE_EVENT, event);
    let answer = call.signed(&rotated_key()).send().await;
    assert_eq!(results(&answer)[0].status, Status::Accepted);
    let login = client.post("/login", "application/json", r#"{"user":"12431"}"#);
    let _ = login.signed(&rotated_key()).send().await.expect_status(202);
    open_link(&client, &handshake(&id(), now_ms(), &rotated_key())).await;
}

#[tokio::test]
async fn one_good_signature_among_several_is_enough() {
    let edge = edge().await;
    let client = edge.client();
    let body = r#"{"user":"12431"}"#;
    let good = SignedHeaders::sign("several", now_ms(), body.as_bytes(), &login_key());
    let several = format!("v1a,AAAA v1,AAAA {}", good.signature);
    let call = client.post("/login", "application/json", body);
    let call = call
        .header(ID_HEADER, &good.id)
        .header(TIMESTAMP_HEADER, &good.timestamp);
    let _ = call
        .header(SIGNATURE_HEADER, &several)
        .send()
        .await
        .expect_status(202);
}

#[tokio::test]
async fn a_replayed_event_is_a_duplicate() {
    let edge = edge().await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let call = client.publish_call(&ready(&ticket, &json!(1)));
    let first = call.clone().send().await;
    let replayed = call.send().await;
    assert_eq!(results(&first)[0].status, Status::Accepted);
    assert_eq!(results(&replayed)[0].status, Status::Duplicate);
}

#[tokio::test]
async fn a_replayed_login_gets_the_same_ticket() {
    let edge = edge().await;
    let client = edge.client();
    let call = client.login_call("12431", &json!({}));
    let first = ticket_of(&call.clone().send().await.expect_status(202));
    for _ in 0..3 {
        let replayed = ticket_of(&call.clone().send().await.expect_status(202));
        assert_eq!(replayed, first);
    }
    let another = client.login("12431").await;
    assert_ne!(another, first);
}

#[tokio::test]
async fn a_login_that_comes_many_times_at_once_is_one_login() {
    let edge = edge().await;
    let client = edge.client();
    let call = client.login_call("12431", &json!({}));
    let answers = join_all((0..10).map(|_| call.clone().send())).await;
    let tickets: Vec<_> = answers.iter().map(ticket_of).collect();
    assert!(
        tickets.iter().all(|ticket| *ticket == tickets[0]),
        "{tickets:?}"
    );
}

#[tokio::test]
async fn a_login_retried_with_a_newer_time_is_still_the_same_login() {
    let edge = edge().await;
    let client = edge.client();
    let (id, now) = (id(), now_ms());
    let call = client.post("/login", "application/json", r#"{"user":"12431"}"#);
    let first = call
        .clone()
        .signed_at(&login_key(), &id, now - 5000)
        .send()
        .await;
    let retried = call.signed_at(&login_key(), &id, now).send().await;
    assert_eq!(ticket_of(&first), ticket_of(&retried));
}

#[tokio::test]
async fn another_login_under_a_used_id_is_a_conflict() {
    let edge = edge().await;
    let client = edge.client();
    let (id, now) = (id(), now_ms());
    let call = |user: &str| {
        let body = json!({ "user": user }).to_string();
        let call = client.post("/login", "application/json", body);
        call.signed_at(&login_key(), &id, now)
    };
    let _ = call("12431").send().await.expect_status(202);
    let _ = call("12432").send().await.expect_problem(409);
}

#[tokio::test]
async fn a_replayed_handshake_of_a_link_is_refused() {
    let edge = edge().await;
    let client = edge.client();
    let headers = handshake(&id(), now_ms(), &origin_key());
    open_link(&client, &headers).await;
    let answer = Link::try_open(&client, 0, &headers)
        .await
        .expect_err("refused");
    let _ = answer.expect_problem(409);
    let answer = Link::try_open(&client, 1, &headers)
        .await
        .expect_err("signed for another desk");
    let _ = answer.expect_problem(401);
}

#[tokio::test]
async fn a_desk_that_is_not_there_is_named() {
    let edge = edge().await;
    let client = edge.client();
    let headers = handshake_to(2, &id(), now_ms(), &origin_key());
    let answer = Link::try_open(&client, 2, &headers)
        .await
        .expect_err("there are two");
    let _ = answer.expect_problem(400);
}

#[tokio::test]
async fn a_link_asked_for_without_upgrade_says_what_it_wants() {
    let edge = edge().await;
    let client = edge.client();
    let headers = handshake(&id(), now_ms(), &origin_key());
    let call = client.get("/origin/link?desk=0");
    let answer = headers
        .pairs()
        .into_iter()
        .fold(call, |call, (name, value)| call.header(name, value))
        .send()
        .await;
    let _ = answer.expect_problem(426);
}

async fn open_link(client: &Client, headers: &SignedHeaders) {
    let mut link = Link::try_open(client, 0, headers)
        .await
        .unwrap_or_else(|answer| panic!("no link: {answer:?}"));
    let welcome = link.hear().await;
    assert!(
        matches!(
            welcome,
            FromEdge::Welcome {
                desk: 0,
                desks: 2,
                ..
            }
        ),
        "{welcome:?}"
    );
}
