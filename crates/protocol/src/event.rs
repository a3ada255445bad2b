//! Events on the wire: [CloudEvents 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md)
//! in the JSON format, single or in a batch.
//!
//! JSON data is kept as the very bytes that were sent, so an offer reads the same whichever way it
//! came. Binary content mode is in [`crate::binary_mode`].

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use crate::limits::{MAX_ATTRIBUTE_BYTES, MAX_EXTENSIONS};

/// The `type` of a login event (edge to origin).
pub const TYPE_LOGIN: &str = "dev.headstart.login";
/// The `type` of an event that settles a ticket with its offer (origin to edge).
pub const TYPE_OFFER_READY: &str = "dev.headstart.offer.ready";
/// The `type` of an event that settles a ticket as failed (origin to edge).
pub const TYPE_OFFER_FAILED: &str = "dev.headstart.offer.failed";
/// The `type` of an update of a topic (origin to edge, edge to subscribers).
pub const TYPE_UPDATE: &str = "dev.headstart.update";

/// Media type of one event in structured mode.
pub const MEDIA_TYPE_EVENT: &str = "application/cloudevents+json";
/// Media type of a batch of events.
pub const MEDIA_TYPE_BATCH: &str = "application/cloudevents-batch+json";

const JSON: &str = "application/json";

/// Why an event is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The text is not a JSON object with string attributes.
    #[error("not a CloudEvent in JSON: {0}")]
    Json(String),
    /// A required attribute is absent or empty.
    #[error("the attribute {0} is missing or empty")]
    Missing(&'static str),
    /// `specversion` is not `1.0`.
    #[error("specversion must be 1.0")]
    Version,
    /// An attribute is longer than [`MAX_ATTRIBUTE_BYTES`].
    #[error("the attribute {0} is longer than {MAX_ATTRIBUTE_BYTES} bytes")]
    TooLong(String),
    /// A value holds a control character, which CloudEvents' String forbids.
    #[error("the attribute {0} holds a control character")]
    ControlCharacter(String),
    /// An extension's name is not made of `a-z` and `0-9`.
    #[error("an extension's name must be made of a-z and 0-9")]
    ExtensionName,
    /// There are more than [`MAX_EXTENSIONS`] extensions.
    #[error("there are more than {MAX_EXTENSIONS} extensions")]
    TooManyExtensions,
    /// The data does not fit `datacontenttype`, or is there twice.
    #[error("{0}")]
    Data(&'static str),
    /// A header of binary mode is not percent-encoded UTF-8.
    #[error("the header {0} is not percent-encoded UTF-8")]
    Header(String),
}

/// What an event carries.
#[derive(Debug, Clone)]
pub enum Data {
    /// JSON, as the very text that was sent.
    Json(Box<RawValue>),
    /// Text of another media type.
    Text(String),
    /// Anything else; base64 in the JSON format.
    Binary(Vec<u8>),
}

impl Data {
    /// Wraps content for an event: as JSON where its media type says so and it is, else as text where
    /// it is UTF-8, else as binary.
    #[must_use]
    pub fn from_content(media_type: &str, bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Err(error) => Self::Binary(error.into_bytes()),
            Ok(text) if is_json(media_type) => RawValue::from_string(text.clone())
                .map_or(Self::Binary(text.into_bytes()), Self::Json),
            Ok(text) => Self::Text(text),
        }
    }

    /// Returns JSON data from a value.
    ///
    /// # Errors
    /// Those of [`serde_json::value::to_raw_value`].
    pub fn from_json<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self::Json)
    }

    /// Returns the content as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Json(raw) => raw.get().as_bytes(),
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Equal when the kind and the bytes are.
impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && self.as_bytes() == other.as_bytes()
    }
}

