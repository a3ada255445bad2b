//! How a ticket settles: `pending -> ready | failed`, once and for all.

use std::collections::BTreeMap;

use crate::{
    event::{Data, Event, TYPE_OFFER_FAILED, TYPE_OFFER_READY},
    limits::{MAX_EXTENSIONS, MAX_INLINE_OFFER_BYTES, MAX_REASON_BYTES},
    stamps::{Point, Stamps},
    ticket::Ticket,
};
use serde::{Deserialize, Serialize};

/// Why an event does not settle a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettlementError {
    /// The event is of another type.
    #[error("the event's type does not settle a ticket")]
    Type,
    /// The event names no ticket.
    #[error("the event's subject must be the ticket")]
    Subject,
    /// The offer is neither inline nor named by `dataref`.
    #[error("the event carries neither data nor dataref")]
    NoOffer,
    /// The offer is too large to travel inline.
    #[error(
        "an inline offer may have {MAX_INLINE_OFFER_BYTES} bytes; position larger ones and send dataref"
    )]
    TooLarge,
    /// A failure without `{"reason": "..."}`.
    #[error("the data must be {{\"reason\": \"...\"}}")]
    NoReason,
    /// No room is left for the edge's own stamps.
    #[error(
        "an event that settles a ticket may have {} extensions beside the edge's own stamps",
        MAX_EXTENSIONS - OF_THE_EDGE.len()
    )]
    TooManyExtensions,
}

/// The stamps that the edge adds to an event that settles a ticket.
const OF_THE_EDGE: [Point; 2] = [Point::Received, Point::Delivered];

/// Where an offer's content is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Here.
    Inline(Vec<u8>),
    /// In KV, positioned before the event was sent.
    Positioned,
}

/// What a ticket settles to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The offer.
    Ready {
        /// Media type of the offer.
        media_type: String,
        /// The offer itself.
        content: Content,
    },
    /// There will be no offer.
    Failed {
        /// Why, in words fit for whoever waits.
        reason: String,
    },
}

/// What its sender says of an event beside what is read here, for whoever is told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// When it happened, in RFC 3339, as its sender wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Extension attributes that are no stamps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
}

/// A ticket's settlement, as the event that brings it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Id of the event.
    pub event_id: String,
    /// Source of the event.
    pub source: String,
    /// What else its sender says of the event.
    pub attributes: Attributes,
    /// The stamps collected so far.
    pub stamps: Stamps,
    /// What the ticket settles to.
    pub outcome: Outcome,
}

#[derive(Serialize, Deserialize)]
struct Failure {
    reason: String,
}

impl Settlement {
    /// Reads the settlement that an event brings, and the text of the ticket it settles.
    ///
    /// # Errors
    /// [`SettlementError`], for an event that does not settle a ticket.
    pub fn of_event(mut event: Event) -> Result<(String, Self), SettlementError> {
        let stamps = Stamps::of_event(&event);
        let of_sender = |name: &str| OF_THE_EDGE.iter().all(|point| point.name() != name);
        let own = event.extensions.keys().filter(|name| of_sender(name));
        if own.count() + OF_THE_EDGE.len() > MAX_EXTENSIONS {
            return Err(SettlementError::TooManyExtensions);
        }
        event
            .extensions
            .retain(|name, _| Point::ALL.iter().all(|point| point.name() != name));
        let outcome = match event.kind.as_str() {
            TYPE_OFFER_READY => Outcome::Ready {
                media_type: event.media_type().to_owned(),
                content: match (&event.data, &event.dataref) {
                    (Some(data), None) => {
                        let bytes = data.as_bytes();
                        if bytes.len() > MAX_INLINE_OFFER_BYTES {
                            return Err(SettlementError::TooLarge);
                        }
                        Content::Inline(bytes.to_vec())
                    }
                    (None, Some(_)) => Content::Positioned,
                    _ => return Err(SettlementError::NoOffer),
                },
            },
            TYPE_OFFER_FAILED => Outcome::Failed {
                reason: event
                    .json_data::<Failure>()
                    .ok_or(SettlementError::NoReason)?
                    .reason,
            },
            _ => return Err(SettlementError::Type),
        };
        let ticket = event.subject.ok_or(SettlementError::Subject)?;
        Ok((
            ticket,
            Self {
                event_id: event.id,
                source: event.source,
                attributes: Attributes {
                    time: event.time,
                    extensions: event.extensions,
                },
                stamps,
                outcome,
            },
        ))
    }

    /// Returns the event that brings this settlement to `ticket`. An offer that is already positioned, or too
    /// large to travel inline, is named by `dataref`: its path at the edge.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    #[must_use]
    pub fn to_event(&self, ticket: &Ticket) -> Event {
        let mut event = Event::new(&self.event_id, &self.source, self.kind());
        event.subject = Some(ticket.as_str().to_owned());
        event.time.clone_from(&self.attributes.time);
        event.extensions.clone_from(&self.attributes.extensions);
        match &self.outcome {
            Outcome::Ready {
                media_type,
                content,
            } => {
                event.datacontenttype = Some(media_type.clone());
                match content {
                    Content::Inline(bytes) if bytes.len() <= MAX_INLINE_OFFER_BYTES => {
                        event.data = Some(Data::from_content(media_type, bytes.clone()));
                    }
                    Content::Inline(_) | Content::Positioned => {
                        event.dataref = Some(format!("/tickets/{}", ticket.as_str()));
                    }
                }
            }
            Outcome::Failed { reason } => {
                let reason = cut(reason, MAX_REASON_BYTES).to_owned();
                event.data =
                    Some(Data::from_json(&Failure { reason }).expect("a reason has a JSON form"));
            }
        }
        self.stamps.write_to(&mut event);
        event
    }

