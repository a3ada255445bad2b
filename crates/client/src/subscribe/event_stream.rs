//! A stream of Server-Sent Events.

use headstart_protocol::sse::MEDIA_TYPE;
use http::{
    HeaderValue, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use hyper::body::Bytes;

use super::{SubscribeError, ask::Answer, request::Request};

/// An open stream.
#[derive(Debug)]
pub struct EventStream(Answer);

impl EventStream {
    /// Opens it.
    ///
    /// # Errors
    /// [`SubscribeError`]; an answer that is no stream is [`SubscribeError::Refused`].
    pub async fn open(request: &Request) -> Result<Self, SubscribeError> {
        let headers = [
            (ACCEPT, HeaderValue::from_static(MEDIA_TYPE)),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        let answer = Answer::to(request, &headers).await?;
        if answer.status() != StatusCode::OK {
            return Err(answer.refusal().await);
        }
        let media_type = answer.headers().get(CONTENT_TYPE);
        if !media_type.is_some_and(|value| value.as_bytes().starts_with(MEDIA_TYPE.as_bytes())) {
            return Err(SubscribeError::Malformed(
                "the answer is no event stream".to_owned(),
            ));
        }
        Ok(Self(answer))
    }

    /// Returns the next bytes of the stream; `None` at its end.
    ///
    /// # Errors
    /// [`SubscribeError::Connection`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, SubscribeError> {
        self.0.next().await
    }
}
