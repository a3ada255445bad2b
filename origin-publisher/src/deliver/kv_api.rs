//! The provider's REST API for KV, as far as it is needed: the bulk write, and a look whether it can be
//! used.
//! [Write multiple key-value pairs](https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/subresources/keys/methods/bulk_update/).

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use headstart_client::{http_client, token::Token};
use headstart_protocol::kv::OfferMetadata;
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{budget::Budget, rate_limit, retry_after::retry_after};
use crate::config::KvConfig;

/// How long one bulk write may take: it may have tens of megabytes.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Longest part of the provider's message that is logged.
const MAX_MESSAGE_CHARS: usize = 200;

/// Error codes that come with 400 and are about no pair: a malformed token ("invalid request headers") or
/// one that is not seen ("missing ... authorization headers", 9106), and an account or namespace that is not
/// there ("no route", "namespace not found").
const NOT_THE_PAIRS: [i64; 6] = [6003, 6004, 7000, 7003, 9106, 10013];

/// One pair of a bulk write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair<'a> {
    /// The key.
    pub key: String,
    /// The value, in base64 where `base64` says so.
    pub value: Cow<'a, str>,
    /// Whether the value is in base64.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub base64: bool,
    /// Seconds until it is deleted.
    pub expiration_ttl: u64,
    /// What stands beside it.
    pub metadata: OfferMetadata,
}

/// Returns a value for a pair: as text where it is text, else in base64. Text that JSON would blow up to more
/// than base64 does, as control characters do, travels in base64 too.
#[must_use]
pub fn value_of(bytes: &[u8]) -> (Cow<'_, str>, bool) {
    let base64_len = bytes.len().div_ceil(3) * 4;
    match str::from_utf8(bytes) {
        Ok(text) if json_len(text) <= base64_len + 2 => (Cow::Borrowed(text), false),
        _ => (Cow::Owned(STANDARD.encode(bytes)), true),
    }
}

/// Returns how long a text is as a JSON string, without its quotes.
fn json_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}

/// Why a bulk write did nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// Too many requests; every call is blocked for a while.
    #[error("the KV API answered 429: too many requests")]
    TooMany {
        /// How long the provider asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The provider will not take this batch; perhaps because of one pair in it.
    #[error("the KV API refused the batch: {0}")]
    Batch(String),
    /// Something else is wrong: the token, the namespace, the provider, the network.
    #[error("the KV API: {reason}")]
    Failure {
        /// What is wrong.
        reason: String,
        /// How long the provider asked to be left alone.
        retry_after: Option<Duration>,
    },
}

/// One namespace, by its REST API.
#[derive(Debug, Clone)]
pub struct KvApi {
    client: reqwest::Client,
    namespace_url: String,
    authorization: HeaderValue,
}

/// The provider's envelope around every answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Envelope<T> {
    success: bool,
    errors: Vec<Message>,
    result: Option<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    code: i64,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BulkResult {
    unsuccessful_keys: Vec<String>,
}

impl KvApi {
    /// Makes a client of the namespace of `config`, called with `token`.
    #[must_use]
    pub fn new(client: reqwest::Client, config: &KvConfig, token: &Token) -> Self {
        let api = config.api.as_str().trim_end_matches('/');
        let account = config
            .account_id
            .as_ref()
            .map(|id| format!("/accounts/{id}"));
        Self {
            client,
            namespace_url: format!(
                "{api}{}/storage/kv/namespaces/{}",
                account.unwrap_or_default(),
                config.namespace_id,
            ),
            authorization: token.bearer(),
        }
    }

    /// Writes pairs in one request, and has `budget` heed what the provider says is left of its own. Returns
    /// the keys that were not written, to be tried again.
    ///
    /// # Errors
    /// [`KvError`]; nothing is known to be written then.
    pub async fn put(&self, pairs: &[Pair<'_>], budget: &Budget) -> Result<Vec<String>, KvError> {
        let body = serde_json::to_vec(pairs).map_err(|error| KvError::Batch(error.to_string()))?;
        let answer = self
            .client
            .put(format!("{}/bulk", self.namespace_url))
            .timeout(TIMEOUT)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await
            .map_err(failure)?;
        budget.heed(&rate_limit::left(answer.headers()));
        Ok(read::<BulkResult>(answer).await?.unsuccessful_keys)
    }

    /// Asks for a few keys: whether the API can be reached, the namespace is there, and the token may
    /// read it.
    /// [List a namespace's keys](https://developers.cloudflare.com/api/resources/kv/subresources/namespaces/subresources/keys/methods/list/).
    ///
    /// # Errors
    /// [`KvError`].
    pub async fn check(&self) -> Result<(), KvError> {
        // The fewest that may be asked for.
        let answer = self
            .client
            .get(format!("{}/keys?limit=10", self.namespace_url))
            .timeout(TIMEOUT)
            .header(AUTHORIZATION, self.authorization.clone())
            .send()
            .await
            .map_err(failure)?;
        match read::<IgnoredAny>(answer).await {
            Ok(_) => Ok(()),
            Err(KvError::Batch(reason)) => Err(KvError::Failure {
                reason,
                retry_after: None,
            }),
            Err(error) => Err(error),
        }
    }
}

/// Reads the result out of an answer's envelope.
async fn read<T: DeserializeOwned + Default>(answer: reqwest::Response) -> Result<T, KvError> {
    let status = answer.status();
    let retry_after = retry_after(answer.headers(), SystemTime::now());
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(KvError::TooMany { retry_after });
    }
    let body = answer.bytes().await.map_err(failure)?;
    let envelope: Envelope<T> = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() && envelope.success {
        return Ok(envelope.result.unwrap_or_default());
    }
    let not_the_pairs = envelope
        .errors
        .iter()
        .any(|error| NOT_THE_PAIRS.contains(&error.code));
    let reason = describe(status, &envelope.errors);
    let is_batch = matches!(
        status,
        StatusCode::OK
            | StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY
    );
    if is_batch && !not_the_pairs {
        return Err(KvError::Batch(reason));
    }
    Err(KvError::Failure {
        reason,
        retry_after,
    })
}

fn describe(status: StatusCode, errors: &[Message]) -> String {
    let Some(error) = errors.first() else {
        return status.to_string();
    };
    let message: String = error
        .message
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_MESSAGE_CHARS)
        .collect();
    format!("{status}, code {}: {message}", error.code)
}

fn failure(error: reqwest::Error) -> KvError {
    KvError::Failure {
        reason: http_client::describe(error),
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_travels_as_text_and_the_rest_in_base64() {
        assert_eq!(
            value_of(b"{\"a\":\"caf\xc3\xa9\"}"),
            ("{\"a\":\"café\"}".into(), false)
        );
        assert_eq!(value_of(&[0xFF, 0]), ("/wA=".into(), true));
        let (_, base64) = value_of(&[1; 100]);
        assert!(base64, "JSON would write six characters for each of these");
    }
}
