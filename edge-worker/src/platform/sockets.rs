//! What is open at one object: the streams and hibernating WebSockets of its subscribers, in groups
//! that are written the same, and streams that stand in no group.
//!
//! It is kept in `sockets.js`, where it outlives a panic of the Wasm instance.

use std::time::Duration;

use headstart_edge_rules::topic::{groups::Encoded, wires::codec::Message};
use headstart_protocol::{channel::Down, sse::HEARTBEAT};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{
    State, WebSocket,
    js_sys::{Array, Uint8Array},
    web_sys::{self, ReadableStream},
};

// What asks the platform about a WebSocket is caught: an error that passed through Rust unseen would leave
// what is borrowed there borrowed.
use crate::{
    http::error::Error,
    platform::{self, websocket},
};

/// Time between two heartbeats of a stream, before jitter: often enough for proxies with an idle
/// time-out of 30 s, and what makes the platform notice a client that is gone.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(20);

#[wasm_bindgen(module = "/src/platform/sockets.js")]
extern "C" {
    #[wasm_bindgen(js_name = openStream)]
    fn open_stream_js(
        of: &str,
        id: &str,
        group: &str,
        attachment: &str,
        heartbeat: &Uint8Array,
        heartbeat_ms: f64,
        life_ms: f64,
    ) -> ReadableStream;

    #[wasm_bindgen(js_name = beginStream)]
    fn begin_stream_js(context: &JsValue, of: &str, id: &str, first: &Array);

    #[wasm_bindgen(js_name = openAndBegin)]
    fn open_and_begin_js(
        of: &str,
        group: &str,
        first: &Uint8Array,
        heartbeat: &Uint8Array,
        heartbeat_ms: f64,
        life_ms: f64,
    ) -> ReadableStream;

    #[wasm_bindgen(js_name = endStream)]
    fn end_stream_js(of: &str, id: &str);

    #[wasm_bindgen(js_name = streamAttachments)]
    fn stream_attachments_js(of: &str) -> Array;

    #[wasm_bindgen(js_name = streamCount)]
    fn stream_count_js(of: &str) -> u32;

    #[wasm_bindgen(js_name = groupCount)]
    fn group_count_js(of: &str, group: &str) -> u32;

    #[wasm_bindgen(js_name = finishStreams)]
    fn finish_streams_js(context: &JsValue, of: &str, group: &str, last: &Uint8Array);

    #[wasm_bindgen(js_name = takeEnded)]
    fn take_ended_js(of: &str) -> String;

    #[wasm_bindgen(js_name = writeStreams)]
    fn write_streams_js(of: &str, group: &str, messages: &Array);

    #[wasm_bindgen(js_name = tellStreams)]
    fn tell_streams_js(context: &JsValue, of: &str, group: &str, messages: &Array);

    #[wasm_bindgen(catch, js_name = acceptSocket)]
    fn accept_socket_js(
        context: &JsValue,
        socket: &web_sys::WebSocket,
        group: &str,
        attachment: &str,
    ) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = attach)]
    fn attach_js(socket: &web_sys::WebSocket, attachment: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = goLive)]
    fn go_live_js(socket: &web_sys::WebSocket) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = isLive)]
    fn is_live_js(socket: &web_sys::WebSocket) -> Result<bool, JsValue>;

    #[wasm_bindgen(catch, js_name = attachment)]
    fn attachment_js(socket: &web_sys::WebSocket) -> Result<String, JsValue>;

    #[wasm_bindgen(catch, js_name = heard)]
    fn heard_js(socket: &web_sys::WebSocket) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = sendSockets)]
    fn send_sockets_js(context: &JsValue, group: &str, messages: &Array, question: &Array);
}

/// The connections of the object that `state` belongs to.
#[derive(Debug)]
pub struct Sockets {
    context: JsValue,
    subscribers: String,
    /// The streams of those who watch who is connected.
    pub watchers: Streams,
}

impl Sockets {
    /// Returns the connections of an object.
    pub fn of(state: &State) -> Self {
        let object = state.id().to_string();
        Self {
            context: AsRef::<JsValue>::as_ref(state.as_raw()).clone(),
            watchers: Streams::of(state),
            subscribers: object,
        }
    }

    /// Returns the object's id, which names it in JavaScript's memory.
    pub fn object(&self) -> &str {
        &self.subscribers
    }

    /// Opens a subscriber's stream, which ends after about `life`, and not later than in `at_most`. It is
    /// told nothing until [`Sockets::begin_stream`].
    pub fn open_stream(
        &self,
        id: &str,
        attachment: &impl Serialize,
        group: &str,
        life: Duration,
        at_most: Option<Duration>,
    ) -> ReadableStream {
        open_stream_js(
            &self.subscribers,
            id,
            group,
            &json(attachment),
            &Uint8Array::from(HEARTBEAT),
            with_jitter(HEARTBEAT_EVERY),
            life_ms(life, at_most),
        )
    }

    /// Writes to a subscriber's stream, once all that the object has stored is durable, and from then on
    /// whatever its group is told. Where it has gone meanwhile, nothing happens.
    pub fn begin_stream(&self, id: &str, first: &[Message]) {
        begin_stream_js(&self.context, &self.subscribers, id, &values(first));
    }

    /// Ends a subscriber's stream.
    pub fn end_stream(&self, id: &str) {
        end_stream_js(&self.subscribers, id);
    }

    /// Returns the attachments of the subscribers' streams that are told everything.
    pub fn stream_attachments<T: DeserializeOwned>(&self) -> Vec<T> {
        let attachments = stream_attachments_js(&self.subscribers).into_iter();
        attachments
            .filter_map(|attachment| serde_json::from_str(&attachment.as_string()?).ok())
            .collect()
    }

