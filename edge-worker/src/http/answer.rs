//! An answer as the edge builds it, before it becomes the platform's response.

use std::fmt::Write;

use headstart_protocol::{
    problem,
    stamps::{STAMPS_HEADER, Stamps},
};
use serde::Serialize;
use worker::{
    WebSocket,
    js_sys::Uint8Array,
    wasm_bindgen::JsValue,
    web_sys::{self, ReadableStream},
};

use crate::{http::error::Error, platform};

/// The header with the id of the event that settled a ticket.
pub const EVENT_ID_HEADER: &str = "Headstart-Event-Id";

#[derive(Debug)]
enum Body {
    Empty,
    Bytes(Vec<u8>),
    /// Bytes or a stream in JavaScript's memory.
    Shared(JsValue),
    /// The client's end of a WebSocket.
    Socket(web_sys::WebSocket),
}

/// Status, headers and body. Whatever is put into a header, it cannot end it.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    /// `name:value`, one line each: the form in which they cross to JavaScript at once.
    headers: String,
    body: Body,
}

impl Answer {
    /// Returns an answer without a body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: String::with_capacity(512),
            body: Body::Empty,
        }
    }

    /// Returns an answer in JSON.
    pub fn json<T: Serialize>(status: u16, value: &T) -> Self {
        // Everything the edge answers has string keys only, and so a JSON form.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self::new(status)
            .header("Content-Type", "application/json")
            .body(body)
    }

    /// Adds a header. What HTTP does not allow in a value is replaced by `?`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(name);
        self.headers.push(':');
        self.headers.extend(value.chars().map(|c| match c {
            ' '..='~' | '\t' => c,
            _ => '?',
        }));
        self.headers.push('\n');
        self
    }

    /// Adds header lines that are ready: see [`Answer::header_lines`].
    pub fn lines(mut self, lines: &str) -> Self {
        self.headers.push_str(lines);
        self
    }

    /// Returns the headers set so far, to be set again by [`Answer::lines`].
    pub fn header_lines(self) -> String {
        self.headers
    }

    /// Adds the headers that tell of a ticket's settlement.
    pub fn settlement(self, event_id: &str, stamps: Stamps) -> Self {
        self.header(EVENT_ID_HEADER, &header_text(event_id))
            .header(STAMPS_HEADER, &stamps.to_header())
    }

    /// Sets these bytes as the body.
    pub fn body(mut self, bytes: Vec<u8>) -> Self {
        self.body = Body::Bytes(bytes);
        self
    }

    /// Sets bytes that are in JavaScript's memory as the body.
    pub fn shared_body(mut self, bytes: &Uint8Array) -> Self {
        self.body = Body::Shared(bytes.into());
        self
    }

    /// Sets a stream as the body.
    pub fn stream(mut self, stream: ReadableStream) -> Self {
        self.body = Body::Shared(stream.into());
        self
    }

    /// Returns the answer that opens a WebSocket.
    pub fn socket(client: &WebSocket) -> Self {
        let mut answer = Self::new(101);
        answer.body = Body::Socket(client.as_ref().clone());
        answer
    }

    /// Removes the body: the answer to HEAD.
    pub fn without_body(mut self) -> Self {
        self.body = Body::Empty;
        self
    }

    /// Returns whether there is nothing.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// Returns the HTTP status.
    #[cfg(test)]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the body as text, as far as it is here.
    #[cfg(test)]
    pub fn text(&self) -> String {
        match &self.body {
            Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Empty | Body::Shared(_) | Body::Socket(_) => String::new(),
        }
    }

    /// Returns the platform's response.
    ///
    /// # Errors
    /// [`Error::Platform`] when the platform refuses it.
    pub fn into_response(self) -> Result<web_sys::Response, Error> {
        let (body, socket) = match self.body {
            Body::Empty => (JsValue::NULL, None),
            Body::Bytes(bytes) => (Uint8Array::from(bytes.as_slice()).into(), None),
            Body::Shared(value) => (value, None),
            Body::Socket(socket) => (JsValue::NULL, Some(socket)),
        };
        platform::respond(self.status, &self.headers, &body, socket.as_ref())
            .map_err(|error| Error::platform("building a response", &error))
    }
}

/// Returns `text` as a header may have it: what is not visible ASCII is percent-encoded, and so is `%`.
pub fn header_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Error {
    /// Returns the answer that the client gets: [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem
    /// details, with the headers that belong to them.
    pub fn answer(&self) -> Answer {
        let problem = self.problem();
        let answer = Answer::new(problem.status)
            .header("Content-Type", problem::MEDIA_TYPE)
            .header("Cache-Control", "no-store")
            .body(problem.to_json().into_bytes());
        match self {
            Self::MethodNotAllowed { allow } => answer.header("Allow", allow),
            Self::RateLimited => answer.header("Retry-After", "60"),
            Self::BacklogFull | Self::TooManyWaiters | Self::TooManySubscribers => {
                answer.header("Retry-After", "5")
            }
            Self::Platform(_) => answer.header("Retry-After", "1"),
            Self::Signature(_) => answer.header("WWW-Authenticate", "StandardWebhooks"),
            Self::TokenRequired => answer.header("WWW-Authenticate", "Bearer"),
            Self::TokenRefused(_) | Self::TokensUnsupported => {
                answer.header("WWW-Authenticate", "Bearer error=\"invalid_token\"")
            }
            Self::TopicForbidden => {
                answer.header("WWW-Authenticate", "Bearer error=\"insufficient_scope\"")
            }
            Self::UpgradeRequired => answer.header("Upgrade", "websocket"),
            Self::GenerationFailed(failure) => answer.settlement(&failure.event_id, failure.stamps),
            _ => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_cannot_be_ended_by_its_value() {
        let answer = Answer::new(200).header("A", "x\r\nSet-Cookie: y\u{e9}");
        assert_eq!(answer.header_lines(), "A:x??Set-Cookie: y?\n");
    }

    #[test]
    fn header_text_is_percent_encoded() {
        assert_eq!(header_text("e1-/é %"), "e1-/%C3%A9%20%25");
    }
}
