//! Every refusal of the listener, made into an answer in this one place.

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
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

use super::BODY_TIMEOUT;

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
}

impl Refusal {
    fn problem(self) -> Problem {
        match self {
            Self::Body(detail) => {
                Problem::new(400, "malformed", "The request cannot be read", detail)
            }
            Self::Signature(detail) => Problem::new(
                401,
                "signature",
                "The request is not signed by anyone known here",
                detail,
            ),
            Self::NotFound => Problem::new(
                404,
                "not-found",
                "There is nothing here",
                "See POST /login, POST /offers and GET /healthz.",
            ),
            Self::Method => Problem::new(
                405,
                "method",
                "This method is not for this route",
                "POST /login, POST /offers, GET /healthz.",
            ),
            Self::Slow => Problem::new(
                408,
                "slow",
                "The body did not come in time",
                format!("It may take {} s.", BODY_TIMEOUT.as_secs()),
            ),
            Self::Large => Problem::new(
                413,
                "too-large",
                "The body is too large",
                format!("It may have {MAX_LOGIN_BODY_BYTES} bytes."),
            ),
            Self::Failed(detail) => {
                Problem::new(502, "generation-failed", "There is no offer", detail)
            }
            Self::Busy => Problem::new(
                503,
                "busy",
                "Too many offers are being generated",
                "Try again in a moment.",
            ),
            Self::NotKept => Problem::new(
                503,
                "not-kept",
                "The login could not be kept",
                "Try again in a moment.",
            ),
        }
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
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        answer
    }
}

/// Reads a body within its limits of size and time.
pub(super) async fn read(body: Body) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_LOGIN_BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error))
            if std::error::Error::source(&error)
                .is_some_and(|source| source.to_string().contains("length limit")) =>
        {
            Err(Refusal::Large)
        }
        Ok(Err(_)) => Err(Refusal::Body("the body ended early".to_owned())),
        Err(_) => Err(Refusal::Slow),
    }
}
