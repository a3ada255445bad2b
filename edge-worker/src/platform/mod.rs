//! What the edge asks of the platform through `platform.js`: each call crosses the boundary between
//! Wasm and JavaScript once, where the `worker` crate's own types would cross it many times.

pub mod alarm;
pub mod durable_object;
pub mod lazy;
pub mod sockets;
pub mod sql;
pub mod wake;
pub mod websocket;

use std::{pin::pin, time::Duration};

use futures_util::future::{Either, select};
use headstart_edge_rules::topic::region::Region;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{
    Delay, Env,
    js_sys::{Array, Date, Promise, Uint8Array},
    wasm_bindgen_futures::{JsFuture, future_to_promise},
    web_sys::{self, ReadableStream},
};

use crate::http::error::Error;

#[wasm_bindgen(module = "/src/platform/platform.js")]
extern "C" {
    /// Time, method, URL, and the headers that most routes look at, one line each.
    pub fn head(request: &web_sys::Request) -> String;

    fn colo(request: &web_sys::Request) -> String;

    fn place(request: &web_sys::Request) -> String;

    #[wasm_bindgen(catch)]
    pub fn respond(
        status: u16,
        headers: &str,
        body: &JsValue,
        socket: Option<&web_sys::WebSocket>,
    ) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(js_name = readBody)]
    fn read_body_js(request: &web_sys::Request, limit: usize) -> Promise;

    #[wasm_bindgen(catch, js_name = readWhole)]
    fn read_whole_js(request: &web_sys::Request) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = headerLines)]
    fn header_lines(request: &web_sys::Request) -> String;

    #[wasm_bindgen(js_name = readContent)]
    fn read_content_js(env: &Env, key: &str) -> Promise;

    #[wasm_bindgen(js_name = streamContent)]
    fn stream_content_js(env: &Env, key: &str) -> Promise;

    #[wasm_bindgen(catch, js_name = forward)]
    fn forward_js(
        env: &Env,
        binding: &str,
        name: &str,
        hint: &str,
        request: &web_sys::Request,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = pull)]
    fn pull_js(url: &str, request: &web_sys::Request, body: &Uint8Array) -> Promise;

    #[wasm_bindgen(js_name = streamOf)]
    fn stream_of_js(promise: &Promise) -> ReadableStream;

    #[wasm_bindgen(catch, js_name = subscribe)]
    fn subscribe_js(
        env: &Env,
        binding: &str,
        name: &str,
        hint: &str,
        path: &str,
        request: &web_sys::Request,
        subscription: &str,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    fn subscription(request: &web_sys::Request) -> Result<String, JsValue>;

    #[wasm_bindgen(catch, js_name = lastPing)]
    fn last_ping_js(context: &JsValue, socket: &web_sys::WebSocket) -> Result<f64, JsValue>;

    #[wasm_bindgen(js_name = writeContent)]
    fn write_content_js(env: &Env, key: &str, value: &str, metadata: &str) -> Promise;

    #[wasm_bindgen(js_name = ask)]
    fn ask_js(
        env: &Env,
        binding: &str,
        name: &str,
        hint: &str,
        method: &str,
        url: &str,
        body: Option<&str>,
    ) -> Promise;
}

/// A Durable Object.
#[derive(Debug, Clone, Copy)]
pub struct Object<'a> {
    /// The binding of its class.
    pub binding: &'static str,
    /// Its name.
    pub name: &'a str,
    /// In which part of the world it is to be made, if this is the first that is heard of it; empty for
    /// near whoever asks.
    pub hint: &'static str,
}

/// Returns the clock, in milliseconds since the Unix epoch. On the platform it stands still between I/O.
pub fn now_ms() -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "JavaScript's clock is a whole number far below 2^53, and past 1970"
    )]
    let ms = Date::now() as u64;
    ms
}

/// Returns a random number in `0.0..1.0`, for jitter.
pub fn random() -> f64 {
    worker::js_sys::Math::random()
}

/// Returns the edge node that answers: its data centre's code, or `local`.
pub fn node(request: &web_sys::Request) -> String {
    let colo = colo(request);
    if !colo.is_empty() && colo.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        colo
    } else {
        "local".to_owned()
    }
}

