//! The channel: what edge and subscriber say to each other over the WebSocket of a topic,
//! `GET /topics/{topic}/ws`, or of several, `GET /topics?topic=a&topic=b`. Every message is one JSON
//! object with one member, whose name says what it is.
//!
//! ```text
//! subscriber -> edge   {"auth": {"token": "..."}}     first of all, where no other way brought the token
//! edge -> subscriber   {"welcome": {"subscriber": "...", "topics": {"a": 57}}}
//! edge -> subscriber   {"gap": {"topic": "a", "after": 42, "first": 50}}
//! edge -> subscriber   {"updates": [event, ...]}      what comes in the same instant is one message
//! subscriber -> edge   {"ack": {"topic": "a", "sequence": 57}}
//! edge -> subscriber   {"ping": {"n": 7}}             to be answered: the edge sees that it keeps up
//! subscriber -> edge   {"pong": {"n": 7}}
//! subscriber -> edge   {"here": {"place": {"latitude": -33.9, "longitude": 151.2}}}
//! subscriber -> edge   {"publish": {"event": event}}
//! edge -> subscriber   {"published": {"id": "1", "status": "accepted"}}
//! edge -> subscriber   {"problem": {"type": "...", "title": "...", "status": 403, "detail": "..."}}
//! ```
//!
//! What a subscriber sends is read strictly. What the edge sends is read so that an older subscriber
//! gets along with a newer edge: messages and members that it does not know are passed over.
//!
//! Beside these, the text [`PING_TEXT`] is answered [`PONG_TEXT`] without waking anything.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    event::{Event, EventError},
    problem::Problem,
    report::EventResult,
    topic::TopicName,
};

/// What a subscriber may send at any time to see whether the edge is there.
pub const PING_TEXT: &str = "ping";
/// What the edge answers to [`PING_TEXT`].
pub const PONG_TEXT: &str = "pong";

/// Close code: there was no token in time, it is not ours, or it has expired.
pub const CLOSE_TOKEN: u16 = 4001;
/// Close code: the token does not cover the topic.
pub const CLOSE_FORBIDDEN: u16 = 4003;
/// Close code: the subscriber did not keep up. It resumes by its cursor.
pub const CLOSE_SLOW: u16 = 4008;

/// Why a message is refused. Never repeats any part of it: it may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is not JSON, or no message of the channel.
    #[error("this is not a message of the channel: it goes wrong at line {line}, column {column}")]
    Malformed {
        /// Where it goes wrong, counted from 1.
        line: usize,
        /// Where in the line, in bytes counted from 1.
        column: usize,
    },
    /// It publishes an event that breaks a rule.
    #[error("the event is refused: {0}")]
    Event(#[from] EventError),
}

impl From<serde_json::Error> for MessageError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed {
            line: error.line(),
            column: error.column(),
        }
    }
}

/// A text that proves something to whoever knows it. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Returns the secret itself: for comparing and sending, never for a log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// The first that a subscriber hears, over Server-Sent Events too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The secret id under which this connection acks.
    pub subscriber: Secret,
    /// The head of each topic: the sequence of its latest update, 0 before the first one.
    pub topics: BTreeMap<TopicName, u64>,
}

/// Updates that the subscriber missed and that are kept no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The topic.
    pub topic: TopicName,
    /// The sequence of the last update that the subscriber has.
    pub after: u64,
    /// The sequence of the first update that is left, and follows. Not larger than `after` where the
    /// topic's numbering began anew.
    pub first: u64,
}

/// An update has arrived at the subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ack {
    /// The topic.
    pub topic: TopicName,
    /// The sequence of the update.
    pub sequence: u64,
}

/// Coordinates that are nowhere on earth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a latitude is from -90 to 90 degrees, a longitude from -180 to 180")]
pub struct PlaceError;

/// Where a client says it is, because its user lets it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Coordinates")]
pub struct Place {
    latitude: f64,
    longitude: f64,
}

impl Place {
    /// Returns the place at `latitude` degrees north and `longitude` degrees east.
    ///
    /// # Errors
    /// [`PlaceError`], for what is no place on earth.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, PlaceError> {
        if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
            Ok(Self {
                latitude,
                longitude,
            })
        } else {
            Err(PlaceError)
        }
    }

    /// Degrees north, from -90 to 90.
    #[must_use]
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east, from -180 to 180.
    #[must_use]
    pub fn longitude(self) -> f64 {
        self.longitude
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coordinates {
    latitude: f64,
    longitude: f64,
}

impl TryFrom<Coordinates> for Place {
    type Error = PlaceError;

    fn try_from(at: Coordinates) -> Result<Self, PlaceError> {
        Self::new(at.latitude, at.longitude)
    }
}

/// A message from the edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// The first message; where a token is needed, after it.
    Welcome(Welcome),
    /// One or more updates, each topic's in its order.
    Updates(Vec<Event>),
    /// Some updates are lost to this subscriber.
    Gap(Gap),
    /// To be answered with [`Up::Pong`].
    Ping {
        /// To be sent back.
        n: u64,
    },
    /// What became of a published event.
    Published(EventResult),
    /// What went wrong; a close may follow.
    Problem(Problem),
}

