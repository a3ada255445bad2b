//! `POST /offers`: asks the origin for an offer while the client waits, as any content delivery network
//! does that has nothing positioned. It is what a head start is measured against, and needs an origin
//! that can be reached, `ORIGIN_URL`.

use crate::{
    desk::routes,
    http::{
        answer::Answer,
        error::Error,
        request::{Reply, RequestContext},
    },
    platform,
};

/// `POST /offers`
///
/// # Errors
/// [`Error::NoOrigin`], those of [`routes::login::admit`], [`Error::OriginUnreachable`].
pub async fn post(context: &RequestContext) -> Result<Reply, Error> {
    let config = context.config()?;
    let origin = config.origin_url.as_deref().ok_or(Error::NoOrigin)?;
    let login = routes::login::admit(context, config).await?;
    let url = format!("{origin}/offers");
    let pulled = platform::pull(&url, &context.request, &login.body).await?;
    let answer = Answer::new(pulled.status).lines(&pulled.headers);
    Ok(match pulled.body {
        Some(body) => answer.stream(body),
        None => answer,
    }
    .into())
}
