//! One login, from its request to the offer: `POST /login`, then the ticket's stream until the offer is
//! there.

use std::time::Duration;

use anyhow::{Context, bail};
use headstart_client::subscribe::sse;
use headstart_protocol::login::LoginAccepted;
use http::{StatusCode, header::RETRY_AFTER};
use tokio::time::{Instant, sleep, timeout};

use super::{
    site::{Site, stream},
    tally::Ending,
};
use crate::http_pool::Answer;

/// How long a login may take in all until what has not come counts as lost.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long whoever waits stays away from a stream that broke off, where the server does not say: as
/// browsers do.
const AGAIN: Duration = Duration::from_secs(1);

/// Logs in and waits; gives how it ended, and when. `offer` is what the one in JavaScript settles with.
pub async fn visit(site: &Site, offer: &str) -> (Ending, Instant) {
    let end = Instant::now() + PATIENCE;
    let accepted = match tokio::time::timeout_at(end, log_in(site)).await {
        Ok(Ok(Login::Accepted(accepted))) => accepted,
        Ok(Ok(Login::Not(ending))) => return (ending, Instant::now()),
        Ok(Err(error)) => return (Ending::Other(format!("{error:#}")), Instant::now()),
        Err(_) => {
            return (
                Ending::Other("no answer to a login".to_owned()),
                Instant::now(),
            );
        }
    };
    let settled = settle(site, &accepted.ticket, offer);
    let waited = tokio::time::timeout_at(end, wait(site, &accepted.events));
    let (settled, waited) = tokio::join!(settled, waited);
    match (waited, settled) {
        (Ok((ending, _)), Err(error)) if ending != Ending::Offer => {
            (Ending::Other(format!("{error:#}")), Instant::now())
        }
        (Ok(waited), _) => waited,
        (Err(_), _) => (Ending::Lost, Instant::now()),
    }
}

/// Logs in and waits; gives what was told. Anything but an offer is an error.
pub async fn told(site: &Site) -> anyhow::Result<String> {
    let Login::Accepted(accepted) = log_in(site).await? else {
        bail!("the first login is refused");
    };
    let mut answer = site.http.send(stream(&accepted.events)?).await?;
    let mut reader = sse::Reader::default();
    let mut told = None;
    while told.is_none() {
        let bytes = timeout(PATIENCE, answer.next()).await??;
        reader.read(&bytes.context("a stream ended early")?, |frame| {
            told = (frame.event == b"offer").then(|| frame.data.to_vec());
        })?;
    }
    Ok(String::from_utf8(told.unwrap_or_default())?)
}

enum Login {
    Accepted(LoginAccepted),
    Not(Ending),
}

async fn log_in(site: &Site) -> anyhow::Result<Login> {
    let answer = site.http.send(site.login()).await?;
    let status = answer.status();
    let retry_after = retry_after(&answer);
    let body = answer.rest().await?;
    Ok(match status {
        StatusCode::ACCEPTED => Login::Accepted(serde_json::from_slice(&body)?),
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => Login::Not(Ending::Refused),
        _ => Login::Not(Ending::Other(format!("{status} to a login"))),
    })
}

async fn settle(site: &Site, ticket: &str, offer: &str) -> anyhow::Result<()> {
    let Some(request) = site.settlement(ticket, offer) else {
        return Ok(());
    };
    let answer = timeout(PATIENCE, site.http.send(request)).await??;
    let status = answer.status();
    answer.rest().await?;
    if !status.is_success() {
        bail!("{status} to a settlement");
    }
    Ok(())
}

/// Waits as a client does that comes back whenever its stream ends too early.
async fn wait(site: &Site, events: &str) -> (Ending, Instant) {
    loop {
        let again = match follow(site, events).await {
            Ok(Followed::Told(ending, at)) => return (ending, at),
            Ok(Followed::Later(again)) => again,
            Err(_) => AGAIN,
        };
        sleep(again).await;
    }
}

enum Followed {
    Told(Ending, Instant),
    /// There is no room to wait now.
    Later(Duration),
}

async fn follow(site: &Site, events: &str) -> anyhow::Result<Followed> {
    let mut answer = site.http.send(stream(events)?).await?;
    if answer.status() != StatusCode::OK {
        let again = retry_after(&answer).unwrap_or(AGAIN);
        answer.rest().await?;
        return Ok(Followed::Later(again));
    }
    let mut reader = sse::Reader::default();
    let mut told = None;
    while told.is_none() {
        let bytes = answer.next().await?.context("a stream ended early")?;
        reader.read(&bytes, |frame| {
            told = Some(match frame.event {
                b"offer" => Ending::Offer,
                _ => Ending::Failed,
            });
        })?;
    }
    let at = Instant::now();
    // It ends now, and its connection can be used again. Where it does not, that is nobody's concern here.
    drop(timeout(AGAIN, answer.rest()).await);
    Ok(Followed::Told(told.unwrap_or(Ending::Lost), at))
}

fn retry_after(answer: &Answer<'_>) -> Option<Duration> {
    let value = answer.headers().get(RETRY_AFTER)?;
    Some(Duration::from_secs(value.to_str().ok()?.parse().ok()?))
}
