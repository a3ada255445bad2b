//! The connections of one topic's object: the streams and hibernating WebSockets of its subscribers, and
//! the streams of those who watch who is connected. All of a kind are told the same bytes
//! (`audience.rs`), but for WebSockets that have not said yet who they are.
//!
//! What is open is kept in `subscribers.js`, where it outlives a panic of the Wasm instance.

use std::time::Duration;

use headstart_protocol::{channel::Down, sse::HEARTBEAT};
use serde::{Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{
    State, WebSocket,
    js_sys::{Array, Uint8Array},
    web_sys::{self, ReadableStream},
};

use crate::{error::Error, platform, waiters};

#[wasm_bindgen(module = "/src/topic/subscribers.js")]
extern "C" {
    #[wasm_bindgen(js_name = openStream)]
    fn open_stream_js(
        of: &str,
        id: &str,
        first: &Uint8Array,
        heartbeat: &Uint8Array,
        heartbeat_ms: f64,
        life_ms: f64,
    ) -> ReadableStream;

    #[wasm_bindgen(js_name = streamCount)]
    fn stream_count_js(of: &str) -> u32;

    #[wasm_bindgen(js_name = takeEnded)]
    fn take_ended_js(of: &str) -> String;

    #[wasm_bindgen(js_name = writeStreams)]
    fn write_streams_js(of: &str, bytes: &Uint8Array);

    #[wasm_bindgen(catch, js_name = acceptSocket)]
    fn accept_socket_js(
        context: &JsValue,
        socket: &web_sys::WebSocket,
        live: bool,
        attachment: &str,
    ) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = attach)]
    fn attach_js(socket: &web_sys::WebSocket, live: bool, attachment: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = attachment)]
    fn attachment_js(socket: &web_sys::WebSocket) -> Result<String, JsValue>;

    #[wasm_bindgen(js_name = pingedAt)]
    fn pinged_at_js(context: &JsValue, socket: &web_sys::WebSocket) -> f64;

    #[wasm_bindgen(js_name = heard)]
    fn heard_js(socket: &web_sys::WebSocket);

    #[wasm_bindgen(js_name = sendSockets)]
    fn send_sockets_js(context: &JsValue, messages: &Array, question: &str);
}

/// Who reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Of the topic's updates.
    Subscribers,
    /// Of who is connected.
    Watchers,
}

/// The connections of the object that `state` belongs to.
#[derive(Debug)]
pub struct Crowd {
    context: JsValue,
    subscribers: String,
    watchers: String,
}

impl Crowd {
    /// The connections of an object.
    pub fn of(state: &State) -> Self {
        let object = state.id().to_string();
        Self {
            context: AsRef::<JsValue>::as_ref(state.as_raw()).clone(),
            watchers: format!("{object} watchers"),
            subscribers: object,
        }
    }

    /// The object's id, which names it in JavaScript's memory.
    pub fn object(&self) -> &str {
        &self.subscribers
    }

    /// Opens a stream that begins with `first` and ends after about `life`, and not later than in
    /// `at_most`. The jitter keeps streams that were opened together from coming back together.
    pub fn open_stream(
        &self,
        readers: Readers,
        id: &str,
        first: &[u8],
        life: Duration,
        at_most: Option<Duration>,
    ) -> ReadableStream {
        let life_ms = waiters::with_jitter(life);
        let at_most_ms = at_most.map_or(f64::INFINITY, |time| time.as_secs_f64() * 1000.0);
        open_stream_js(
            self.name(readers),
            id,
            &Uint8Array::from(first),
            &Uint8Array::from(HEARTBEAT),
            waiters::with_jitter(waiters::HEARTBEAT_EVERY),
            life_ms.min(at_most_ms),
        )
    }

    /// How many streams there are.
    pub fn streams(&self, readers: Readers) -> u32 {
        stream_count_js(self.name(readers))
    }

    /// Writes to every stream. Whoever does not keep up is dropped, and delays nobody.
    pub fn write(&self, readers: Readers, bytes: &[u8]) {
        write_streams_js(self.name(readers), &Uint8Array::from(bytes));
    }

    /// The ids of subscribers' streams that have ended since this was asked last.
    pub fn take_ended(&self) -> Vec<String> {
        take_ended_js(&self.subscribers)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Accepts a WebSocket; a `live` one is told everything from now on.
    ///
    /// # Errors
    /// [`Error::Platform`] when the platform does not take it.
    pub fn accept<T: Serialize>(
        &self,
        socket: &WebSocket,
        live: bool,
        attachment: &T,
    ) -> Result<(), Error> {
        accept_socket_js(&self.context, socket.as_ref(), live, &json(attachment))
            .map_err(|error| Error::platform("accepting a WebSocket", &error))
    }

    /// When a WebSocket's client last sent the text that the platform answers by itself, in milliseconds
    /// since the Unix epoch; 0 for never.
    pub fn pinged_at_ms(&self, socket: &WebSocket) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "JavaScript's clock is a whole number far below 2^53, and past 1970"
        )]
        let ms = pinged_at_js(&self.context, socket.as_ref()) as u64;
        ms
    }

    /// Sends messages to every live WebSocket. Whoever does not keep up is dropped, and delays nobody.
    pub fn send(&self, messages: &[String]) {
        let messages: Array = messages.iter().map(JsValue::from).collect();
        let question = Down::Ping {
            n: platform::now_ms(),
        };
        send_sockets_js(&self.context, &messages, &question.to_json());
    }

    fn name(&self, readers: Readers) -> &str {
        match readers {
            Readers::Subscribers => &self.subscribers,
            Readers::Watchers => &self.watchers,
        }
    }
}

/// Changes what stands with a WebSocket, and whether it is told everything from now on.
///
/// # Errors
/// [`Error::Platform`] when the platform does not take it.
pub fn attach<T: Serialize>(socket: &WebSocket, live: bool, attachment: &T) -> Result<(), Error> {
    attach_js(socket.as_ref(), live, &json(attachment))
        .map_err(|error| Error::platform("keeping what stands with a WebSocket", &error))
}

/// What stands with a WebSocket.
pub fn attachment<T: DeserializeOwned>(socket: &WebSocket) -> Option<T> {
    let text = attachment_js(socket.as_ref()).ok()?;
    serde_json::from_str(&text).ok()
}

/// The client of a WebSocket has said something, and so keeps up.
pub fn heard(socket: &WebSocket) {
    heard_js(socket.as_ref());
}

fn json<T: Serialize>(value: &T) -> String {
    // What stands with a socket has string keys only, and so a JSON form.
    serde_json::to_string(value).unwrap_or_default()
}
