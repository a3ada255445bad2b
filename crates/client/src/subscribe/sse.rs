//! Reads Server-Sent Events, by the [HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation):
//! bytes in, however they are cut; frames out. Frames are borrowed: reading one allocates nothing, since
//! `load` reads many thousands a second.

use memchr::memchr2;

/// Longest frame, in bytes: many times the largest update, and no more than a subscriber would hold.
const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// A frame is longer than anything that an edge sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of the stream has more than {MAX_FRAME_BYTES} bytes")]
pub struct TooLong;

/// One frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The name of its event; empty where it has none.
    pub event: &'a [u8],
    /// Its own id, where it has one that is not empty.
    pub id: Option<&'a [u8]>,
    /// Its data; the lines joined by LF.
    pub data: &'a [u8],
}

/// Reads one stream.
#[derive(Debug, Default)]
pub struct Reader {
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The first line has been read: before it, a byte order mark may stand.
    has_begun: bool,
    event: Vec<u8>,
    id: Vec<u8>,
    /// The lines of the data, an LF after each.
    data: Vec<u8>,
    retry_ms: Option<u64>,
}

impl Reader {
    /// Reads on, and gives every frame that is complete to `each`. A frame without data is
    /// passed over.
    ///
    /// # Errors
    /// [`TooLong`]; the stream is then of no use any more.
    pub fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), TooLong> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.line.extend_from_slice(rest);
                break;
            };
            self.after_cr = rest[end] == b'\r';
            if self.line.is_empty() {
                self.read_line(&rest[..end], &mut each);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&rest[..end]);
                self.read_line(&line, &mut each);
                // Its room is used again.
                line.clear();
                self.line = line;
            }
            rest = &rest[end + 1..];
        }
        if self.line.len() + self.data.len() > MAX_FRAME_BYTES {
            return Err(TooLong);
        }
        Ok(())
    }

    /// Returns how long the server asks a client to wait before it reconnects, in milliseconds.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn read_line(&mut self, line: &[u8], each: &mut impl FnMut(Frame<'_>)) {
        let line = if std::mem::replace(&mut self.has_begun, true) {
            line
        } else {
            line.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(line)
        };
        if line.is_empty() {
            self.end_frame(each);
            return;
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => {
                self.event.clear();
                self.event.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => {
                self.id.clear();
                self.id.extend_from_slice(value);
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let text = std::str::from_utf8(value).unwrap_or_default();
                self.retry_ms = text.parse().ok().or(self.retry_ms);
            }
            // A comment, or what only a later standard knows.
            _ => {}
        }
    }

    fn end_frame(&mut self, each: &mut impl FnMut(Frame<'_>)) {
        // The last line's LF is no part of the data.
        if self.data.pop().is_some() {
            each(Frame {
                event: &self.event,
                id: (!self.id.is_empty()).then_some(self.id.as_slice()),
                data: &self.data,
            });
        }
        self.event.clear();
        self.data.clear();
        self.id.clear();
    }
}

#[cfg(test)]
mod tests {
    use eventsource_stream::Eventsource;
    use futures_util::{FutureExt, StreamExt, stream};
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Owned {
        event: String,
        id: Option<String>,
        data: String,
    }

    fn owned(event: &str, id: Option<&str>, data: &str) -> Owned {
        Owned {
            event: event.to_owned(),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        }
    }

    /// Reads the text cut into pieces of `size` bytes.
    fn read(text: &str, size: usize) -> (Vec<Owned>, Reader) {
        let mut reader = Reader::default();
        let mut frames = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            reader
                .read(piece, |frame| {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    frames.push(Owned {
                        event: text(frame.event),
                        id: frame.id.map(text),
                        data: text(frame.data),
                    });
                })
                .unwrap();
        }
        (frames, reader)
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        let stream = "\u{FEFF}retry: 1500\n\nevent: update\nid: 42\ndata: a\ndata:b\r\n\r\n\
                      : comment\n\ndata\ndata\n\nid: 43\rdata: {\"a\": 1}\r\revent: x\n\ndata: end\n\ndata: cut";
        let expected = [
            owned("update", Some("42"), "a\nb"),
            owned("", None, "\n"),
            owned("", Some("43"), "{\"a\": 1}"),
            owned("", None, "end"),
        ];
        for size in 1..stream.len() {
            let (frames, reader) = read(stream, size);
            assert_eq!(frames, expected, "{size}");
            assert_eq!(reader.retry_ms(), Some(1500));
        }
    }

    #[test]
    fn a_frame_without_end_is_refused() {
        let mut reader = Reader::default();
        let piece = [b'x'; 16 * 1024];
        let results: Vec<_> = (0..70).map(|_| reader.read(&piece, |_| ())).collect();
        assert_eq!(results[0], Ok(()));
        assert_eq!(results[69], Err(TooLong));
    }

    #[test]
    fn what_the_protocol_writes_is_read_as_it_was() {
        let frame = headstart_protocol::sse::Frame {
            event: Some("update"),
            id: Some("a=42,b=7"),
            data: Some("{\r\n}"),
        };
        let text = String::from_utf8(frame.encode()).unwrap();
        let (frames, _) = read(&text, 7);
        assert_eq!(frames, [owned("update", Some("a=42,b=7"), "{\n}")]);
    }

    proptest! {
        /// An independent library reads the same.
        #[test]
        fn any_stream_is_read_as_others_read_it(
            lines in proptest::collection::vec("(data|event|id|x)?(: ?)?[a-z{}\": ]{0,6}|", 0..20),
            size in 1_usize..9,
        ) {
            let text = lines.join("\n") + "\n\n";
            let chunks = stream::iter([Ok::<_, std::convert::Infallible>(text.clone().into_bytes())]);
            let others: Vec<_> = chunks.eventsource().map(Result::unwrap).collect().now_or_never().unwrap();
            let others: Vec<(String, String)> = others.into_iter()
                .map(|event: eventsource_stream::Event| (event.event, event.data)).collect();
            let ours: Vec<(String, String)> = read(&text, size).0.into_iter()
                .map(|frame| (if frame.event.is_empty() { "message".to_owned() } else { frame.event }, frame.data))
                .collect();
            prop_assert_eq!(ours, others);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>, size in 1_usize..9) {
            let mut reader = Reader::default();
            for piece in bytes.chunks(size) {
                reader.read(piece, |_| ()).unwrap();
            }
        }
    }
}