impl Down {
    const NAMES: [&str; 6] = ["welcome", "updates", "gap", "ping", "published", "problem"];

    /// Reads a message; `None` for one that only a later edge sends.
    ///
    /// # Errors
    /// [`MessageError::Malformed`].
    pub fn from_json(text: &str) -> Result<Option<Self>, MessageError> {
        serde_json::from_str(text).map(Some).or_else(|error| {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            if members.is_empty()
                || members
                    .keys()
                    .any(|name| Self::NAMES.contains(&name.as_str()))
            {
                Err(error.into())
            } else {
                Ok(None)
            }
        })
    }

    /// Returns the message in JSON.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a message has only string keys and valid JSON")
    }
}

/// Returns the message [`Down::Updates`] of events that are JSON already, so that what goes to many
/// subscribers is encoded once.
#[must_use]
pub fn updates_message<'a>(events: impl IntoIterator<Item = &'a str>) -> String {
    let mut message = String::from(r#"{"updates":["#);
    for (index, event) in events.into_iter().enumerate() {
        if index > 0 {
            message.push(',');
        }
        message.push_str(event);
    }
    message.push_str("]}");
    message
}

/// A message from the subscriber.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Up {
    /// Who the subscriber is; the first message, where a topic needs a token and the handshake
    /// brought none.
    Auth {
        /// The token.
        token: Secret,
    },
    /// An update has arrived.
    Ack(Ack),
    /// The answer to [`Down::Ping`].
    Pong {
        /// The number of the ping.
        n: u64,
    },
    /// A sign of life.
    Here {
        /// Where the client is, if it says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<Place>,
    },
    /// An update by the subscriber itself.
    Publish {
        /// The update.
        event: Box<Event>,
    },
}

impl Up {
    /// Reads and checks a message.
    ///
    /// # Errors
    /// [`MessageError`], for everything that is not exactly a message of the channel.
    pub fn from_json(text: &str) -> Result<Self, MessageError> {
        let message: Self = serde_json::from_str(text)?;
        if let Self::Publish { event } = &message {
            event.validate()?;
        }
        Ok(message)
    }

