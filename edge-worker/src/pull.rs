//! `POST /offers`: asks the origin for an offer while the client waits, as any content delivery network
//! does that has nothing positioned. It is what a head start is measured against, and needs an origin
//! that can be reached, `ORIGIN_URL`.

use crate::{
    answer::Answer,
    call::{Call, Reply},
    error::Error,
    login, platform,
};

/// `POST /offers`
///
/// # Errors
/// [`Error::NoOrigin`], those of [`login::admit`], [`Error::OriginUnreachable`].
pub async fn post(call: &Call) -> Result<Reply, Error> {
    let config = call.config()?;
    let origin = config.origin_url.as_deref().ok_or(Error::NoOrigin)?;
    let login = login::admit(call, config).await?;
    let url = format!("{origin}/offers");
    let pulled = platform::pull(&url, &call.request, &login.body).await?;
    let answer = Answer::new(pulled.status).lines(&pulled.headers);
    Ok(match pulled.body {
        Some(body) => answer.stream(body),
        None => answer,
    }
    .into())
}
