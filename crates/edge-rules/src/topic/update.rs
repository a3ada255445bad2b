//! One update as a topic's objects hold it and hand it on: its sequence, and the JSON of its event,
//! which is written once and never read again on the way to a subscriber.

use std::sync::Arc;

use headstart_protocol::{event::Event, stamps::Point};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::value::RawValue;

/// A text is not what [`EventJson`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an event in JSON")]
pub struct NotAnEvent;

/// The JSON of an event: an object with at least one member. Cloning it copies a pointer.
#[derive(Debug, Clone)]
pub struct EventJson(Arc<RawValue>);

impl EventJson {
    /// Writes an event.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let raw = serde_json::value::to_raw_value(event)
            .expect("an event has only string keys and valid JSON");
        Self(raw.into())
    }

    /// Takes over a text that was written before.
    ///
    /// # Errors
    /// [`NotAnEvent`], for what is not a JSON object with at least one member.
    pub fn read(text: String) -> Result<Self, NotAnEvent> {
        Self::from_raw(RawValue::from_string(text).map_err(|_| NotAnEvent)?)
    }

    fn from_raw(raw: Box<RawValue>) -> Result<Self, NotAnEvent> {
        let members = raw
            .get()
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        if members.is_some_and(|members| !members.trim().is_empty()) {
            Ok(Self(raw.into()))
        } else {
            Err(NotAnEvent)
        }
    }

    /// Returns the event's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Returns the text with the stamp `deliveredat` as its last member.
    ///
    /// An object with members ends with `}`, and before that another member may always stand. So the
    /// stamp is put there, and every byte of the event, its data above all, stays as it is. A topic
    /// removes a sender's own `deliveredat`, so there are never two.
    #[must_use]
    pub fn delivered(&self, at_ms: u64) -> String {
        let text = self.as_str();
        let open = text.strip_suffix('}').unwrap_or(text);
        format!("{open},\"{}\":\"{at_ms}\"}}", Point::Delivered.name())
    }
}

/// Equal when the bytes are.
impl PartialEq for EventJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for EventJson {}

/// The object itself, not a string that holds it.
impl Serialize for EventJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EventJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_raw(Box::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// One update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Its number in the topic: from 1, and 1 more than the one before it.
    pub sequence: u64,
    /// Its event, numbered and stamped, all but `deliveredat`.
    pub event: EventJson,
}

#[cfg(test)]
pub(super) mod tests {
    use headstart_protocol::event::Data;
    use proptest::prelude::*;

    use super::*;

    /// Returns an update whose data is its sequence.
    pub(in crate::topic) fn update(sequence: u64) -> Update {
        let mut event = Event::new(sequence.to_string(), "/s", "t");
        event.data = Some(Data::from_json(&sequence).unwrap());
        Update {
            sequence,
            event: EventJson::of(&event),
        }
    }

    #[test]
    fn an_update_is_read_as_it_was_written() {
        let json = r#"{"sequence":7,"event":{"specversion":"1.0","data":{ "b":1,"a":2 }}}"#;
        let read: Update = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }

    #[test]
    fn only_an_object_with_members_is_an_event() {
        for wrong in ["", "1", "[1]", "{}", "{ }", "\"{1}\"", r#"{"a":1"#] {
            assert_eq!(
                EventJson::read(wrong.to_owned()),
                Err(NotAnEvent),
                "{wrong}"
            );
        }
        assert!(EventJson::read("{\"a\":1 }\n".to_owned()).is_ok());
        assert!(serde_json::from_str::<EventJson>("{}").is_err());
    }

    proptest! {
        #[test]
        fn the_stamp_is_added_and_the_data_stays_byte_for_byte(
            text in any::<String>(), space in "[ \n\t]{0,3}", at_ms: u64,
        ) {
            let data = format!("{{{space}\"x\":{space}{}{space}}}", serde_json::to_string(&text).unwrap());
            let mut event = Event::new("1", "/s", "t");
            event.data = Some(Data::from_content("application/json", data.clone().into_bytes()));
            let delivered = EventJson::of(&event).delivered(at_ms);
            let read = Event::from_json(delivered.as_bytes()).unwrap();
            prop_assert_eq!(read.data.as_ref().map(Data::as_bytes), Some(data.as_bytes()));
            prop_assert_eq!(&read.extensions["deliveredat"], &at_ms.to_string());
        }
    }
}
