//! `GET /origin/link?desk=K`: an origin opens its link to a desk.

use headstart_protocol::{link::handshake_text, signature};

use crate::{
    desk::client,
    http::{
        error::Error,
        request::{Reply, RequestContext},
    },
    platform::websocket,
};

/// `GET /origin/link`
///
/// # Errors
/// [`Error::Signature`], [`Error::UnknownDesk`], [`Error::UpgradeRequired`], [`Error::Platform`].
pub async fn get(context: &RequestContext) -> Result<Reply, Error> {
    let config = context.config()?;
    let desk: Option<u32> = context
        .head
        .query_value("desk")
        .and_then(|text| text.parse().ok());
    // Verified before the desk is judged: only an origin learns how many there are.
    signature::verify(
        |name| context.header(name),
        handshake_text(desk.unwrap_or_default()).as_bytes(),
        &config.origin_keys,
        context.head.now_ms,
    )?;
    let desks = config.desks;
    let desk = desk
        .filter(|desk| *desk < desks)
        .ok_or(Error::UnknownDesk { desks })?;
    websocket::require_upgrade(context)?;
    let response = client::link(&context.env, desk, &context.request).await?;
    Ok(Reply::Untouched(response))
}
