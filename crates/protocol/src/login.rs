//! Logins: what `POST /login` takes and answers, and the login event it becomes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    event::{Data, Event, TYPE_LOGIN},
    limits::MAX_USER_BYTES,
    stamps::{Point, Stamps},
    ticket::Ticket,
};

/// Why a login is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The body is not `{"user": "...", "attributes": {...}}`.
    #[error("the body must be {{\"user\": \"...\", \"attributes\": {{...}}}}: {0}")]
    Json(String),
    /// The user is empty, too long, or holds control characters.
    #[error("user must be 1 to {MAX_USER_BYTES} bytes without control characters")]
    User,
}

/// The body of `POST /login`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// Who logged in; 1 to 256 bytes, without control characters.
    pub user: String,
    /// What else the generator should know of this login.
    #[serde(default)]
    pub attributes: Map<String, Value>,
}

impl LoginRequest {
    /// Reads and checks a body.
    ///
    /// # Errors
    /// [`LoginError`], for what is not a login.
    pub fn from_json(body: &[u8]) -> Result<Self, LoginError> {
        let login: Self =
            serde_json::from_slice(body).map_err(|error| LoginError::Json(error.to_string()))?;
        if login.user.is_empty()
            || login.user.len() > MAX_USER_BYTES
            || login.user.chars().any(char::is_control)
        {
            return Err(LoginError::User);
        }
        Ok(login)
    }
}

/// Where the user is, as the edge's network sees it. Whatever it does not know is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Geo {
    /// ISO 3166-1 alpha-2 code of the country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Name of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Code of the continent, such as `EU`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continent: Option<String>,
    /// IANA name of the time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// The data of a login event: all that a generator gets to know.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LoginData {
    /// Who logged in.
    pub user: String,
    /// What else the site said of this login.
    #[serde(default)]
    pub attributes: Map<String, Value>,
    /// Where the user is.
    #[serde(default)]
    pub geo: Geo,
}

impl LoginData {
    /// Returns the login event for `ticket`, taken at `login_at_ms` by the clock of `source`. The event's id
    /// is the ticket's UUID, so a login that is stored or sent twice is one event.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    #[must_use]
    pub fn to_event(&self, ticket: &Ticket, source: &str, login_at_ms: u64) -> Event {
        let mut event = Event::new(ticket.uuid().to_string(), source, TYPE_LOGIN);
        event.subject = Some(ticket.as_str().to_owned());
        event.data = Some(Data::from_json(self).expect("a login has a JSON form"));
        Stamps::default()
            .with(Point::Login, login_at_ms)
            .write_to(&mut event);
        event
    }

    /// Returns the login of an event; `None` where it is not a login event.
    #[must_use]
    pub fn of_event(event: &Event) -> Option<Self> {
        (event.kind == TYPE_LOGIN)
            .then(|| event.json_data())
            .flatten()
    }
}

/// The answer of `POST /login` (202). Paths are relative to the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginAccepted {
    /// The ticket: whoever holds it can read the offer.
    pub ticket: String,
    /// Where the offer will be.
    pub offer: String,
    /// Where its arrival is told, as Server-Sent Events.
    pub events: String,
    /// Where its arrival is told, over a WebSocket.
    pub ws: String,
}

impl LoginAccepted {
    /// Returns the answer for `ticket`.
    #[must_use]
    pub fn new(ticket: &Ticket) -> Self {
        let offer = format!("/tickets/{}", ticket.as_str());
        Self {
            ticket: ticket.as_str().to_owned(),
            events: format!("{offer}/events"),
            ws: format!("{offer}/ws"),
            offer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Key;

    #[test]
    fn a_login_needs_a_user_and_takes_attributes() {
        let login = LoginRequest::from_json(br#"{"user":"12431"}"#).unwrap();
        assert_eq!(login.user, "12431");
        assert!(login.attributes.is_empty());
        for bad in [
            String::new(),
            "[]".to_owned(),
            r#"{"user":""}"#.to_owned(),
            r#"{"user":7}"#.to_owned(),
            r#"{"user":"a\u0000b"}"#.to_owned(),
            r#"{"user":"a","attributes":[]}"#.to_owned(),
            r#"{"user":"a","admin":true}"#.to_owned(),
            format!(r#"{{"user":"{}"}}"#, "x".repeat(MAX_USER_BYTES + 1)),
        ] {
            assert!(LoginRequest::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_login_event_is_read_as_it_was_written() {
        let key = Key::from_bytes(&[1; 32]).unwrap();
        let ticket = Ticket::mint(1_700_000_000_000, 0, [7; 8], &key);
        let login = LoginData {
            user: "12431".to_owned(),
            geo: Geo {
                country: Some("AU".to_owned()),
                ..Geo::default()
            },
            ..LoginData::default()
        };
        let event = login.to_event(&ticket, "/edge/LHR", 1_700_000_000_001);
        let read = Event::from_json(event.to_json().as_bytes()).unwrap();
        assert_eq!(LoginData::of_event(&read), Some(login));
        assert_eq!(read.subject.as_deref(), Some(ticket.as_str()));
        assert_eq!(
            Stamps::of_event(&read).get(Point::Login),
            Some(1_700_000_000_001)
        );
    }
}
