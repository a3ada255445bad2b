//! Server-Sent Events, written by the [HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
//!
//! Nothing put into a field can end it: a line end or NUL in an event's name or id is dropped, and
//! every line of the data gets a `data:` of its own. So nobody's payload can forge a frame.

/// Media type of a stream.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// The header that a client resumes with: the id of the last frame it received.
pub const LAST_EVENT_ID_HEADER: &str = "last-event-id";

/// One frame of a stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Frame<'a> {
    /// The name that listeners are called by; `message` where absent.
    pub event: Option<&'a str>,
    /// What the client sends back as `Last-Event-ID` when it reconnects.
    pub id: Option<&'a str>,
    /// The payload; any number of lines.
    pub data: Option<&'a str>,
}

impl Frame<'_> {
    /// Returns the frame's bytes, its closing empty line included.
    ///
    /// A client sees CR, LF and CR LF in the data alike as LF, and NUL as U+FFFD.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = String::with_capacity(64 + self.data.map_or(0, str::len));
        if let Some(event) = self.event {
            field(&mut out, "event", event);
        }
        if let Some(id) = self.id {
            field(&mut out, "id", id);
        }
        if let Some(data) = self.data {
            for line in lines(data) {
                field(&mut out, "data", &line.replace('\0', "\u{FFFD}"));
            }
        }
        out.push('\n');
        out.into_bytes()
    }
}

/// Returns the line that says how long the client is to wait before it reconnects, in milliseconds. No empty
/// line follows it, so it is read with the frame that comes next: an empty line ends a frame, and some
/// clients take it for one wherever it stands.
#[must_use]
pub fn retry(ms: u64) -> Vec<u8> {
    format!("retry: {ms}\n").into_bytes()
}

/// Returns what a stream begins with: how long the client is to wait before it comes back, 1 to 2 s. `jitter` is in
/// `0.0..1.0`; it keeps clients that lost their streams together from coming back together.
#[must_use]
pub fn opening(jitter: f64) -> Vec<u8> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of milliseconds below 2,000"
    )]
    let retry_ms = 1000 + (jitter.clamp(0.0, 1.0) * 1000.0) as u64;
    retry(retry_ms)
}

/// A comment, which clients pass over: keeps proxies from closing an idle stream, and makes the
/// server notice a client that is gone. As [`retry`], it is a line and no frame.
pub const HEARTBEAT: &[u8] = b":\n";

fn field(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(": ");
    out.extend(value.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')));
    out.push('\n');
}

/// Splits at CR LF, LF and CR, as a client will.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let now = rest?;
        let Some(end) = now.find(['\r', '\n']) else {
            rest = None;
            return Some(now);
        };
        let width = if now[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&now[end + width..]);
        Some(&now[..end])
    })
}

#[cfg(test)]
mod tests {
    use eventsource_stream::{Event, Eventsource};
    use futures::{StreamExt, executor::block_on, stream};
    use proptest::prelude::*;

    use super::*;

    /// Reads frames with an independent client library.
    fn read(bytes: Vec<u8>) -> Vec<Event> {
        let chunks = stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
        block_on(chunks.eventsource().map(Result::unwrap).collect())
    }

    #[test]
    fn a_whole_frame_has_every_field() {
        let frame = Frame {
            event: Some("offer"),
            id: Some("7"),
            data: Some("a\nb"),
        };
        assert_eq!(
            String::from_utf8(frame.encode()).unwrap(),
            "event: offer\nid: 7\ndata: a\ndata: b\n\n"
        );
    }

    #[test]
    fn what_is_no_frame_is_read_with_the_next_one() {
        let frame = Frame {
            event: Some("offer"),
            data: Some("a"),
            ..Frame::default()
        };
        let stream = [&retry(1500), HEARTBEAT, HEARTBEAT, &frame.encode()].concat();
        let text = String::from_utf8(stream.clone()).unwrap();
        assert_eq!(text, "retry: 1500\n:\n:\nevent: offer\ndata: a\n\n");
        let [event] = read(stream).try_into().unwrap();
        let retry = std::time::Duration::from_millis(1500);
        assert_eq!((event.event.as_str(), event.data.as_str()), ("offer", "a"));
        assert_eq!(event.retry, Some(retry));
        assert!(read(HEARTBEAT.to_vec()).is_empty());
    }

    #[test]
    fn a_stream_says_when_to_come_back() {
        assert_eq!(opening(0.5), b"retry: 1500\n");
    }

    #[test]
    fn a_payload_cannot_forge_a_frame() {
        let attack = "x\n\nevent: offer\ndata: forged\r\rid: 9\r\n\r\ndata: forged";
        let frame = Frame {
            event: Some("off\nid: 9\r\ner"),
            id: Some("1\n\ndata: forged\n\n"),
            data: Some(attack),
        };
        let events = read(frame.encode());
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].event, "offid: 9er");
        assert_eq!(events[0].id, "1data: forged");
        assert_eq!(
            events[0].data,
            attack.replace("\r\n", "\n").replace('\r', "\n")
        );
    }

    proptest! {
        #[test]
        fn any_fields_make_exactly_one_event_with_that_data(
            event in "[\\PC\r\n\0]{0,20}", id in "[\\PC\r\n\0]{0,20}", data in "[\\PC\r\n\0]{0,80}",
        ) {
            let mut bytes = Frame { event: Some(&event), id: Some(&id), data: Some(&data) }.encode();
            bytes.extend(Frame { data: Some("next"), ..Frame::default() }.encode());
            let events = read(bytes);
            let expected = data.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{FFFD}");
            // The standard dispatches no event whose data is empty.
            let found: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
            if expected.is_empty() {
                prop_assert_eq!(found.last().copied(), Some("next"));
            } else {
                prop_assert_eq!(found, [expected.as_str(), "next"]);
            }
        }
    }
}
