//! The HTTP listener: takes logins directly, for those who put the origin behind their own CDN, and
//! answers offers that are generated while the caller waits.
//!
//! | route | touches |
//! |---|---|
//! | `POST /login` | mints a ticket, journals the login in the outbox, answers 202; generation follows |
//! | `POST /offers` | generates and answers the offer itself; no ticket, nothing kept or delivered |
//! | `GET /healthz` | nothing |
//! | `GET /metrics` | counts what is in the outbox |
//!
//! Every error is `application/problem+json`. Both POST routes ask for the same signature.

mod admission;
mod answers;
mod login;
mod offers;
mod serving;

use std::{sync::Arc, time::Duration};

use admission::Admission;
use answers::Refusal;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use headstart_client::clock::now_ms;
use headstart_protocol::limits::MAX_LOGIN_BODY_BYTES;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::{config::Auth, metrics::MEDIA_TYPE, pipeline::Pipeline, shutdown::Shutdown};

pub use serving::serve;

/// How long a request's body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// All that the routes share.
#[derive(Debug, Clone)]
pub struct Listener {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pipeline: Pipeline,
    admission: Admission,
    /// Where the first edge is: `Location` points there.
    edge_url: String,
    node: String,
    shutdown: Shutdown,
    /// Generations that go on after their answer.
    generations: TaskTracker,
}

impl Listener {
    /// Makes a listener that hands logins to `pipeline`. `auth` and `login_keys` say who may send one,
    /// `edge_url` (without a slash at its end) is where offers will be found, `node` is this origin's name.
    #[must_use]
    pub fn new(
        pipeline: Pipeline,
        auth: Auth,
        login_keys: Option<headstart_protocol::keys::KeyRing>,
        edge_url: String,
        node: String,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                pipeline,
                admission: Admission::new(auth, login_keys),
                edge_url,
                node,
                shutdown,
                generations: TaskTracker::new(),
            }),
        }
    }

    /// Returns the routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/login", post(login::login))
            .route("/offers", post(offers::offers))
            .route("/healthz", get(healthz))
            .route("/metrics", get(metrics))
            .fallback(async || Refusal::NotFound)
            .method_not_allowed_fallback(async || Refusal::Method)
            .layer(DefaultBodyLimit::max(MAX_LOGIN_BODY_BYTES))
            .with_state(self.clone())
    }

    /// Waits until every login that was accepted has settled.
    pub async fn settled(&self) {
        self.inner.generations.close();
        self.inner.generations.wait().await;
    }
}

/// Answers how the origin does: 503 with a reason while its outbox fails, or its disk is low.
async fn healthz(State(listener): State<Listener>) -> (StatusCode, Json<Value>) {
    let status = listener.inner.pipeline.status();
    let low_disk = || {
        let low = listener.inner.pipeline.breaker().low_disk();
        low.map(|low| low.to_string())
    };
    let failure = listener.inner.pipeline.outbox().failure();
    let failure = failure.map(|failure| failure.to_string()).or_else(low_disk);
    let mut body = json!({
        "status": if failure.is_some() { "failing" } else { "ok" },
        "node": listener.inner.node,
        "time": now_ms(),
        "auth": listener.inner.admission.auth(),
        "generating": status.running,
        "queued": status.queued,
    });
    let Some(failure) = failure else {
        return (StatusCode::OK, Json(body));
    };
    body["reason"] = failure.into();
    (StatusCode::SERVICE_UNAVAILABLE, Json(body))
}

async fn metrics(State(listener): State<Listener>) -> Result<Response, Refusal> {
    let pipeline = &listener.inner.pipeline;
    let text = pipeline
        .metrics()
        .text(pipeline.outbox(), pipeline.status())
        .await
        .map_err(|error| {
            tracing::debug!(%error, "the outbox cannot be counted");
            Refusal::NotCounted
        })?;
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

#[cfg(test)]
mod tests;
