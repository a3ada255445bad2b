//! Server-Sent Events, read with a client library that knows nothing of this project.

use std::sync::{Arc, Mutex};

use eventsource_stream::{Event as SseEvent, Eventsource};
use futures_util::{Stream, StreamExt, stream::BoxStream};
use headstart_protocol::event::Event;
use reqwest::header::HeaderMap;

use crate::{answer, wait::within};

/// One frame of a stream, as the client library gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The SSE `event:` field.
    pub name: String,
    /// The SSE `id:` field; the last one there was, where the frame has none.
    pub id: String,
    /// The SSE `data:` field.
    pub data: String,
}

/// The settlement that a ticket's stream brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The SSE `event:` field: `offer` or `failed`.
    pub name: String,
    /// The SSE `id:` field.
    pub id: String,
    /// The event in the SSE `data:` field.
    pub event: Event,
}

/// An open stream.
pub struct Sse {
    headers: HeaderMap,
    seen: Arc<Mutex<Vec<u8>>>,
    events: BoxStream<'static, SseEvent>,
}

impl Sse {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        Self {
            headers: response.headers().clone(),
            events: events(response.bytes_stream(), Arc::clone(&seen)).boxed(),
            seen,
        }
    }

    /// A header of the answer; empty where it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        answer::header(&self.headers, name)
    }

    /// Its next frame; `None` at its end.
    pub async fn frame(&mut self) -> Option<Frame> {
        let event = within("the next event of a stream", self.events.next()).await?;
        Some(Frame {
            name: event.event,
            id: event.id,
            data: event.data,
        })
    }

    /// What it tells next; `None` at its end.
    pub async fn next(&mut self) -> Option<Settled> {
        let frame = self.frame().await?;
        Some(Settled {
            event: Event::from_json(frame.data.as_bytes())
                .unwrap_or_else(|error| panic!("{error}: {frame:?}")),
            name: frame.name,
            id: frame.id,
        })
    }

    /// The one thing it tells before it ends.
    pub async fn only(mut self) -> Settled {
        let told = self.next().await.expect("the stream tells something");
        assert_eq!(self.next().await, None, "after {told:?}");
        told
    }

    /// Fails where an empty line ended anything but a frame with data: there are clients that take every
    /// one for an event.
    pub fn expect_only_frames(&self) {
        let seen = self.seen();
        let (ended, _) = seen.rsplit_once("\n\n").unwrap_or_default();
        for frame in ended.split("\n\n").filter(|_| !ended.is_empty()) {
            let data = frame.lines().any(|line| line.starts_with("data: "));
            assert!(data, "{frame:?} in {seen:?}");
        }
    }

    /// The bytes received so far, comments included.
    #[must_use]
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("nobody panicked")).into_owned()
    }
}

/// The events among `bytes`. A connection that breaks ends them, as it ends a browser's.
fn events<B: AsRef<[u8]> + Send + 'static>(
    bytes: impl Stream<Item = reqwest::Result<B>> + Send + 'static,
    seen: Arc<Mutex<Vec<u8>>>,
) -> impl Stream<Item = SseEvent> + Send {
    bytes
        .take_while(|chunk| std::future::ready(chunk.is_ok()))
        .inspect(move |chunk| {
            if let Ok(chunk) = chunk {
                seen.lock().expect("nobody panicked").extend(chunk.as_ref());
            }
        })
        .eventsource()
        .filter_map(|event| std::future::ready(event.ok()))
}