/// One event. Its `id` is unique within its `source`.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Names the event within its source.
    pub id: String,
    /// Names who says so: a URI reference, such as `/origin/london-1`.
    pub source: String,
    /// What happened: one of the `TYPE_` constants, or a type of the sender's own.
    pub kind: String,
    /// What it happened to: the ticket or the topic.
    pub subject: Option<String>,
    /// When it happened, in RFC 3339, as its sender wrote it.
    pub time: Option<String>,
    /// Media type of the data; JSON where absent.
    pub datacontenttype: Option<String>,
    /// Where the data is, for content too large to travel inline.
    pub dataref: Option<String>,
    /// Every other attribute, in canonical string form.
    pub extensions: BTreeMap<String, String>,
    /// What it carries.
    pub data: Option<Data>,
}

impl Event {
    /// Returns an event without the optional attributes.
    #[must_use]
    pub fn new(id: impl Into<String>, source: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            kind: kind.into(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataref: None,
            extensions: BTreeMap::new(),
            data: None,
        }
    }

    /// Reads one event in the JSON format.
    ///
    /// # Errors
    /// [`EventError`], for what is not a CloudEvent 1.0 or breaks a limit.
    pub fn from_json(json: &[u8]) -> Result<Self, EventError> {
        let event: Self =
            serde_json::from_slice(json).map_err(|error| EventError::Json(error.to_string()))?;
        event.validate()?;
        Ok(event)
    }

    /// Splits a batch into its events, each read by itself: one that is refused does not take the
    /// others with it.
    ///
    /// # Errors
    /// [`EventError::Json`] when the whole is not a JSON array.
    pub fn batch_from_json(json: &[u8]) -> Result<Vec<Result<Self, EventError>>, EventError> {
        let items: Vec<&RawValue> =
            serde_json::from_slice(json).map_err(|error| EventError::Json(error.to_string()))?;
        Ok(items
            .into_iter()
            .map(|item| Self::from_json(item.get().as_bytes()))
            .collect())
    }

    /// Returns the event in the JSON format, on one line unless its own data has line ends.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an event has only string keys and valid JSON")
    }

    /// Returns the media type of the data.
    #[must_use]
    pub fn media_type(&self) -> &str {
        self.datacontenttype.as_deref().unwrap_or(JSON)
    }

    /// Reads JSON data into a type; `None` where there is no data, it is not JSON or does not fit.
    #[must_use]
    pub fn json_data<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        match self.data.as_ref()? {
            Data::Json(raw) => serde_json::from_str(raw.get()).ok(),
            Data::Text(_) | Data::Binary(_) => None,
        }
    }

    /// Checks what the format alone does not: limits, required attributes, control characters.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), EventError> {
        for (name, value) in [
            ("id", &self.id),
            ("source", &self.source),
            ("type", &self.kind),
        ] {
            if value.is_empty() {
                return Err(EventError::Missing(name));
            }
        }
        if self.extensions.len() > MAX_EXTENSIONS {
            return Err(EventError::TooManyExtensions);
        }
        if !self.extensions.keys().all(|name| is_extension_name(name)) {
            return Err(EventError::ExtensionName);
        }
        for (name, value) in self.attributes() {
            if value.len() > MAX_ATTRIBUTE_BYTES {
                return Err(EventError::TooLong(name.to_owned()));
            }
            if value.chars().any(char::is_control) {
                return Err(EventError::ControlCharacter(name.to_owned()));
            }
        }
        match &self.data {
            Some(Data::Json(_)) if !is_json(self.media_type()) => Err(EventError::Data(
                "data of a media type that is not JSON must be a string, or base64 in data_base64",
            )),
            _ => Ok(()),
        }
    }

    /// Returns every attribute by name, `specversion` left out.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        [
            ("id", Some(&self.id)),
            ("source", Some(&self.source)),
            ("type", Some(&self.kind)),
            ("subject", self.subject.as_ref()),
            ("time", self.time.as_ref()),
            ("datacontenttype", self.datacontenttype.as_ref()),
            ("dataref", self.dataref.as_ref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.as_str())))
        .chain(
            self.extensions
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        )
    }

    /// Sets an attribute by its name on the wire.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        match name {
            "id" => self.id = value,
            "source" => self.source = value,
            "type" => self.kind = value,
            "subject" => self.subject = Some(value),
            "time" => self.time = Some(value),
            "datacontenttype" => self.datacontenttype = Some(value),
            "dataref" => self.dataref = Some(value),
            _ => {
                self.extensions.insert(name.to_owned(), value);
            }
        }
    }
}