    /// Returns the type of the event that brings it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.outcome {
            Outcome::Ready { .. } => TYPE_OFFER_READY,
            Outcome::Failed { .. } => TYPE_OFFER_FAILED,
        }
    }

    /// Returns the name under which a waiting client is told: the SSE `event:` field.
    #[must_use]
    pub fn sse_name(&self) -> &'static str {
        match self.outcome {
            Outcome::Ready { .. } => "offer",
            Outcome::Failed { .. } => "failed",
        }
    }
}

/// Returns the longest beginning of `text` that has at most `bytes` bytes and ends between characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Key;

    fn ticket() -> Ticket {
        Ticket::mint(
            1_700_000_000_000,
            0,
            [7; 8],
            &Key::from_bytes(&[1; 32]).unwrap(),
        )
    }

    fn settlement(outcome: Outcome) -> Settlement {
        Settlement {
            event_id: "e1".to_owned(),
            source: "/origin".to_owned(),
            attributes: Attributes {
                time: Some("2026-11-24T21:34:00Z".to_owned()),
                extensions: BTreeMap::from([("traceparent".to_owned(), "00-1".to_owned())]),
            },
            stamps: Stamps::default().with(Point::Started, 17),
            outcome,
        }
    }

    fn ready(bytes: Vec<u8>) -> Settlement {
        settlement(Outcome::Ready {
            media_type: "application/json".to_owned(),
            content: Content::Inline(bytes),
        })
    }

    #[test]
    fn a_settlement_is_read_as_it_was_written() {
        for settlement in [
            ready(b"{ \"a\": 1 }".to_vec()),
            ready(vec![0xFF]),
            settlement(Outcome::Failed {
                reason: "no such customer".to_owned(),
            }),
            settlement(Outcome::Ready {
                media_type: "text/html".to_owned(),
                content: Content::Positioned,
            }),
        ] {
            let json = settlement.to_event(&ticket()).to_json();
            let event = Event::from_json(json.as_bytes()).unwrap();
            let (subject, read) = Settlement::of_event(event).unwrap();
            assert_eq!(subject, ticket().as_str());
            assert_eq!(read, settlement);
        }
    }

    #[test]
    fn a_large_offer_is_named_and_not_carried() {
        let event = ready(vec![b'1'; MAX_INLINE_OFFER_BYTES + 1]).to_event(&ticket());
        assert_eq!(event.data, None);
        assert_eq!(
            event.dataref,
            Some(format!("/tickets/{}", ticket().as_str()))
        );
    }

    #[test]
    fn a_large_offer_that_is_carried_all_the_same_is_refused() {
        let mut event = ready(b"1".to_vec()).to_event(&ticket());
        event.data = Some(Data::Text("x".repeat(MAX_INLINE_OFFER_BYTES + 1)));
        assert_eq!(Settlement::of_event(event), Err(SettlementError::TooLarge));
    }

    #[test]
    fn an_event_that_settles_nothing_is_refused() {
        let good = ready(b"1".to_vec()).to_event(&ticket());
        let with = |change: fn(&mut Event)| {
            let mut event = good.clone();
            change(&mut event);
            Settlement::of_event(event).unwrap_err()
        };
        assert_eq!(with(|e| e.kind = "x".into()), SettlementError::Type);
        assert_eq!(with(|e| e.subject = None), SettlementError::Subject);
        assert_eq!(with(|e| e.data = None), SettlementError::NoOffer);
        assert_eq!(
            with(|e| e.kind = TYPE_OFFER_FAILED.into()),
            SettlementError::NoReason
        );
    }

    #[test]
    fn the_fullest_event_is_still_one_when_it_is_delivered() {
        let with = |count: usize| {
            let mut event = ready(b"1".to_vec()).to_event(&ticket());
            event.extensions = (0..count)
                .map(|n| (format!("x{n}"), String::new()))
                .collect();
            Settlement::of_event(event)
        };
        let most = MAX_EXTENSIONS - OF_THE_EDGE.len();
        let (_, mut settlement) = with(most).unwrap();
        for point in OF_THE_EDGE {
            settlement.stamps = settlement.stamps.with(point, 17);
        }
        assert_eq!(settlement.to_event(&ticket()).validate(), Ok(()));
        assert_eq!(with(most + 1), Err(SettlementError::TooManyExtensions));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let event = settlement(Outcome::Failed {
            reason: "€".repeat(MAX_REASON_BYTES),
        })
        .to_event(&ticket());
        let failure: Failure = event.json_data().unwrap();
        assert_eq!(failure.reason, "€".repeat(MAX_REASON_BYTES / 3));
    }
}
