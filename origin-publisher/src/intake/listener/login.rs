//! `POST /login`: mints the ticket, keeps the login, answers; the offer is generated meanwhile.

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use headstart_client::clock::now_ms;
use headstart_protocol::{
    login::{LoginAccepted, LoginData},
    ticket::Ticket,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, LOCATION, RETRY_AFTER},
};

use super::{
    Inner, Listener,
    admission::Admitted,
    answers::{Refusal, read},
};
use crate::{intake::unfinished::settle_journalled, pipeline::Job};

pub(super) async fn login(
    State(listener): State<Listener>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let inner = &listener.inner;
    let body = read(body).await?;
    let now_ms = now_ms();
    let Admitted { login, message } = inner.admission.admit(&headers, &body, now_ms)?;
    let status = inner.pipeline.status();
    if inner.shutdown.is_draining() || status.queued >= status.queue_limit {
        return Err(Refusal::Busy);
    }
    if inner.pipeline.breaker().low_disk().is_some() {
        return Err(Refusal::NotKept);
    }
    let (ticket, is_new) = inner
        .admission
        .ticket(message.as_ref(), now_ms, || inner.pipeline.mint(now_ms))?;
    if is_new && let Err(refusal) = begin(&listener, &ticket, login, now_ms).await {
        if let Some(message) = &message {
            inner.admission.forget(&message.id);
        }
        return Err(refusal);
    }
    accepted(inner, &ticket)
}

/// Keeps the login, then begins to generate.
async fn begin(
    listener: &Listener,
    ticket: &Ticket,
    login: LoginData,
    now_ms: u64,
) -> Result<(), Refusal> {
    let pipeline = &listener.inner.pipeline;
    // Here the stamp `loginat` is of this origin's clock: no edge has seen the login.
    let event = login.to_event(ticket, pipeline.source(), now_ms);
    let expires_at_ms = ticket.expires_at_ms(pipeline.times());
    if let Err(error) = pipeline
        .outbox()
        .journal_login(ticket, &event, expires_at_ms)
        .await
    {
        tracing::debug!(%error, "a login was not kept");
        return Err(Refusal::NotKept);
    }
    tracing::info!(ticket = %ticket.uuid(), "login");
    pipeline.metrics().login_from("listener");
    let job = Job {
        ticket: ticket.clone(),
        login,
        login_at_ms: Some(now_ms),
        timeout: pipeline.timeout(),
    };
    let (pipeline, shutdown) = (pipeline.clone(), listener.inner.shutdown.clone());
    listener.inner.generations.spawn(async move {
        settle_journalled(&pipeline, job, &shutdown).await;
    });
    Ok(())
}

fn accepted(inner: &Inner, ticket: &Ticket) -> Result<Response, Refusal> {
    let accepted = LoginAccepted::new(ticket);
    let location = HeaderValue::try_from(format!("{}{}", inner.edge_url, accepted.offer))
        .map_err(|_| Refusal::NotKept)?;
    let headers = [
        (LOCATION, location),
        (RETRY_AFTER, HeaderValue::from_static("1")),
        (CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    Ok((StatusCode::ACCEPTED, headers, Json(accepted)).into_response())
}