/// Returns whether a media type is JSON: `*/json` or `*/*+json`, whatever its parameters.
#[must_use]
pub fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.rsplit('/').next().unwrap_or_default();
    subtype.eq_ignore_ascii_case("json")
        || subtype
            .len()
            .checked_sub("+json".len())
            .and_then(|at| subtype.get(at..))
            .is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

fn is_extension_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_ATTRIBUTE_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        for (name, value) in self.attributes() {
            map.serialize_entry(name, value)?;
        }
        match &self.data {
            None => {}
            Some(Data::Json(raw)) => map.serialize_entry("data", raw)?,
            Some(Data::Text(text)) => map.serialize_entry("data", text)?,
            Some(Data::Binary(bytes)) => {
                map.serialize_entry("data_base64", &STANDARD.encode(bytes))?;
            }
        }
        map.end()
    }
}

/// Reads the format; the rules of [`Event::validate`] are checked by [`Event::from_json`].
/// Works with `serde_json`'s own deserializers only, since the data is taken over as raw text.
impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a CloudEvent as a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Event, A::Error> {
        let mut event = Event::new("", "", "");
        let mut version = None;
        let mut data: Option<Box<RawValue>> = None;
        let mut data_base64: Option<String> = None;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "specversion" => version = Some(map.next_value::<String>()?),
                "data" => data = Some(map.next_value()?),
                "data_base64" => data_base64 = map.next_value()?,
                _ => {
                    if let Some(value) = map.next_value::<Attribute>()?.0 {
                        event.set(&name, value);
                    }
                }
            }
        }
        if version.as_deref() != Some("1.0") {
            return Err(A::Error::custom(EventError::Version));
        }
        event.data = read_data(&event, data, data_base64).map_err(A::Error::custom)?;
        Ok(event)
    }
}

fn read_data(
    event: &Event,
    data: Option<Box<RawValue>>,
    data_base64: Option<String>,
) -> Result<Option<Data>, EventError> {
    match (data, data_base64) {
        (Some(_), Some(_)) => Err(EventError::Data(
            "data and data_base64 exclude each other",
        )),
        (None, None) => Ok(None),
        (None, Some(encoded)) => STANDARD
            .decode(encoded)
            .map(|bytes| Some(Data::Binary(bytes)))
            .map_err(|_| EventError::Data("data_base64 is not base64")),
        (Some(raw), None) if is_json(event.media_type()) => Ok(Some(Data::Json(raw))),
        (Some(raw), None) => serde_json::from_str(raw.get())
            .map(|text| Some(Data::Text(text)))
            .map_err(|_| {
                EventError::Data(
                    "data of a media type that is not JSON must be a string, or base64 in data_base64",
                )
            }),
    }
}

/// An attribute's value in canonical string form; `None` for JSON's null, which means absent.
struct Attribute(Option<String>);

