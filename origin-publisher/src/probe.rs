//! Asks each edge and its KV whether a configuration works there. All that it leaves behind is, at each
//! edge, a ticket that nobody holds and that ends within a minute or two.

use std::time::Duration;

use headstart_client::{clock::now_ms, http_client, signing::signed_headers};
use headstart_protocol::{
    event::MEDIA_TYPE_BATCH, keys::KeyRing, limits::SIGNATURE_TOLERANCE_SECONDS, ticket::Ticket,
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, EdgeConfig, Secrets, TicketsConfig, secrets::EdgeSecrets},
    deliver::kv_api::KvApi,
};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How far a ticket's age is from the end of its life where both sides must agree on it, in ms, at most.
const MARGIN_MS: u64 = 60_000;

/// What was found out about an edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The edge's name.
    pub edge: String,
    /// What was asked: `edge`, `clock`, `origin key`, `tickets` or `kv`.
    pub check: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
}

/// The answer of `GET /healthz`.
#[derive(Debug, Deserialize)]
struct Health {
    version: String,
    #[serde(default)]
    warnings: Vec<String>,
}

/// The answer of `GET /ping`.
#[derive(Debug, Deserialize)]
struct Pong {
    time: u64,
}

/// Asks all edges, one after the other.
///
/// # Errors
/// When the HTTP client cannot be built.
pub async fn probe(config: &Config, secrets: &Secrets) -> Result<Vec<Finding>, reqwest::Error> {
    let client = http_client::build()?;
    let mut findings = Vec::new();
    for (edge, secrets_of_edge) in config.edges.iter().zip(&secrets.edges) {
        let probe = Probe {
            client: &client,
            edge,
            secrets: secrets_of_edge,
            ticket_keys: &secrets.ticket.value,
            tickets: &config.tickets,
        };
        findings.extend(probe.all().await);
    }
    Ok(findings)
}

struct Probe<'a> {
    client: &'a reqwest::Client,
    edge: &'a EdgeConfig,
    secrets: &'a EdgeSecrets,
    ticket_keys: &'a KeyRing,
    tickets: &'a TicketsConfig,
}

