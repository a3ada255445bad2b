//! Whoever waits at an object until it is woken, kept in `wake.js` by the id of the object so that they
//! outlive a panic of the Wasm instance.

use std::time::Duration;

use headstart_protocol::limits::MAX_WAITERS;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{js_sys::Promise, wasm_bindgen_futures::JsFuture};

#[wasm_bindgen(module = "/src/platform/wake.js")]
extern "C" {
    /// Returns how many wait at `object`.
    pub fn count(object: &str) -> u32;

    #[wasm_bindgen(js_name = wait)]
    fn wait_js(object: &str, ms: f64) -> Promise;

    /// Wakes everyone who waits at `object`.
    #[wasm_bindgen(js_name = wakeAll)]
    pub fn wake_all(object: &str);
}

/// Returns whether `object` has as many waiters as it may have.
pub fn is_full(object: &str) -> bool {
    count(object) >= MAX_WAITERS
}

/// Waits until `object` is woken, at most for `time`.
pub async fn wait(object: &str, time: Duration) {
    let promise = wait_js(object, time.as_secs_f64() * 1000.0);
    // The promise has no way to fail.
    let _ = JsFuture::from(promise).await;
}
