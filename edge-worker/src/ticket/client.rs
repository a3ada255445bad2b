//! Speaking to a ticket's Durable Object: what is asked of it and how it answers.
//!
//! All of its URLs have the form of the public ones, `/tickets/{ticket}/...`:
//!
//! | request | answer |
//! |---|---|
//! | `POST .../open` | 204; from now on it cleans up after itself |
//! | `POST .../settle`, an event | 200, an [`EventResult`] |
//! | `GET .../offer?wait=SECONDS` | 200, a line of JSON that says how the ticket stands, then the offer |
//! | `GET .../events`, `GET .../ws` | as the public routes; only these two are ever handed on to it |

use headstart_edge_rules::{lookup::Settled, ticket::Failure};
use headstart_protocol::{
    event::Event,
    kv::OfferMetadata,
    report::EventResult,
    settlement::{Content, Outcome, Settlement},
    ticket::{Ticket, TicketError},
};
use serde::{Deserialize, Serialize};
use worker::{Env, web_sys};

use crate::{
    http::error::Error,
    platform::{self, Object},
};

/// The binding of the class `TicketDo`.
const BINDING: &str = "TICKETS";

/// How a ticket stands: the first line of its answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Pending,
    Ready(OfferMetadata),
    Positioned(OfferMetadata),
    Failed(Failure),
}

/// Returns its answer for a ticket that has settled, or not yet.
pub fn encode(settlement: Option<&Settlement>) -> Vec<u8> {
    let (standing, content) = match settlement {
        None => (Standing::Pending, &[][..]),
        Some(settlement) => match &settlement.outcome {
            Outcome::Failed { reason } => (
                Standing::Failed(Failure {
                    reason: reason.clone(),
                    event_id: settlement.event_id.clone(),
                    stamps: settlement.stamps,
                }),
                &[][..],
            ),
            Outcome::Ready {
                media_type,
                content,
            } => {
                let metadata = OfferMetadata {
                    media_type: media_type.clone(),
                    event_id: settlement.event_id.clone(),
                    source: settlement.source.clone(),
                    attributes: settlement.attributes.clone(),
                    stamps: settlement.stamps,
                };
                match content {
                    Content::Inline(bytes) => (Standing::Ready(metadata), bytes.as_slice()),
                    Content::Positioned => (Standing::Positioned(metadata), &[][..]),
                }
            }
        },
    };
    // A standing has string keys only, and so a JSON form; it is on one line.
    let mut answer = serde_json::to_vec(&standing).unwrap_or_default();
    answer.push(b'\n');
    answer.extend_from_slice(content);
    answer
}

/// Reads its answer; `None` for what is not one.
pub fn decode(answer: &[u8]) -> Option<Settled<(OfferMetadata, &[u8])>> {
    let at = answer.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = answer.split_at_checked(at)?;
    Some(match serde_json::from_slice(line).ok()? {
        Standing::Pending => Settled::Pending,
        Standing::Positioned(metadata) => Settled::Positioned(metadata),
        Standing::Failed(failure) => Settled::Failed(failure),
        Standing::Ready(metadata) => Settled::Ready((metadata, rest.get(1..)?)),
    })
}

/// Makes sure that the ticket's object exists, near whoever calls, and will clean up after itself.
///
/// # Errors
/// [`Error::Platform`] when it cannot be reached.
pub async fn open(env: &Env, ticket: &Ticket) -> Result<(), Error> {
    ask(env, ticket, "POST", "open", None).await.map(|_| ())
}

/// Settles a ticket with the event that brings its settlement.
///
/// # Errors
/// [`Error::Platform`] when the object cannot be reached or fails: try again.
pub async fn settle(env: &Env, ticket: &Ticket, event: &Event) -> Result<EventResult, Error> {
    let answer = ask(env, ticket, "POST", "settle", Some(&event.to_json())).await?;
    serde_json::from_slice(&answer)
        .map_err(|error| Error::Platform(format!("the answer of {BINDING}: {error}")))
}

