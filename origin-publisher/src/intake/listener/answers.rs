//! Every refusal of the listener, made into an answer in this one place.

use std::error::Error as _;

use axum::{
    body::{Body, Bytes, to_bytes},
    response::{IntoResponse, Response},
};
use headstart_protocol::{
    limits::MAX_LOGIN_BODY_BYTES,
    problem::{MEDIA_TYPE, Problem},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::LengthLimitError;

use super::BODY_TIMEOUT;

/// What there is.
const ROUTES: &str = "There are POST /login, POST /offers, GET /healthz and GET /metrics.";

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body is not what it must be.
    Body(String),
    /// Nobody we know signed it.
    Signature(String),
    /// There is no such route.
    NotFound,
    /// The route has other methods.
    Method,
    /// Another login came under the same message id.
    Conflict,
    /// The body did not come in time.
    Slow,
    /// The body is too large.
    Large,
    /// Nothing more can be taken now.
    Busy,
    /// There is no offer, for this reason.
    Failed(String),
    /// The login could not be kept.
    NotKept,
    /// What is in the outbox could not be counted.
    NotCounted,
    /// The answer took longer than any should.
    Late,
}

impl Refusal {
    /// Returns it as the client sees it. The kinds that an edge has too have its names.
    fn problem(self) -> Problem {
        let (status, slug, title, detail) = match self {
            Self::Body(detail) => (400, "malformed-login", "The login cannot be read", detail),
            Self::Signature(detail) => (
                401,
                "signature-refused",
                "The request is not signed by anyone known here",
                detail,
            ),
            Self::NotFound => (404, "not-found", "There is nothing here", ROUTES.to_owned()),
            Self::Method => (
                405,
                "method-not-allowed",
                "This method is not for this route",
                ROUTES.to_owned(),
            ),
            Self::Slow => (
                408,
                "body-too-slow",
                "The body did not come in time",
                format!("It may take {} s.", BODY_TIMEOUT.as_secs()),
            ),
            Self::Conflict => (
                409,
                "login-conflict",
                "Another login came under this webhook-id",
                "Each login needs an id of its own; a retry repeats id and body.".to_owned(),
            ),
            Self::Large => (
                413,
                "body-too-large",
                "The body is too large",
                format!("It may have {MAX_LOGIN_BODY_BYTES} bytes."),
            ),
            Self::Failed(detail) => (502, "generation-failed", "There is no offer", detail),
            Self::Busy => (
                503,
                "backlog-full",
                "Too many offers are being generated",
                "Try again in a moment.".to_owned(),
            ),
            Self::NotKept => (
                503,
                "not-kept",
                "The login could not be kept",
                "Try again in a moment.".to_owned(),
            ),
            Self::NotCounted => (
                503,
                "not-counted",
                "The outbox could not be counted",
                "The log says why.".to_owned(),
            ),
            Self::Late => (
                504,
                "late",
                "The answer took too long",
                "Try again later.".to_owned(),
            ),
        };
        Problem::new(status, slug, title, detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = (status, problem.to_json()).into_response();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

/// Reads a body within its limits of size and time.
pub(super) async fn read(body: Body) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_LOGIN_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(Refusal::Large),
        Ok(Err(_)) => Err(Refusal::Body("the body ended early".to_owned())),
        Err(_) => Err(Refusal::Slow),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    error
        .source()
        .is_some_and(<dyn std::error::Error>::is::<LengthLimitError>)
}
