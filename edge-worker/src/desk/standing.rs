//! How a desk says how a ticket stands: a line of JSON, then the offer if it has one.

use headstart_edge_rules::{lookup::Settled, ticket::Failure};
use headstart_protocol::{
    kv::OfferMetadata,
    settlement::{Content, Outcome, Settlement},
};
use serde::{Deserialize, Serialize};

/// How a ticket stands: the first line of the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Pending,
    Ready(OfferMetadata),
    Positioned(OfferMetadata),
    Failed(Failure),
}

/// Returns the answer for a ticket that has settled, or not yet.
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

/// Reads the answer; `None` for what is not one.
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
