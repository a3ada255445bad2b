//! A client of the edge, as a browser or a site's backend is one. Every answer it gets is held against
//! `openapi.yaml`.

use headstart_protocol::{
    event::Event,
    keys::{Key, KeyRing},
    login::LoginAccepted,
    signature::SignedHeaders,
    ticket::Ticket,
};
use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use uuid::Uuid;

use crate::{
    answer::{Answer, header},
    keys::{login_key, now_ms, ticket_key},
    openapi,
    sse::Sse,
    wait::within,
    ws::Ws,
};

/// A client of one edge.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    /// Whether what it talks to is described by `openapi.yaml`.
    is_edge: bool,
}

impl Client {
    /// A client of the edge at `base`, a URL without a slash at the end.
    #[must_use]
    pub fn new(base: &str) -> Self {
        // The first to come installs it; it is needed even where no TLS is spoken.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            base: base.to_owned(),
            http: reqwest::Client::builder()
                .no_proxy()
                // A server that refuses a body closes the connection, and a pool may notice too late.
                .pool_max_idle_per_host(0)
                .build()
                .expect("a client can be made"),
            is_edge: true,
        }
    }

    /// A client of something that is no edge, such as an origin's listener.
    #[must_use]
    pub fn of_another_api(base: &str) -> Self {
        Self {
            is_edge: false,
            ..Self::new(base)
        }
    }

    /// The URL of what it talks to, without a slash at the end.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A call that is not sent yet.
    #[must_use]
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call {
            client: self,
            method,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    /// A GET that is not sent yet.
    #[must_use]
    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// A POST that is not sent yet.
    #[must_use]
    pub fn post(&self, path: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Call<'_> {
        let mut call = self
            .call(Method::POST, path)
            .header("content-type", media_type);
        call.body = body.into();
        call
    }

    /// A login of `user`, signed as the site's backend signs it, and not sent yet.
    #[must_use]
    pub fn login_call(&self, user: &str, attributes: &Value) -> Call<'_> {
        let body = json!({ "user": user, "attributes": attributes }).to_string();
        self.post("/login", "application/json", body)
            .signed(&login_key())
    }

    /// Logs `user` in and gives the ticket.
    pub async fn login(&self, user: &str) -> Ticket {
        self.login_with(user, &json!({})).await
    }

    /// Logs `user` in with attributes and gives the ticket.
    pub async fn login_with(&self, user: &str, attributes: &Value) -> Ticket {
        let answer = self.login_call(user, attributes).send().await;
        ticket_of(&answer.expect_status(202))
    }

    /// What is at a ticket now.
    pub async fn offer(&self, ticket: &Ticket) -> Answer {
        self.get(&offer_path(ticket)).send().await
    }

    /// What is at a ticket once it has settled, or after `seconds`.
    pub async fn offer_within(&self, ticket: &Ticket, seconds: u32) -> Answer {
        self.get(&offer_path(ticket))
            .header("prefer", &format!("wait={seconds}"))
            .send()
            .await
    }

    /// A ticket's stream of Server-Sent Events.
    pub async fn events(&self, ticket: &Ticket) -> Sse {
        let call = self.get(&format!("{}/events", offer_path(ticket)));
        call.open_sse()
            .await
            .unwrap_or_else(|answer| panic!("no stream: {answer:?}"))
    }

    /// A ticket's WebSocket.
    pub async fn ws(&self, ticket: &Ticket) -> Ws {
        let path = format!("{}/ws", offer_path(ticket));
        let opened = self.get(&path).open_ws().await;
        opened.unwrap_or_else(|answer| panic!("no WebSocket: {answer:?}"))
    }
}

/// A call of the edge.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call<'_> {
    /// With this header, in place of what it had under this name.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        self.headers.insert(name, value);
        self
    }

    /// Without this header.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// With another body, whatever was signed.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Signed now, under an id of its own.
    #[must_use]
    pub fn signed(self, key: &Key) -> Self {
        self.signed_at(key, &Uuid::now_v7().to_string(), now_ms())
    }

    /// Signed under `id` at `at_ms`.
    #[must_use]
    pub fn signed_at(self, key: &Key, id: &str, at_ms: u64) -> Self {
        SignedHeaders::sign(id, at_ms, &self.body, key)
            .pairs()
            .into_iter()
            .fold(self, |call, (name, value)| call.header(name, value))
    }

    /// Sends it and reads the whole answer.
    pub async fn send(self) -> Answer {
        let what = format!("the answer to {} {}", self.method, self.path);
        within(&what, self.try_send())
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// Sends it and reads the whole answer, unless the edge cannot be reached.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn try_send(self) -> reqwest::Result<Answer> {
        Answer::read(self.response().await?).await
    }

    /// Sends it and reads the answer as Server-Sent Events.
    ///
    /// # Errors
    /// The edge's answer, where it is no stream.
    pub async fn open_sse(self) -> Result<Sse, Answer> {
        within("the stream's headers", self.try_open_sse())
            .await
            .expect("the edge can be reached")
    }

    /// As [`Call::open_sse`], unless the edge cannot be reached.
    ///
    /// # Errors
    /// Those of the connection; within them, the edge's answer.
    pub async fn try_open_sse(self) -> reqwest::Result<Result<Sse, Answer>> {
        let response = self.response().await?;
        if header(response.headers(), "content-type").starts_with("text/event-stream") {
            return Ok(Ok(Sse::new(response)));
        }
        Ok(Err(Answer::read(response).await?))
    }

    /// Sends it as the handshake of a WebSocket.
    ///
    /// # Errors
    /// The edge's answer, where it is no WebSocket.
    pub async fn open_ws(self) -> Result<Ws, Answer> {
        within("the WebSocket's handshake", self.try_open_ws())
            .await
            .expect("the edge can be reached")
    }

    /// As [`Call::open_ws`], unless the edge cannot be reached.
    ///
    /// # Errors
    /// Those of the connection; within them, the edge's answer.
    pub async fn try_open_ws(self) -> reqwest::Result<Result<Ws, Answer>> {
        let key = generate_key();
        let call = self
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", &key);
        let response = call.response().await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Ok(Ws::open(response, &key).await?));
        }
        Ok(Err(Answer::read(response).await?))
    }

    async fn response(self) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}{}", self.client.base, self.path);
        let request = self.client.http.request(self.method.clone(), url);
        let response = request.headers(self.headers).body(self.body).send().await?;
        if self.client.is_edge {
            openapi::check(
                &self.method,
                &self.path,
                response.status().as_u16(),
                header(response.headers(), "content-type"),
            );
        }
        Ok(response)
    }
}

/// The name of the origin that settled a ticket, from the event that a waiter was told.
#[must_use]
pub fn settled_by(event: &Event) -> &str {
    let name = event.source.strip_prefix("/origin/");
    name.unwrap_or_else(|| panic!("not settled by an origin: {event:?}"))
}

/// Where a ticket's offer is.
#[must_use]
pub fn offer_path(ticket: &Ticket) -> String {
    format!("/tickets/{}", ticket.as_str())
}

/// The ticket in the answer to a login.
#[must_use]
pub fn ticket_of(answer: &Answer) -> Ticket {
    let accepted: LoginAccepted =
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    Ticket::verify(&accepted.ticket, &KeyRing::from(ticket_key()))
        .unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}
