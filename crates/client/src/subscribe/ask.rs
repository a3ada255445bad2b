//! Asks the edge over a connection of its own. The connection is driven by whoever reads the answer, in
//! the same task: a frame costs no message from one task to another.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{HOST, RETRY_AFTER, USER_AGENT},
    response,
};
use http_body_util::Empty;
use hyper::{
    body::{Body, Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;

use super::{
    SubscribeError,
    connect::{self, Connection, connect},
    request::Request,
};

/// Most bytes of a refusal that are read: a problem has a few hundred.
const MAX_REFUSAL_BYTES: usize = 16 * 1024;

/// An answer: its head, and its body as it comes.
#[derive(Debug)]
pub(super) struct Answer {
    head: response::Parts,
    body: Incoming,
    connection: http1::Connection<TokioIo<Connection>, Empty<Bytes>>,
    /// The connection needs no driving any more.
    is_done: bool,
}

impl Answer {
    /// Connects, sends the request with these headers beside its own, and reads the head of the answer.
    pub(super) async fn to(
        request: &Request,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Self, SubscribeError> {
        let connection = connect(&request.url).await?;
        tokio::time::timeout(connect::TIMEOUT, Self::over(connection, request, headers))
            .await
            .map_err(|_| SubscribeError::connection("no answer within 10 s"))?
    }

    async fn over(
        connection: Connection,
        request: &Request,
        headers: &[(HeaderName, HeaderValue)],
    ) -> Result<Self, SubscribeError> {
        let (mut sender, mut connection) = http1::handshake(TokioIo::new(connection))
            .await
            .map_err(SubscribeError::connection)?;
        let mut is_done = false;
        let mut answer = pin!(sender.send_request(message(request, headers)?));
        let answer = poll_fn(|cx| {
            drive(&mut connection, &mut is_done, cx);
            answer.as_mut().poll(cx)
        })
        .await
        .map_err(SubscribeError::connection)?;
        let (head, body) = answer.into_parts();
        Ok(Self {
            head,
            body,
            connection,
            is_done,
        })
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Returns the next bytes of the body; `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SubscribeError> {
        loop {
            let frame = poll_fn(|cx| {
                drive(&mut self.connection, &mut self.is_done, cx);
                Pin::new(&mut self.body).poll_frame(cx)
            })
            .await;
            match frame {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Some(Err(error)) => return Err(SubscribeError::connection(error)),
                None => return Ok(None),
            }
        }
    }

    /// Returns why the edge refuses, as its answer says.
    pub(super) async fn refusal(mut self) -> SubscribeError {
        let mut body = Vec::new();
        let reading = async {
            while let Ok(Some(bytes)) = self.next().await {
                body.extend_from_slice(&bytes);
                if body.len() > MAX_REFUSAL_BYTES {
                    break;
                }
            }
        };
        // Without a body in time, the status must do.
        let _ = tokio::time::timeout(connect::TIMEOUT, reading).await;
        let retry_after = self.head.headers.get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        SubscribeError::refused(self.head.status, &body, retry_after)
    }

    /// Returns the connection itself after it has switched protocols, and what has been read of the new one.
    pub(super) async fn switched(mut self) -> (Connection, Bytes) {
        poll_fn(|cx| {
            drive(&mut self.connection, &mut self.is_done, cx);
            if self.is_done {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let parts = self.connection.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }
}

/// Lets the connection read and write. How it ends shows in the answer and its body.
fn drive(
    connection: &mut http1::Connection<TokioIo<Connection>, Empty<Bytes>>,
    is_done: &mut bool,
    cx: &mut Context<'_>,
) {
    if *is_done {
        return;
    }
    if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
        *is_done = true;
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended");
        }
    }
}

fn message(
    request: &Request,
    headers: &[(HeaderName, HeaderValue)],
) -> Result<http::Request<Empty<Bytes>>, SubscribeError> {
    let url = &request.url;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut message = http::Request::get(path)
        .header(HOST, host)
        .header(
            USER_AGENT,
            concat!("headstart-origin/", env!("CARGO_PKG_VERSION")),
        )
        .body(Empty::new())
        .map_err(|error| SubscribeError::Request(error.to_string()))?;
    message.headers_mut().extend(headers.iter().cloned());
    message.headers_mut().extend(request.headers.clone());
    Ok(message)
}
