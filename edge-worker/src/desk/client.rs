//! Speaks to the desks' Durable Objects:
//!
//! | request | answer |
//! |---|---|
//! | `POST /logins`, an [`Enqueue`] | 200, an [`Enqueued`] |
//! | `GET /origin/link` | as the public route, whose signature has been verified before |

use worker::{Env, web_sys};

use crate::{
    desk::store::{Enqueue, Enqueued},
    http::error::Error,
    platform::{self, Object},
};

/// The binding of the class `LoginDeskDo`.
const BINDING: &str = "LOGIN_DESK";

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

/// Hands the handshake of a link on to a desk, and returns the desk's response untouched.
///
/// # Errors
/// [`Error::Platform`] when the desk cannot be reached or fails.
pub async fn link(
    env: &Env,
    desk: u32,
    request: &web_sys::Request,
) -> Result<web_sys::Response, Error> {
    platform::forward(env, BINDING, &name(desk), request).await
}

/// Returns the name of a desk's object.
fn name(desk: u32) -> String {
    format!("desk-{desk}")
}
