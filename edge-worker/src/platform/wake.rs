//! Whoever waits at an object until it is woken, kept in `wake.js` by the id of the object so that they
//! outlive a panic of the Wasm instance.

use std::time::Duration;

use headstart_protocol::{limits::MAX_WAITERS, sse::HEARTBEAT};
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};
use worker::{
    js_sys::{Promise, Uint8Array},
    wasm_bindgen_futures::JsFuture,
    web_sys::ReadableStream,
};

use crate::platform;

/// Time between two heartbeats of a stream, before jitter: often enough for proxies with an idle
/// time-out of 30 s, and what makes the platform notice a client that is gone.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(20);

#[wasm_bindgen(module = "/src/platform/wake.js")]
extern "C" {
    fn count(object: &str) -> u32;

    #[wasm_bindgen(js_name = openStream)]
    fn open_stream_js(
        object: &str,
        first: &Uint8Array,
        heartbeat: &Uint8Array,
        heartbeat_ms: f64,
        life_ms: f64,
    ) -> ReadableStream;

    #[wasm_bindgen(js_name = wait)]
    fn wait_js(object: &str, ms: f64) -> Promise;

    #[wasm_bindgen(js_name = wakeAll)]
    fn wake_all_js(object: &str, bytes: &JsValue) -> u32;
}

/// Returns whether `object` has as many waiters as it may have.
pub fn is_full(object: &str) -> bool {
    count(object) >= MAX_WAITERS
}

/// Opens a stream that begins with `first` and ends when `object` is woken, or after about `life`.
/// The jitter keeps streams that were opened together from coming back together.
pub fn open_stream(object: &str, first: &[u8], life: Duration) -> ReadableStream {
    open_stream_js(
        object,
        &Uint8Array::from(first),
        &Uint8Array::from(HEARTBEAT),
        with_jitter(HEARTBEAT_EVERY),
        with_jitter(life),
    )
}

/// Waits until `object` is woken, at most for `time`.
pub async fn wait(object: &str, time: Duration) {
    let promise = wait_js(object, time.as_secs_f64() * 1000.0);
    // The promise has no way to fail.
    let _ = JsFuture::from(promise).await;
}

/// Wakes everyone who waits at `object`; streams are written `frame` and end. Returns their number.
pub fn wake_all(object: &str, frame: &[u8]) -> u32 {
    wake_all_js(object, &Uint8Array::from(frame))
}

/// Returns `time` in milliseconds, give or take a tenth.
pub fn with_jitter(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0 * (0.9 + 0.2 * platform::random())
}