    /// Writes to every stream and live WebSocket of some groups, once all that the object has stored is
    /// durable. Whoever does not keep up is dropped, and delays nobody.
    pub fn tell(&self, encoded: &Encoded) {
        let codec = encoded.wire.codec();
        let messages = values(&encoded.messages);
        if codec.is_socket() {
            let question = values(&codec.say(&Down::Ping {
                n: platform::now_ms(),
            }));
            for group in &encoded.groups {
                send_sockets_js(&self.context, group, &messages, &question);
            }
        } else {
            for group in &encoded.groups {
                tell_streams_js(&self.context, &self.subscribers, group, &messages);
            }
        }
    }

    /// Returns the ids of subscribers' streams that have ended since this was asked last.
    pub fn take_ended(&self) -> Vec<String> {
        take_ended_js(&self.subscribers)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Accepts a WebSocket, which is told nothing until [`go_live`].
    ///
    /// # Errors
    /// [`Error::Platform`] when the platform does not take it.
    pub fn accept(
        &self,
        socket: &WebSocket,
        attachment: &impl Serialize,
        group: &str,
    ) -> Result<(), Error> {
        accept_socket_js(&self.context, socket.as_ref(), group, &json(attachment))
            .map_err(|error| Error::platform("accepting a WebSocket", &error))
    }

    /// Returns when a WebSocket's client last sent the text that the platform answers by itself, in
    /// milliseconds since the Unix epoch; 0 for never.
    pub fn pinged_at_ms(&self, socket: &WebSocket) -> u64 {
        websocket::last_ping_ms(&self.context, socket).unwrap_or_default()
    }
}

/// Streams at an object that need no name, in groups that are written the same: of those who wait for one
/// ticket, or who watch who is connected.
#[derive(Debug)]
pub struct Streams {
    context: JsValue,
    of: String,
}

impl Streams {
    /// Returns the streams of an object.
    pub fn of(state: &State) -> Self {
        Self {
            context: AsRef::<JsValue>::as_ref(state.as_raw()).clone(),
            of: format!("{} all", state.id()),
        }
    }

    /// Opens a stream of a group that begins with `first`, and ends after about `life` and not later than
    /// in `at_most`.
    pub fn open(
        &self,
        group: &str,
        first: &[u8],
        life: Duration,
        at_most: Option<Duration>,
    ) -> ReadableStream {
        open_and_begin_js(
            &self.of,
            group,
            &Uint8Array::from(first),
            &Uint8Array::from(HEARTBEAT),
            with_jitter(HEARTBEAT_EVERY),
            life_ms(life, at_most),
        )
    }

    /// Returns how many there are.
    pub fn count(&self) -> u32 {
        stream_count_js(&self.of)
    }

    /// Returns how many there are of a group.
    pub fn count_of(&self, group: &str) -> u32 {
        group_count_js(&self.of, group)
    }

    /// Writes to all of a group at once: what is nowhere stored. Whoever does not keep up is dropped.
    pub fn write(&self, group: &str, bytes: &[u8]) {
        write_streams_js(&self.of, group, &Array::of1(&Uint8Array::from(bytes)));
    }

    /// Writes to all of a group and ends them, once all that the object has stored is durable.
    pub fn finish(&self, group: &str, last: &[u8]) {
        finish_streams_js(&self.context, &self.of, group, &Uint8Array::from(last));
    }
}

/// Changes the attachment of a WebSocket.
///
/// # Errors
/// [`Error::Platform`] when the platform does not take it.
pub fn attach(socket: &WebSocket, attachment: &impl Serialize) -> Result<(), Error> {
    attach_js(socket.as_ref(), &json(attachment)).map_err(|error| keeping(&error))
}

/// Tells a WebSocket everything from now on.
///
/// # Errors
/// [`Error::Platform`] when the platform does not take it.
pub fn go_live(socket: &WebSocket) -> Result<(), Error> {
    go_live_js(socket.as_ref()).map_err(|error| keeping(&error))
}

/// Returns whether a WebSocket is told everything.
pub fn is_live(socket: &WebSocket) -> bool {
    is_live_js(socket.as_ref()).unwrap_or_default()
}

/// Returns the attachment of a WebSocket.
pub fn attachment<T: DeserializeOwned>(socket: &WebSocket) -> Option<T> {
    let text = attachment_js(socket.as_ref()).ok()?;
    serde_json::from_str(&text).ok()
}

/// Notes that the client of a WebSocket has said something, and so keeps up.
pub fn heard(socket: &WebSocket) {
    // A socket that the platform knows no more is none that falls behind.
    let _ = heard_js(socket.as_ref());
}

/// Returns how long a stream stays open, in milliseconds. Its jitter keeps streams that were opened together
/// from coming back together.
fn life_ms(life: Duration, at_most: Option<Duration>) -> f64 {
    let at_most_ms = at_most.map_or(f64::INFINITY, |time| time.as_secs_f64() * 1000.0);
    with_jitter(life).min(at_most_ms)
}

/// Returns `time` in milliseconds, give or take a tenth.
fn with_jitter(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0 * (0.9 + 0.2 * platform::random())
}

/// Returns what is written, as JavaScript takes it: bytes or text.
fn values(messages: &[Message]) -> Array {
    let values = messages.iter().map(|message| match message {
        Message::Bytes(bytes) => Uint8Array::from(bytes.as_slice()).into(),
        Message::Text(text) => JsValue::from_str(text),
    });
    values.collect()
}

fn keeping(error: &JsValue) -> Error {
    Error::platform("attaching to a WebSocket", error)
}

fn json<T: Serialize>(value: &T) -> String {
    // An attachment has string keys only, and so a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}