/// Returns how a ticket stands, after waiting for its settlement for up to `wait_seconds`. The bytes are to
/// be read with [`decode`].
///
/// # Errors
/// [`Error::Ticket`] when it has expired, [`Error::TooManyWaiters`], and [`Error::Platform`].
pub async fn read(env: &Env, ticket: &Ticket, wait_seconds: u32) -> Result<Vec<u8>, Error> {
    let what = format!("offer?wait={wait_seconds}");
    ask(env, ticket, "GET", &what, None).await
}

/// Hands a request for a stream or WebSocket on to the ticket's object.
///
/// # Errors
/// [`Error::Platform`] when it cannot be reached.
pub async fn forward(
    env: &Env,
    ticket: &Ticket,
    request: &web_sys::Request,
) -> Result<web_sys::Response, Error> {
    platform::forward(env, BINDING, &ticket.uuid().to_string(), request).await
}

async fn ask(
    env: &Env,
    ticket: &Ticket,
    method: &str,
    what: &str,
    body: Option<&str>,
) -> Result<Vec<u8>, Error> {
    let object = Object {
        binding: BINDING,
        name: &ticket.uuid().to_string(),
        hint: "",
    };
    let url = format!("http://ticket/tickets/{}/{what}", ticket.as_str());
    let (status, answer) = platform::ask(env, object, method, &url, body).await?;
    match status {
        200 | 204 => Ok(answer),
        410 => Err(TicketError::Expired.into()),
        503 => Err(Error::TooManyWaiters),
        status => Err(Error::Platform(format!("{BINDING} answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{
        settlement::Attributes,
        stamps::{Point, Stamps},
    };

    use super::*;

    fn settlement(outcome: Outcome) -> Settlement {
        Settlement {
            event_id: "e\n1".to_owned(),
            source: "/origin".to_owned(),
            attributes: Attributes {
                time: Some("2026-11-24T21:34:00Z".to_owned()),
                ..Attributes::default()
            },
            stamps: Stamps::default().with(Point::Received, 17),
            outcome,
        }
    }

    #[test]
    fn an_offer_crosses_with_all_that_is_known_of_it() {
        let ready = settlement(Outcome::Ready {
            media_type: "text/html".to_owned(),
            content: Content::Inline(b"\n<p>\n\xFF".to_vec()),
        });
        let answer = encode(Some(&ready));
        let Some(Settled::Ready((metadata, content))) = decode(&answer) else {
            panic!("{answer:?}");
        };
        assert_eq!(metadata.event_id, "e\n1");
        assert_eq!(metadata.media_type, "text/html");
        assert_eq!(metadata.attributes, ready.attributes);
        assert_eq!(metadata.stamps.get(Point::Received), Some(17));
        assert_eq!(content, b"\n<p>\n\xFF");
    }

    #[test]
    fn a_failure_crosses_with_its_reason() {
        let answer = encode(Some(&settlement(Outcome::Failed {
            reason: "no such customer".to_owned(),
        })));
        let Some(Settled::Failed(failure)) = decode(&answer) else {
            panic!("{answer:?}");
        };
        assert_eq!(failure.reason, "no such customer");
    }

    #[test]
    fn what_is_known_of_a_large_offer_crosses() {
        let answer = encode(Some(&settlement(Outcome::Ready {
            media_type: "text/html".to_owned(),
            content: Content::Positioned,
        })));
        let Some(Settled::Positioned(metadata)) = decode(&answer) else {
            panic!("{answer:?}");
        };
        assert_eq!(metadata.event_id, "e\n1");
        assert_eq!(metadata.media_type, "text/html");
    }

    #[test]
    fn a_ticket_without_an_offer_crosses_too() {
        assert_eq!(decode(&encode(None)), Some(Settled::Pending));
        assert_eq!(decode(b"nonsense"), None);
    }
}