impl Probe<'_> {
    async fn all(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut note = |check: &'static str, result: Result<String, String>| {
            findings.push(Finding {
                edge: self.edge.name(),
                check,
                ok: result.is_ok(),
                detail: result.unwrap_or_else(|error| error),
            });
        };
        let health = self.health().await;
        let is_there = health.is_ok();
        note("edge", health);
        // What is not there has no opinion on the rest.
        if is_there {
            let offset = self.offset().await;
            let offset_ms = offset.clone().unwrap_or_default();
            note("clock", offset.and_then(judge_clock));
            note("origin key", self.origin_key().await);
            note("tickets", self.tickets(offset_ms).await);
        }
        if let (Some(kv), Some(token)) = (&self.edge.kv, &self.secrets.api_token) {
            let api = KvApi::new(self.client.clone(), kv, &token.value);
            let answer = tokio::time::timeout(TIMEOUT, api.check()).await;
            note(
                "kv",
                match answer {
                    Ok(Ok(())) => Ok("the token may read the namespace".to_owned()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the KV API does not answer".to_owned()),
                },
            );
        }
        findings
    }

    async fn health(&self) -> Result<String, String> {
        let (status, body) = self.get("/healthz").await?;
        let health: Health = serde_json::from_slice(&body)
            .map_err(|_| format!("it answers {status}: is this the URL of an edge?"))?;
        let warnings = health.warnings.join("; ");
        match (status, warnings.is_empty()) {
            (StatusCode::OK, true) => Ok(format!("it is well, version {}", health.version)),
            (StatusCode::OK, false) => Ok(format!(
                "version {}, and it warns: {warnings}",
                health.version
            )),
            _ => Err(format!("it is misconfigured: {warnings}")),
        }
    }

    /// Returns how far the edge's clock is ahead, in ms.
    async fn offset(&self) -> Result<i64, String> {
        let before = now_ms();
        let (_, body) = self.get("/ping").await?;
        let here = before.midpoint(now_ms());
        let pong: Pong = serde_json::from_slice(&body)
            .map_err(|_| "GET /ping does not tell the time".to_owned())?;
        Ok(pong.time.cast_signed().saturating_sub(here.cast_signed()))
    }

    /// Posts an empty batch of events: signed, and nothing in it.
    async fn origin_key(&self) -> Result<String, String> {
        let body = "[]";
        let key = self.secrets.key.value.current();
        let request = self
            .client
            .post(self.edge.at("/events"))
            .timeout(TIMEOUT)
            .header(CONTENT_TYPE, MEDIA_TYPE_BATCH)
            .headers(signed_headers(body.as_bytes(), key))
            .body(body);
        let answer = request.send().await.map_err(http_client::describe)?;
        match answer.status() {
            StatusCode::OK => Ok("the edge knows it".to_owned()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(format!(
                "the edge refuses the signature: {} must be in its ORIGIN_KEYS, and both clocks must be right",
                self.secrets.key.from
            )),
            status => Err(format!("the edge answered {status}")),
        }
    }

    /// Tickets whose life has just ended, and is about to end: both sides must say so.
    async fn tickets(&self, offset_ms: i64) -> Result<String, String> {
        let ttl_ms = self.tickets.ttl_seconds.saturating_mul(1000);
        let margin_ms = MARGIN_MS.min(ttl_ms / 4);
        let now_ms = now_ms().saturating_add_signed(offset_ms);
        let seconds = self.tickets.ttl_seconds;
        let of_age = async |age_ms: u64| {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(|error| error.to_string())?;
            let minted_at_ms = now_ms.saturating_sub(age_ms);
            let ticket = Ticket::mint(minted_at_ms, 0, random, self.ticket_keys.current());
            let (status, _) = self.get(&format!("/tickets/{}", ticket.as_str())).await?;
            Ok::<_, String>(status)
        };
        match of_age(ttl_ms.saturating_add(margin_ms)).await? {
            StatusCode::GONE => {}
            StatusCode::NOT_FOUND => {
                return Err("the edge does not know the key of our tickets: its TICKET_KEY must be HEADSTART_TICKET_KEY".to_owned());
            }
            StatusCode::OK | StatusCode::ACCEPTED => {
                return Err(format!(
                    "the edge's TICKET_TTL_SECONDS is more than tickets.ttl_seconds = {seconds}"
                ));
            }
            status => return Err(format!("the edge answered {status}")),
        }
        match of_age(ttl_ms.saturating_sub(margin_ms)).await? {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(format!(
                "the edge knows their key, and that they live {seconds} s"
            )),
            StatusCode::GONE => Err(format!(
                "the edge's TICKET_TTL_SECONDS is less than tickets.ttl_seconds = {seconds}"
            )),
            status => Err(format!("the edge answered {status}")),
        }
    }

    /// Returns the status and the body of a `GET` at the edge.
    async fn get(&self, path: &str) -> Result<(StatusCode, Vec<u8>), String> {
        let request = self.client.get(self.edge.at(path)).timeout(TIMEOUT);
        let answer = request.send().await.map_err(|error| {
            format!(
                "cannot reach {}: {}",
                self.edge.url,
                http_client::root_cause(&error)
            )
        })?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(http_client::describe)?;
        Ok((status, body.to_vec()))
    }
}

fn judge_clock(offset_ms: i64) -> Result<String, String> {
    let apart = offset_ms.unsigned_abs();
    if apart > SIGNATURE_TOLERANCE_SECONDS * 1000 {
        return Err(format!(
            "the clocks are {} s apart: signatures are refused beyond {SIGNATURE_TOLERANCE_SECONDS} s",
            apart / 1000
        ));
    }
    Ok(format!("about {apart} ms apart"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_be_as_far_apart_as_signatures_allow() {
        let limit = i64::try_from(SIGNATURE_TOLERANCE_SECONDS * 1000).unwrap();
        for (offset, is_fine) in [
            (0, true),
            (-limit, true),
            (limit + 1, false),
            (-limit - 1, false),
        ] {
            assert_eq!(judge_clock(offset).is_ok(), is_fine, "{offset}");
        }
    }
}
