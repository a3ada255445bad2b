//! Events in binary content mode: attributes in `ce-` headers, the data in the body as it is.
//! [CloudEvents HTTP binding 1.0.2, section 3.1](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode).

use crate::event::{Data, Event, EventError};

/// Prefix of every header that is an attribute.
pub const HEADER_PREFIX: &str = "ce-";

/// Reads an event from the headers of a request and its body. Header names are compared in lower
/// case; headers that are neither `ce-` nor `content-type` are passed over.
///
/// # Errors
/// [`EventError`] as for the JSON format, or for a header that is not percent-encoded UTF-8.
pub fn from_http<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    body: Vec<u8>,
) -> Result<Event, EventError> {
    let mut event = Event::new("", "", "");
    let mut version = None;
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "content-type" {
            event.datacontenttype = Some(value.to_owned());
        } else if let Some(attribute) = name.strip_prefix(HEADER_PREFIX) {
            let value = percent_decode(value).ok_or_else(|| EventError::Header(name.clone()))?;
            match attribute {
                "specversion" => version = Some(value),
                _ => event.set(attribute, value),
            }
        }
    }
    if version.as_deref() != Some("1.0") {
        return Err(EventError::Version);
    }
    if !body.is_empty() {
        event.data = Some(Data::from_content(event.media_type(), body));
    }
    event.validate()?;
    Ok(event)
}

/// Undoes percent-encoding; `None` for what is not UTF-8 afterwards. A `%` that two hexadecimal digits
/// do not follow stays as it is, as the binding asks for.
fn percent_decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if let (b'%', Some(byte)) = (first, after.get(..2).and_then(hex_pair)) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_headers_and_the_body_make_the_event() {
        let headers = [
            ("CE-SpecVersion", "1.0"),
            ("ce-type", "dev.headstart.offer.ready"),
            ("ce-source", "/origin"),
            ("ce-id", "42"),
            ("ce-subject", "caf%C3%A9%20%E2%82%AC"),
            ("ce-startedat", "17"),
            ("content-type", "text/html"),
            ("accept", "*/*"),
        ];
        let event = from_http(headers, b"<p>".to_vec()).unwrap();
        assert_eq!(event.subject.as_deref(), Some("café €"));
        assert_eq!(event.extensions["startedat"], "17");
        assert_eq!(event.data, Some(Data::Text("<p>".to_owned())));
    }

    #[test]
    fn a_version_and_the_required_attributes_are_asked_for() {
        let id = [("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
        assert_eq!(from_http(id, vec![]), Err(EventError::Version));
        assert_eq!(
            from_http([("ce-specversion", "1.0")], vec![]),
            Err(EventError::Missing("id"))
        );
    }

    #[test]
    fn broken_percent_encoding_is_kept_and_broken_utf8_refused() {
        assert_eq!(percent_decode("50%, 5%2").as_deref(), Some("50%, 5%2"));
        assert_eq!(percent_decode("%FF"), None);
    }

    proptest! {
        #[test]
        fn any_headers_and_body_never_panic(name in "(ce-)?[a-z%]{0,8}", value in "\\PC{0,20}", body: Vec<u8>) {
            let _ = from_http([("ce-specversion", "1.0"), (name.as_str(), value.as_str())], body);
        }
    }
}