/// Returns where the client is; what is not known is left at its default.
pub fn client_place<T: DeserializeOwned + Default>(request: &web_sys::Request) -> T {
    serde_json::from_str(&place(request)).unwrap_or_default()
}

/// Returns the part of the world that a client is in.
pub fn client_region(request: &web_sys::Request) -> Region {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Place {
        continent: String,
        country: String,
        longitude: Option<f64>,
    }
    let place: Place = client_place(request);
    Region::of_client(&place.continent, &place.country, place.longitude)
}

/// Returns a header of a request. A name that cannot be a header's has no value.
pub fn header(request: &web_sys::Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}

/// Returns every header of a request; names are in lower case.
pub fn headers(request: &web_sys::Request) -> Vec<(String, String)> {
    header_lines(request)
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// Returns the body of a request.
///
/// # Errors
/// [`Error::BodyTooLarge`] as soon as it has more than `limit` bytes, however long it claims to be;
/// [`Error::BodyBroken`] when the client does not send all of it.
pub async fn read_body(request: &web_sys::Request, limit: usize) -> Result<Vec<u8>, Error> {
    let body = JsFuture::from(read_body_js(request, limit))
        .await
        .map_err(|_| Error::BodyBroken)?;
    body.dyn_into::<Uint8Array>()
        .map(|bytes| bytes.to_vec())
        .map_err(|_| Error::BodyTooLarge { limit })
}

/// Returns the body of a request that the edge sends to one of its own objects, however long it is.
///
/// # Errors
/// [`Error::BodyBroken`] when it does not come whole.
pub async fn read_whole(request: &web_sys::Request) -> Result<Vec<u8>, Error> {
    let promise = read_whole_js(request).map_err(|_| Error::BodyBroken)?;
    let body = JsFuture::from(promise)
        .await
        .map_err(|_| Error::BodyBroken)?;
    Ok(body.unchecked_into::<Uint8Array>().to_vec())
}

/// Returns a value of the KV namespace `CONTENT`, still in JavaScript's memory, and its metadata as JSON.
///
/// # Errors
/// [`Error::Platform`] when KV cannot be read now.
pub async fn read_content(env: &Env, key: &str) -> Result<Option<(Uint8Array, String)>, Error> {
    let found = JsFuture::from(read_content_js(env, key))
        .await
        .map_err(|error| Error::platform("reading KV", &error))?;
    let Ok(pair) = found.dyn_into::<Array>() else {
        return Ok(None);
    };
    let metadata = pair.get(1).as_string().unwrap_or_default();
    Ok(Some((pair.get(0).unchecked_into(), metadata)))
}

/// Returns a value of the KV namespace `CONTENT` as it comes.
///
/// # Errors
/// [`Error::Platform`] when KV cannot be read now.
pub async fn stream_content(env: &Env, key: &str) -> Result<Option<ReadableStream>, Error> {
    let found = JsFuture::from(stream_content_js(env, key))
        .await
        .map_err(|error| Error::platform("reading KV", &error))?;
    Ok(found.dyn_into().ok())
}

/// Hands `request` on to a Durable Object, and gives its response untouched.
///
/// # Errors
/// [`Error::Platform`] when the object cannot be reached or fails.
pub async fn forward(
    env: &Env,
    object: Object<'_>,
    request: &web_sys::Request,
) -> Result<web_sys::Response, Error> {
    let Object {
        binding,
        name,
        hint,
    } = object;
    let doing = || format!("handing a request to {binding}");
    let promise = forward_js(env, binding, name, hint, request)
        .map_err(|error| Error::platform(&doing(), &error))?;
    let response = JsFuture::from(promise)
        .await
        .map_err(|error| Error::platform(&doing(), &error))?;
    Ok(response.unchecked_into())
}

/// Sends a request to a Durable Object, and gives the status and the body of its answer.
///
/// # Errors
/// [`Error::Platform`] when the object cannot be reached or fails.
pub async fn ask(
    env: &Env,
    object: Object<'_>,
    method: &str,
    url: &str,
    body: Option<&str>,
) -> Result<(u16, Vec<u8>), Error> {
    let Object {
        binding,
        name,
        hint,
    } = object;
    let answer = JsFuture::from(ask_js(env, binding, name, hint, method, url, body))
        .await
        .map_err(|error| Error::platform(&format!("asking {binding}"), &error))?;
    let pair: Array = answer.unchecked_into();
    let body: Uint8Array = pair.get(1).unchecked_into();
    Ok((status(&pair.get(0)), body.to_vec()))
}

fn status(number: &JsValue) -> u16 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an HTTP status has three digits"
    )]
    let status = number.as_f64().unwrap_or_default() as u16;
    status
}

