//! `POST /offers`: generates while the caller waits, and answers the offer itself. This is what a
//! site without a head start does, and so what a head start is measured against.

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use headstart_client::clock::now_ms;
use headstart_protocol::stamps::{Point, STAMPS_HEADER, Stamps};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use super::{
    Listener,
    answers::{Refusal, read},
};

pub(super) async fn offers(
    State(listener): State<Listener>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let inner = &listener.inner;
    let login_at_ms = now_ms();
    let body = read(body).await?;
    let admitted = inner.admission.admit(&headers, &body, login_at_ms)?;
    let generated = inner
        .pipeline
        .generate(admitted.login)
        .await
        .map_err(|error| {
            if error.is_not_started() {
                Refusal::Busy
            } else {
                Refusal::Failed(error.to_string())
            }
        })?;
    let stamps = Stamps::default()
        .with(Point::Login, login_at_ms)
        .with(Point::Started, generated.started_at)
        .with(Point::Generated, generated.generated_at);
    let header = |text: String| {
        HeaderValue::try_from(text)
            .map_err(|_| Refusal::Failed("the offer's media type is malformed".to_owned()))
    };
    let headers = [
        (CONTENT_TYPE.as_str(), header(generated.content.media_type)?),
        (STAMPS_HEADER, header(stamps.to_header())?),
        (
            CACHE_CONTROL.as_str(),
            HeaderValue::from_static("private, no-store"),
        ),
    ];
    Ok((StatusCode::OK, headers, generated.content.bytes).into_response())
}
