//! Speaks to the desks' Durable Objects:
//!
//! | request | answer |
//! |---|---|
//! | `POST /logins`, an [`Enqueue`] | 200, an [`Enqueued`] |
//! | `POST /settlements`, a batch of events | 200, an [`EventResult`] for each |
//! | `GET /tickets/{ticket}/offer?wait=SECONDS` | 200, see [`standing`] |
//! | `GET /tickets/{ticket}/events`, `.../ws` | as the public routes; they are handed on |
//! | `GET /origin/link` | as the public route, whose signature has been verified before |

use headstart_edge_rules::topic::region::Region;
use headstart_protocol::{
    event::Event,
    report::EventResult,
    ticket::{Ticket, TicketError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use worker::{Env, web_sys};

use crate::{
    config::Config,
    http::error::Error,
    platform::{self, Object},
};

/// The binding of the class `DeskDo`.
const BINDING: &str = "DESKS";

/// A login to be stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct Enqueue {
    /// The login event.
    pub event: Event,
    /// What tells a repeated login from a new one; none where logins are not signed.
    pub webhook: Option<Webhook>,
}

/// How a signed login is told from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its `webhook-id`.
    pub id: String,
    /// A digest of its body.
    pub digest: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enqueued {
    /// It is stored, and will reach an origin.
    Stored,
    /// The same login came before; this is its ticket.
    Repeated {
        /// The ticket.
        ticket: String,
    },
    /// Another login came under its `webhook-id`.
    Conflict,
    /// The desk holds as many logins as it may.
    Full,
}

/// Stores a login at a desk.
///
/// # Errors
/// [`Error::Platform`] when the desk cannot be reached or fails.
pub async fn enqueue(
    env: &Env,
    config: &Config,
    desk: u16,
    login: &Enqueue,
) -> Result<Enqueued, Error> {
    let body = json(login)?;
    let answer = ask(env, config, desk, "POST", "logins", Some(&body)).await?;
    read_json(&answer)
}

/// Brings events to the desk whose tickets they settle; returns what became of each, in their order.
///
/// # Errors
/// [`Error::Platform`] when the desk cannot be reached or fails: then none was taken.
pub async fn settle(
    env: &Env,
    config: &Config,
    desk: u16,
    events: &[&Event],
) -> Result<Vec<EventResult>, Error> {
    let body = json(&events)?;
    let answer = ask(env, config, desk, "POST", "settlements", Some(&body)).await?;
    let results: Vec<EventResult> = read_json(&answer)?;
    if results.len() == events.len() {
        Ok(results)
    } else {
        Err(Error::Platform(format!(
            "{BINDING} answered not for each event"
        )))
    }
}

/// Returns how a ticket stands, after waiting for its settlement for up to `wait_seconds`. The bytes are to
/// be read with [`standing::decode`](crate::desk::standing::decode).
///
/// # Errors
/// [`Error::Ticket`] when it has expired, [`Error::TooManyWaiters`], and [`Error::Platform`].
pub async fn read(
    env: &Env,
    config: &Config,
    ticket: &Ticket,
    wait_seconds: u32,
) -> Result<Vec<u8>, Error> {
    let what = format!("tickets/{}/offer?wait={wait_seconds}", ticket.as_str());
    ask(env, config, ticket.desk(), "GET", &what, None).await
}

/// Hands a request on to a desk, and returns the desk's response untouched: of somebody who waits, or an
/// origin's handshake.
///
/// # Errors
/// [`Error::Platform`] when the desk cannot be reached or fails.
pub async fn forward(
    env: &Env,
    config: &Config,
    desk: u16,
    request: &web_sys::Request,
) -> Result<web_sys::Response, Error> {
    platform::forward(env, object(config, desk, &name(desk)), request).await
}

async fn ask(
    env: &Env,
    config: &Config,
    desk: u16,
    method: &str,
    what: &str,
    body: Option<&str>,
) -> Result<Vec<u8>, Error> {
    let url = format!("http://desk/{what}");
    let name = name(desk);
    let object = object(config, desk, &name);
    let (status, answer) = platform::ask(env, object, method, &url, body).await?;
    match status {
        200 => Ok(answer),
        410 => Err(TicketError::Expired.into()),
        503 => Err(Error::TooManyWaiters),
        status => Err(Error::Platform(format!("{BINDING} answered {status}"))),
    }
}

/// Returns the name of a desk's object.
fn name(desk: u16) -> String {
    format!("desk-{desk}")
}

fn object<'a>(config: &Config, desk: u16, name: &'a str) -> Object<'a> {
    let region = config.desks.region(desk);
    Object {
        binding: BINDING,
        name,
        hint: region.map_or("", Region::code),
    }
}

fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::Platform(format!("what is said to {BINDING}: {error}")))
}

fn read_json<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(answer)
        .map_err(|error| Error::Platform(format!("the answer of {BINDING}: {error}")))
}
