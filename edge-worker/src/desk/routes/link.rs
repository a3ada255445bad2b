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
    let desk: Option<u16> = context
        .head
        .query_value("desk")
        .and_then(|text| text.parse().ok());
    // Verified before the desk is judged: only an origin learns how many there are.
    signature::verify(
        |name| context.header(name),
        handshake_text(desk.unwrap_or_default().into()).as_bytes(),
        &config.origin_keys,
        context.head.now_ms,
    )?;
    let desks = config.desks.count.into();
    let desk = desk
        .filter(|desk| u32::from(*desk) < desks)
        .ok_or(Error::UnknownDesk { desks })?;
    websocket::require_upgrade(context)?;
    let response = client::forward(&context.env, config, desk, &context.request).await?;
    Ok(Reply::Untouched(response))
}
