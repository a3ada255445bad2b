//! What the listener promises, over real HTTP.

use headstart_client::{http_client, signing::signed_headers};
use headstart_protocol::{
    login::LoginAccepted,
    problem::Problem,
    signature::SignedHeaders,
    stamps::{Point, STAMPS_HEADER, Stamps},
    ticket::Ticket,
};
use reqwest::{Client, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    outbox::{Outbox, Way},
    testing::{self, key, ticket_keys},
};

struct Running {
    url: String,
    client: Client,
    outbox: Outbox,
    pipeline: Pipeline,
    shutdown: Shutdown,
    _folder: TempDir,
}

impl Running {
    async fn new(auth: Auth, queue: usize) -> Self {
        let (outbox, folder) = testing::outbox(false);
        let pipeline = testing::pipeline(&outbox, queue, Duration::from_millis(300));
        let shutdown = Shutdown::default();
        let listener = Listener::new(
            pipeline.clone(),
            auth,
            Some(key(3).into()),
            "https://edge.example".to_owned(),
            "test".to_owned(),
            shutdown.clone(),
        );
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        tokio::spawn(serve(listener, socket));
        Self {
            url,
            client: http_client::build().unwrap(),
            outbox,
            pipeline,
            shutdown,
            _folder: folder,
        }
    }

    fn post(&self, path: &str, body: &str) -> RequestBuilder {
        self.client
            .post(format!("{}{path}", self.url))
            .body(body.to_owned())
    }

