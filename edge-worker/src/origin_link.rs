//! `GET /origin/link?desk=K`: an origin opens its link to a desk. Also how the edge itself speaks to
//! the desks' Durable Objects:
//!
//! | request | answer |
//! |---|---|
//! | `POST /logins`, an [`Enqueue`] | 200, an [`Enqueued`] |
//! | `GET /origin/link` | as the public route, whose signature has been verified before |

use headstart_protocol::{link::handshake_text, signature};
use worker::Env;

use crate::{
    call::{Call, Reply},
    desk_store::{Enqueue, Enqueued},
    error::Error,
    platform::{self, Object},
    websocket,
};

/// The binding of the class `LoginDeskDo`.
const BINDING: &str = "LOGIN_DESK";

/// `GET /origin/link`
///
/// # Errors
/// [`Error::Signature`], [`Error::UnknownDesk`], [`Error::UpgradeRequired`], [`Error::Platform`].
pub async fn get(call: &Call) -> Result<Reply, Error> {
    let config = call.config()?;
    let desk: Option<u32> = call
        .head
        .query_value("desk")
        .and_then(|text| text.parse().ok());
    // Verified before the desk is judged: only an origin learns how many there are.
    signature::verify(
        |name| call.header(name),
        handshake_text(desk.unwrap_or_default()).as_bytes(),
        &config.origin_keys,
        call.head.now_ms,
    )?;
    let desks = config.desks;
    let desk = desk
        .filter(|desk| *desk < desks)
        .ok_or(Error::UnknownDesk { desks })?;
    websocket::require_upgrade(call)?;
    let response = platform::forward(&call.env, BINDING, &name(desk), &call.request).await?;
    Ok(Reply::Untouched(response))
}

/// Stores a login at a desk.
///
/// # Errors
/// [`Error::Platform`] when the desk cannot be reached or fails.
pub async fn enqueue(env: &Env, desk: u32, login: &Enqueue) -> Result<Enqueued, Error> {
    let body = serde_json::to_string(login)
        .map_err(|error| Error::Platform(format!("a login's JSON: {error}")))?;
    let object = Object {
        binding: BINDING,
        name: &name(desk),
        hint: "",
    };
    let url = "http://desk/logins";
    let (status, answer) = platform::ask(env, object, "POST", url, Some(&body)).await?;
    if status != 200 {
        return Err(Error::Platform(format!("{BINDING} answered {status}")));
    }
    serde_json::from_slice(&answer)
        .map_err(|error| Error::Platform(format!("the answer of {BINDING}: {error}")))
}

/// The name of a desk's object.
fn name(desk: u32) -> String {
    format!("desk-{desk}")
}