    /// Returns the message in JSON.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a message has only string keys and valid JSON")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        event::{Data, TYPE_UPDATE},
        report::Status,
        topic::tests::topic,
    };

    const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"dev.headstart.update","subject":"a","data":{ "b":1,"a":2 }}"#;

    fn event() -> Event {
        let mut event = Event::new("1", "/s", TYPE_UPDATE);
        event.subject = Some("a".to_owned());
        event.data = Some(Data::from_content(
            "application/json",
            br#"{ "b":1,"a":2 }"#.to_vec(),
        ));
        event
    }

    fn secret(text: &str) -> Secret {
        text.to_owned().into()
    }

    #[test]
    fn what_the_edge_says_is_written_as_documented() {
        for (message, json) in [
            (
                Down::Welcome(Welcome {
                    subscriber: secret("s"),
                    topics: BTreeMap::from([(topic("a"), 57)]),
                }),
                r#"{"welcome":{"subscriber":"s","topics":{"a":57}}}"#.to_owned(),
            ),
            (
                Down::Updates(vec![event(), event()]),
                format!(r#"{{"updates":[{EVENT},{EVENT}]}}"#),
            ),
            (
                Down::Gap(Gap {
                    topic: topic("a"),
                    after: 42,
                    first: 50,
                }),
                r#"{"gap":{"topic":"a","after":42,"first":50}}"#.to_owned(),
            ),
            (Down::Ping { n: 7 }, r#"{"ping":{"n":7}}"#.to_owned()),
            (
                Down::Published(EventResult {
                    id: "1".to_owned(),
                    status: Status::Accepted,
                    reason: None,
                }),
                r#"{"published":{"id":"1","status":"accepted"}}"#.to_owned(),
            ),
            (
                Down::Problem(Problem::new(403, "topic-forbidden", "Forbidden", "no")),
                r#"{"problem":{"type":"urn:headstart:topic-forbidden","title":"Forbidden","status":403,"detail":"no"}}"#.to_owned(),
            ),
        ] {
            assert_eq!(message.to_json(), json);
            assert_eq!(Down::from_json(&json), Ok(Some(message)));
        }
    }

    #[test]
    fn what_a_subscriber_says_is_written_as_documented() {
        for (message, json) in [
            (
                Up::Auth { token: secret("t") },
                r#"{"auth":{"token":"t"}}"#.to_owned(),
            ),
            (
                Up::Ack(Ack {
                    topic: topic("a"),
                    sequence: 42,
                }),
                r#"{"ack":{"topic":"a","sequence":42}}"#.to_owned(),
            ),
            (Up::Pong { n: 7 }, r#"{"pong":{"n":7}}"#.to_owned()),
            (Up::Here { place: None }, r#"{"here":{}}"#.to_owned()),
            (
                Up::Here {
                    place: Some(Place::new(-33.9, 151.2).unwrap()),
                },
                r#"{"here":{"place":{"latitude":-33.9,"longitude":151.2}}}"#.to_owned(),
            ),
            (
                Up::Publish {
                    event: Box::new(event()),
                },
                format!(r#"{{"publish":{{"event":{EVENT}}}}}"#),
            ),
        ] {
            assert_eq!(message.to_json(), json);
            assert_eq!(Up::from_json(&json), Ok(message));
        }
    }

    #[test]
    fn encoded_updates_make_the_same_message() {
        for count in 0..3 {
            let encoded = updates_message(std::iter::repeat_n(EVENT, count));
            assert_eq!(encoded, Down::Updates(vec![event(); count]).to_json());
        }
    }

    #[test]
    fn what_is_not_exactly_a_message_of_a_subscriber_is_refused() {
        for bad in [
            "",
            "{}",
            "[]",
            "ping",
            r#""here""#,
            r#"{"later":{}}"#,
            r#"{"ping":{"n":7}}"#,
            r#"{"pong":{"n":7},"here":{}}"#,
            r#"{"pong":{"n":7}} x"#,
            r#"{"pong":{"n":7,"m":8}}"#,
            r#"{"pong":{"n":-1}}"#,
            r#"{"pong":{}}"#,
            r#"{"auth":{"token":7}}"#,
            r#"{"auth":{"token":"t","more":1}}"#,
            r#"{"ack":{"topic":"a","sequence":1,"more":1}}"#,
            r#"{"ack":{"topic":"../a","sequence":1}}"#,
            r#"{"here":{"at":1}}"#,
            r#"{"here":{"place":{"latitude":1}}}"#,
            r#"{"here":{"place":{"latitude":1,"longitude":1,"altitude":1}}}"#,
            r#"{"here":{"place":{"latitude":90.1,"longitude":1}}}"#,
            r#"{"here":{"place":{"latitude":1,"longitude":-180.1}}}"#,
            r#"{"here":{"place":{"latitude":1e999,"longitude":1}}}"#,
            r#"{"publish":{}}"#,
            r#"{"publish":{"event":{}}}"#,
        ] {
            let found = Up::from_json(bad);
            assert!(
                matches!(found, Err(MessageError::Malformed { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_published_event_keeps_the_rules_of_events() {
        let json = format!(r#"{{"publish":{{"event":{EVENT}}}}}"#).replace(r#""1","#, r#""","#);
        assert_eq!(
            Up::from_json(&json),
            Err(MessageError::Event(EventError::Missing("id")))
        );
    }

    #[test]
    fn a_subscriber_gets_along_with_a_later_edge() {
        assert_eq!(Down::from_json(r#"{"later":{"a":1}}"#), Ok(None));
        assert_eq!(
            Down::from_json(r#"{"ping":{"n":7,"later":true}}"#),
            Ok(Some(Down::Ping { n: 7 }))
        );
        let gap = r#"{"gap":{"topic":"a","after":1,"first":3,"later":true}}"#;
        assert!(matches!(Down::from_json(gap), Ok(Some(Down::Gap(_)))));
        let welcome = r#"{"welcome":{"subscriber":"s","topics":{},"later":true}}"#;
        assert!(matches!(
            Down::from_json(welcome),
            Ok(Some(Down::Welcome(_)))
        ));
    }

    #[test]
    fn a_known_message_that_is_malformed_is_not_taken_for_a_later_one() {
        for name in Down::NAMES {
            assert!(Down::from_json(&format!(r#"{{"{name}":7}}"#)).is_err());
        }
        for bad in ["", "{}", "7", PONG_TEXT, r#"{"ping":{"n":7},"later":1}"#] {
            assert!(Down::from_json(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_a_secret() {
        let auth = Up::from_json(r#"{"auth":{"token":"hidden"}}"#).unwrap();
        let welcome =
            Down::from_json(r#"{"welcome":{"subscriber":"hidden","topics":{}}}"#).unwrap();
        let error = Up::from_json(r#"{"auth":"hidden"}"#).unwrap_err();
        for text in [
            format!("{auth:?}"),
            format!("{welcome:?}"),
            format!("{error} {error:?}"),
        ] {
            assert!(!text.contains("hidden"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn only_a_place_on_earth_is_one(latitude: f64, longitude: f64, inside in (-90.0..=90.0, -180.0..=180.0)) {
            let on_earth = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
            prop_assert_eq!(Place::new(latitude, longitude).is_ok(), on_earth);
            prop_assert!(Place::new(inside.0, inside.1).is_ok());
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in "\\PC{0,60}|\\{\"(auth|ack|pong|here|publish)\":\\PC{0,20}\\}") {
            prop_assume!(serde_json::from_str::<serde_json::Value>(&text).is_err());
            prop_assert!(Up::from_json(&text).is_err());
            prop_assert!(Down::from_json(&text).is_err());
        }
    }
}