    async fn healthz(&self) -> (u16, Value) {
        let url = format!("{}/healthz", self.url);
        let answer = self.client.get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn login(&self, user: &str) -> Response {
        let body = format!(r#"{{"user":"{user}"}}"#);
        self.post("/login", &body).send().await.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.end();
    }
}

async fn problem(answer: Response, status: u16, slug: &str) {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Problem = answer.json().await.unwrap();
    assert_eq!(problem.status, status);
    assert_eq!(problem.kind, format!("urn:headstart:{slug}"));
    assert!(!problem.detail.is_empty());
}

#[tokio::test]
async fn a_login_is_answered_with_a_ticket_of_ours_and_settles() {
    let running = Running::new(Auth::Open, 4).await;
    let answer = running.login("anna").await;
    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(answer.headers()["retry-after"], "1");
    let accepted: LoginAccepted = answer.json().await.unwrap();
    assert_eq!(location, format!("https://edge.example{}", accepted.offer));
    let ticket = Ticket::verify(&accepted.ticket, &ticket_keys()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), async {
        while !running.outbox.has_settled(&ticket).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(running.outbox.journalled_logins().await.unwrap(), []);
}

#[tokio::test]
async fn a_login_is_in_the_journal_before_it_is_answered() {
    let running = Running::new(Auth::Open, 4).await;
    let accepted: LoginAccepted = running.login("sleeps").await.json().await.unwrap();
    let journalled = running.outbox.journalled_logins().await.unwrap();
    assert_eq!(journalled[0].subject, Some(accepted.ticket));
    assert!(journalled[0].extensions.contains_key(Point::Login.name()));
}

#[tokio::test]
async fn an_offer_is_answered_with_its_stamps_and_nothing_is_kept() {
    let running = Running::new(Auth::Open, 4).await;
    let answer = running
        .post("/offers", r#"{"user":"anna"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain");
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    let stamps = Stamps::from_header(answer.headers()[STAMPS_HEADER].to_str().unwrap());
    assert!(stamps.between(Point::Login, Point::Generated).unwrap() >= 0);
    assert_eq!(answer.text().await.unwrap(), "anna");
    assert_eq!(running.outbox.pending("edge", Way::Event).await.unwrap(), 0);
}

#[tokio::test]
async fn a_generation_that_fails_or_takes_too_long_is_a_problem() {
    let running = Running::new(Auth::Open, 4).await;
    for user in ["fails", "sleeps"] {
        let body = format!(r#"{{"user":"{user}"}}"#);
        let answer = running.post("/offers", &body).send().await.unwrap();
        problem(answer, 502, "generation-failed").await;
    }
}

#[tokio::test]
async fn a_login_must_be_signed_and_a_wrong_or_old_signature_is_refused() {
    let running = Running::new(Auth::Signed, 4).await;
    let body = r#"{"user":"anna"}"#;
    for path in ["/login", "/offers"] {
        let post = || running.post(path, body);
        problem(post().send().await.unwrap(), 401, "signature-refused").await;
        let wrong = post().headers(signed_headers(body.as_bytes(), &key(4)));
        problem(wrong.send().await.unwrap(), 401, "signature-refused").await;
        let other = post().headers(signed_headers(b"{}", &key(3)));
        problem(other.send().await.unwrap(), 401, "signature-refused").await;
        let mut old = post();
        for (name, value) in
            SignedHeaders::sign("m", now_ms() - 400_000, body.as_bytes(), &key(3)).pairs()
        {
            old = old.header(name, value);
        }
        problem(old.send().await.unwrap(), 401, "signature-refused").await;
        let good = post().headers(signed_headers(body.as_bytes(), &key(3)));
        assert!(good.send().await.unwrap().status().is_success());
    }
}

#[tokio::test]
async fn a_signed_login_that_comes_again_has_the_same_ticket() {
    let running = Running::new(Auth::Signed, 4).await;
    let body = r#"{"user":"anna"}"#;
    let headers = signed_headers(body.as_bytes(), &key(3));
    let mut tickets = Vec::new();
    for _ in 0..2 {
        let answer = running
            .post("/login", body)
            .headers(headers.clone())
            .send()
            .await
            .unwrap();
        let accepted: LoginAccepted = answer.json().await.unwrap();
        tickets.push(accepted.ticket);
    }
    assert_eq!(tickets[0], tickets[1]);
}

#[tokio::test]
async fn what_is_no_login_is_refused() {
    let running = Running::new(Auth::Open, 4).await;
    for body in [
        "",
        "[]",
        r#"{"user":""}"#,
        r#"{"user":"a","admin":true}"#,
        "\u{0}",
    ] {
        problem(
            running.post("/login", body).send().await.unwrap(),
            400,
            "malformed-login",
        )
        .await;
    }
    let large = format!(
        r#"{{"user":"a","attributes":{{"x":"{}"}}}}"#,
        "x".repeat(MAX_LOGIN_BODY_BYTES)
    );
    problem(
        running.post("/login", &large).send().await.unwrap(),
        413,
        "body-too-large",
    )
    .await;
    // Of unknown length, so that only reading can tell.
    let chunks = futures_util::stream::iter(vec![Ok::<_, std::io::Error>(large)]);
    let streamed = running
        .post("/login", "")
        .body(reqwest::Body::wrap_stream(chunks));
    problem(streamed.send().await.unwrap(), 413, "body-too-large").await;
}

#[tokio::test]
async fn other_routes_and_methods_are_problems_too() {
    let running = Running::new(Auth::Open, 4).await;
    let get = |path: &str| running.client.get(format!("{}{path}", running.url)).send();
    problem(get("/other").await.unwrap(), 404, "not-found").await;
    let wrong = get("/login").await.unwrap();
    assert_eq!(wrong.headers()["allow"], "POST");
    problem(wrong, 405, "method-not-allowed").await;
    let health = get("/healthz").await.unwrap();
    assert_eq!(health.status(), 200);
    let health: Value = health.json().await.unwrap();
    assert_eq!(
        (&health["status"], &health["auth"]),
        (&json!("ok"), &json!("open"))
    );
}

#[tokio::test]
async fn a_full_pool_refuses_before_anything_is_kept() {
    let running = Running::new(Auth::Open, 1).await;
    let mut kept = 0;
    let refused = loop {
        let answer = running.login("sleeps").await;
        if answer.status() != 202 {
            break answer;
        }
        kept += 1;
        assert!(kept < 20, "the pool never fills");
    };
    assert_eq!(refused.headers()["retry-after"], "1");
    problem(refused, 503, "backlog-full").await;
    assert!(running.outbox.journalled_logins().await.unwrap().len() <= kept);
}

#[tokio::test]
async fn a_client_that_sends_its_body_too_slowly_is_refused() {
    let running = Running::new(Auth::Open, 4).await;
    let address = running.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /login HTTP/1.1\r\nhost: test\r\ncontent-length: 9\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = stream.read_exact(&mut answer);
    let read = tokio::time::timeout(BODY_TIMEOUT * 2, read).await;
    read.expect("it is answered in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_shutdown_answers_what_is_in_work() {
    let running = Running::new(Auth::Open, 4).await;
    let asked = running.post("/offers", r#"{"user":"sleeps"}"#).send();
    let asked = tokio::spawn(asked);
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.shutdown.drain();
    problem(asked.await.unwrap().unwrap(), 502, "generation-failed").await;
    assert!(
        running.post("/login", "{}").send().await.is_err(),
        "nothing new is taken"
    );
}

#[tokio::test]
async fn healthz_says_why_no_login_is_taken_while_the_disk_is_low() {
    let running = Running::new(Auth::Open, 4).await;
    let breaker = running.pipeline.breaker();
    breaker.see_free(90, 100);
    assert_eq!(running.login("anna").await.status(), 503);
    let (status, body) = running.healthz().await;
    assert_eq!((status, &body["status"]), (503, &json!("failing")));
    let reason = body["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("90 bytes of the outbox's disk"),
        "{reason}"
    );
    breaker.see_free(125, 100);
    assert_eq!(running.login("anna").await.status(), 202);
    assert_eq!(running.healthz().await.0, 200);
}

#[tokio::test]
async fn healthz_says_why_no_login_is_taken_while_the_disk_is_full() {
    let running = Running::new(Auth::Open, 4).await;
    let healthz = async || running.healthz().await;
    assert_eq!(healthz().await.0, 200);
    running.outbox.set_full(true).await;
    let mut logins = 0;
    while running.login(&"u".repeat(200)).await.status() != 503 {
        logins += 1;
        assert!(logins < 100, "there is no room for so many");
    }
    let (status, body) = healthz().await;
    assert_eq!((status, &body["status"]), (503, &json!("failing")));
    let reason = body["reason"].as_str().unwrap();
    assert!(reason.contains("full"), "{reason}");
    running.outbox.set_full(false).await;
    assert_eq!(running.login("anna").await.status(), 202);
    assert_eq!(healthz().await.0, 200);
}