/// Hands a request to subscribe on to a Durable Object, with what the Worker knows of it, and gives its
/// response untouched.
///
/// # Errors
/// [`Error::Platform`] when the object cannot be reached or fails.
pub async fn subscribe<T: Serialize>(
    env: &Env,
    object: Object<'_>,
    path: &str,
    request: &web_sys::Request,
    subscription: &T,
) -> Result<web_sys::Response, Error> {
    let Object {
        binding,
        name,
        hint,
    } = object;
    let doing = || format!("subscribing at {binding}");
    let subscription =
        serde_json::to_string(subscription).map_err(|error| Error::Platform(error.to_string()))?;
    let promise = subscribe_js(env, binding, name, hint, path, request, &subscription)
        .map_err(|error| Error::platform(&doing(), &error))?;
    let response = JsFuture::from(promise)
        .await
        .map_err(|error| Error::platform(&doing(), &error))?;
    Ok(response.unchecked_into())
}

/// Returns what the Worker said of a request to subscribe.
///
/// # Errors
/// [`Error::Platform`] for a request that did not come through [`subscribe`].
pub fn read_subscription<T: DeserializeOwned>(request: &web_sys::Request) -> Result<T, Error> {
    let text =
        subscription(request).map_err(|error| Error::platform("reading a subscription", &error))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Platform(format!("reading a subscription: {error}")))
}

/// What an origin has answered.
#[derive(Debug)]
pub struct Pulled {
    /// The HTTP status.
    pub status: u16,
    /// The headers that go on to the client, one line each.
    pub headers: String,
    /// The body, as it comes.
    pub body: Option<ReadableStream>,
}

/// Sends `body`, with the signature of `request` if it has one, to an origin.
///
/// # Errors
/// [`Error::OriginUnreachable`].
pub async fn pull(url: &str, request: &web_sys::Request, body: &[u8]) -> Result<Pulled, Error> {
    let answer = JsFuture::from(pull_js(url, request, &Uint8Array::from(body)))
        .await
        .map_err(|_| Error::OriginUnreachable)?;
    let answer: Array = answer.unchecked_into();
    Ok(Pulled {
        status: status(&answer.get(0)),
        headers: answer.get(1).as_string().unwrap_or_default(),
        body: answer.get(2).dyn_into().ok(),
    })
}

/// Returns the result of `future`, if it is there in `time`.
///
/// # Errors
/// The future's own, and [`Error::Platform`] when it takes longer.
pub async fn within<T>(
    time: Duration,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match select(pin!(future), pin!(Delay::from(time))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Error::Platform(format!("no answer in {time:?}"))),
    }
}

/// Returns a body that is what `text` will be. The answer can begin before it is.
pub fn body_of(text: impl Future<Output = Result<String, Error>> + 'static) -> ReadableStream {
    let promise = future_to_promise(async {
        match text.await {
            Ok(text) => Ok(text.into()),
            Err(error) => {
                error.log();
                Err(JsValue::from_str("the answer failed"))
            }
        }
    });
    stream_of_js(&promise)
}

/// Puts a value into the KV namespace `CONTENT`, with its metadata as JSON.
///
/// # Errors
/// [`Error::Platform`] when KV does not take it now.
pub async fn write_content(env: &Env, key: &str, value: &str, metadata: &str) -> Result<(), Error> {
    JsFuture::from(write_content_js(env, key, value, metadata))
        .await
        .map(|_| ())
        .map_err(|error| Error::platform("writing KV", &error))
}