impl<'de> Deserialize<'de> for Attribute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde_json::Value;
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self(None)),
            Value::Bool(value) => Ok(Self(Some(value.to_string()))),
            Value::Number(value) if !value.is_f64() => Ok(Self(Some(value.to_string()))),
            Value::String(value) => Ok(Self(Some(value))),
            _ => Err(D::Error::custom(
                "an attribute must be a string, an integer or a boolean",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    #[test]
    fn the_example_of_the_specification_is_read() {
        // CloudEvents JSON format 1.0.2, section 3.2, "Typical structured mode message".
        let json = br#"{
            "specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext",
            "subject": null, "id" : "A234-1234-1234", "time" : "2018-04-05T17:31:00Z",
            "comexampleextension1" : "value", "comexampleothervalue" : 5,
            "datacontenttype" : "application/json",
            "data" : { "appinfoA" : "abc", "appinfoB" : 123, "appinfoC" : true }
        }"#;
        let event = Event::from_json(json).unwrap();
        assert_eq!(event.kind, "com.example.someevent");
        assert_eq!(event.subject, None);
        assert_eq!(event.extensions["comexampleothervalue"], "5");
        assert_eq!(
            event.data.unwrap().as_bytes(),
            br#"{ "appinfoA" : "abc", "appinfoB" : 123, "appinfoC" : true }"#
        );
    }

    #[test]
    fn text_and_binary_data_keep_their_bytes() {
        for (media_type, bytes) in [
            ("text/html", &b"<p>\"offer\"</p>\n"[..]),
            ("image/png", &[0x89, 0x50, 0xFF, 0x00]),
            ("application/json", b"not json"),
            ("application/vnd.shop+json; charset=utf-8", b"{ \"a\" : 1 }"),
        ] {
            let mut event = Event::new("1", "/s", TYPE_OFFER_READY);
            event.datacontenttype = Some(media_type.to_owned());
            event.data = Some(Data::from_content(media_type, bytes.to_vec()));
            let read = Event::from_json(event.to_json().as_bytes()).unwrap();
            assert_eq!(read.data.unwrap().as_bytes(), bytes, "{media_type}");
        }
    }

    #[test]
    fn what_is_not_a_cloud_event_is_refused() {
        let event = |rest: &str| {
            format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{rest}}}"#)
        };
        assert!(Event::from_json(event("").as_bytes()).is_ok());
        for bad in [
            "[]".to_owned(),
            "{}".to_owned(),
            event("").replace("1.0", "0.3"),
            event("").replace("\"1\"", "\"\""),
            event("").replace("/s", r"/s\n"),
            event(r#","Upper":"x""#),
            event(r#","nested":{}"#),
            event(r#","fraction":1.5"#),
            event(r#","data":1,"data_base64":"AA==""#),
            event(r#","data_base64":"?""#),
            event(r#","datacontenttype":"text/plain","data":{}"#),
            event(&format!(
                r#","subject":"{}""#,
                "x".repeat(MAX_ATTRIBUTE_BYTES + 1)
            )),
        ] {
            assert!(Event::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_bad_event_does_not_take_its_batch_with_it() {
        let batch = r#"[{"specversion":"1.0","id":"1","source":"/s","type":"t"}, 7]"#;
        let events = Event::batch_from_json(batch.as_bytes()).unwrap();
        assert!(events[0].is_ok());
        assert!(events[1].is_err());
        assert!(Event::batch_from_json(b"{}").is_err());
    }

    #[test]
    fn json_media_types_are_known() {
        for (media_type, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/ld+json", true),
            ("text/plain", false),
            ("json+x/y", false),
            ("", false),
        ] {
            assert_eq!(is_json(media_type), json, "{media_type}");
        }
    }

    proptest! {
        #[test]
        fn an_event_is_read_as_it_was_written(
            id in "[a-zA-Z0-9é-]{1,40}", source in "/[a-z/]{0,40}", subject in proptest::option::of("[ -~]{1,60}"),
            extensions in btree_map("x[a-z0-9]{1,10}", "[ -~]{0,40}", 0..5), text in "\\PC{0,200}",
        ) {
            let mut event = Event::new(id, source, TYPE_OFFER_READY);
            event.subject = subject;
            event.extensions = extensions;
            event.data = Some(Data::from_json(&text).unwrap());
            prop_assert_eq!(Event::from_json(event.to_json().as_bytes()).unwrap(), event);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = Event::batch_from_json(&bytes);
            prop_assert!(Event::from_json(&bytes).is_err());
        }
    }
}
