//! `GET /ping` and `GET /healthz`: who is there, and is it well.

use serde::Serialize;

use crate::http::{
    answer::Answer,
    error::Misconfigured,
    request::{Reply, RequestContext},
};

#[derive(Serialize)]
struct Pong<'a> {
    node: &'a str,
    time: u64,
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    node: &'a str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_auth: Option<&'static str>,
    warnings: Vec<&'a str>,
}

/// Returns which node answers, and its clock.
pub fn ping(context: &RequestContext) -> Reply {
    let pong = Pong {
        node: &context.node,
        time: context.head.now_ms,
    };
    Answer::json(200, &pong)
        .header("Cache-Control", "no-store")
        .into()
}

/// Answers whether the edge can work: 503, and why, where it is misconfigured.
pub fn healthz(context: &RequestContext) -> Reply {
    let (status, health) = match context.settings.as_ref() {
        Ok(config) => (
            200,
            Health {
                status: "ok",
                node: &context.node,
                version: env!("CARGO_PKG_VERSION"),
                login_auth: Some(config.login_auth.name()),
                warnings: config.warnings(),
            },
        ),
        Err(Misconfigured(wrong)) => (
            503,
            Health {
                status: "misconfigured",
                node: &context.node,
                version: env!("CARGO_PKG_VERSION"),
                login_auth: None,
                warnings: wrong.iter().map(String::as_str).collect(),
            },
        ),
    };
    Answer::json(status, &health)
        .header("Cache-Control", "no-store")
        .into()
}
