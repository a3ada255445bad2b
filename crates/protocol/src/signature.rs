//! Signed requests, by [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
//! HMAC-SHA-256 over `id.timestamp.body`, several keys accepted so that they can be rotated.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::Mac;

use crate::{
    keys::{Key, KeyRing},
    limits::{MAX_ATTRIBUTE_BYTES, SIGNATURE_TOLERANCE_SECONDS},
};

/// The header that names the message; the same on every retry of it.
pub const ID_HEADER: &str = "webhook-id";
/// The header with the time of sending, in seconds since the Unix epoch.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// The header with one or more signatures, separated by spaces.
pub const SIGNATURE_HEADER: &str = "webhook-signature";

/// Bytes of an HMAC-SHA-256.
const MAC_BYTES: usize = 32;

/// Most signatures looked at in one header: a sender rotates between two keys, a few more do no harm.
const MAX_SIGNATURES: usize = 8;

/// Why a request is not accepted as signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// One of the three headers is absent or not of its form.
    #[error("the header {0} is missing or malformed")]
    Header(&'static str),
    /// The timestamp is further than the tolerance from the verifier's clock.
    #[error(
        "the webhook-timestamp is more than {SIGNATURE_TOLERANCE_SECONDS} s from this server's clock"
    )]
    Timestamp,
    /// No signature of the header is one of ours.
    #[error("no signature matches")]
    Mismatch,
}

/// The three headers of a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders {
    /// Value of [`ID_HEADER`].
    pub id: String,
    /// Value of [`TIMESTAMP_HEADER`].
    pub timestamp: String,
    /// Value of [`SIGNATURE_HEADER`].
    pub signature: String,
}

impl SignedHeaders {
    /// Signs `body` under `id` at `now_ms` (the wire has whole seconds).
    #[must_use]
    pub fn sign(id: &str, now_ms: u64, body: &[u8], key: &Key) -> Self {
        let timestamp = (now_ms / 1000).to_string();
        let mut mac = key.hmac();
        for part in signed_parts(id, &timestamp, body) {
            mac.update(part);
        }
        Self {
            id: id.to_owned(),
            signature: format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())),
            timestamp,
        }
    }

    /// Names and values, to be set on a request.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, &str); 3] {
        [
            (ID_HEADER, &self.id),
            (TIMESTAMP_HEADER, &self.timestamp),
            (SIGNATURE_HEADER, &self.signature),
        ]
    }
}

/// Verifies a request by its headers, which `header` looks up by lower-case name, and gives its
/// `webhook-id`.
///
/// A valid signature says who sent the request, not that it is new: whoever must act on it once only
/// has to remember the id for [`crate::limits::REPLAY_MEMORY_MS`].
///
/// # Errors
/// [`SignatureError`]; the comparison takes constant time.
pub fn verify(
    header: impl Fn(&str) -> Option<String>,
    body: &[u8],
    keys: &KeyRing,
    now_ms: u64,
) -> Result<String, SignatureError> {
    let get = |name| header(name).ok_or(SignatureError::Header(name));
    let id = get(ID_HEADER)?;
    if id.is_empty() || id.len() > MAX_ATTRIBUTE_BYTES || !id.bytes().all(|b| b.is_ascii_graphic())
    {
        return Err(SignatureError::Header(ID_HEADER));
    }
    let timestamp = get(TIMESTAMP_HEADER)?;
    let seconds: u64 = timestamp
        .parse()
        .map_err(|_| SignatureError::Header(TIMESTAMP_HEADER))?;
    if seconds.abs_diff(now_ms / 1000) > SIGNATURE_TOLERANCE_SECONDS {
        return Err(SignatureError::Timestamp);
    }
    let parts = signed_parts(&id, &timestamp, body);
    let matched = get(SIGNATURE_HEADER)?
        .split(' ')
        .take(MAX_SIGNATURES)
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .filter(|tag| tag.len() == MAC_BYTES)
        .fold(false, |found, tag| found | keys.verifies(&parts, &tag));
    if matched {
        Ok(id)
    } else {
        Err(SignatureError::Mismatch)
    }
}

fn signed_parts<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_614_265_330_000;

    fn key(fill: u8) -> Key {
        Key::from_bytes(&[fill; 32]).unwrap()
    }

    fn check(
        headers: &SignedHeaders,
        body: &[u8],
        keys: &KeyRing,
        now_ms: u64,
    ) -> Result<String, SignatureError> {
        let pairs = headers.pairs();
        let header = |name: &str| {
            let (_, value) = pairs.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        };
        verify(header, body, keys, now_ms)
    }

    #[test]
    fn the_published_test_vector_is_signed_and_verified() {
        // From the Standard Webhooks reference libraries.
        let keys = KeyRing::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let headers =
            SignedHeaders::sign("msg_p5jXN8AQM9LWM0D4loKWxJek", NOW_MS, body, keys.current());
        assert_eq!(
            headers.signature,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(check(&headers, body, &keys, NOW_MS), Ok(headers.id.clone()));
    }

    #[test]
    fn an_old_and_a_future_timestamp_are_refused() {
        let headers = SignedHeaders::sign("1", NOW_MS, b"", &key(1));
        let at = |now_ms| check(&headers, b"", &key(1).into(), now_ms).map(|_| ());
        assert_eq!(at(NOW_MS + 300_000), Ok(()));
        assert_eq!(at(NOW_MS + 301_000), Err(SignatureError::Timestamp));
        assert_eq!(at(NOW_MS - 301_000), Err(SignatureError::Timestamp));
    }

    #[test]
    fn another_key_is_refused_and_a_rotated_key_accepted() {
        let headers = SignedHeaders::sign("1", NOW_MS, b"x", &key(1));
        let check = |keys| check(&headers, b"x", &keys, NOW_MS).map(|_| ());
        assert_eq!(check(key(2).into()), Err(SignatureError::Mismatch));
        let both = format!("{} {}", key(2).expose(), key(1).expose());
        assert_eq!(check(KeyRing::parse(&both).unwrap()), Ok(()));
    }

    #[test]
    fn one_good_signature_among_several_is_enough() {
        let mut headers = SignedHeaders::sign("1", NOW_MS, b"x", &key(1));
        headers.signature = format!("v1a,abc v1,AAAA {} junk", headers.signature);
        assert!(check(&headers, b"x", &key(1).into(), NOW_MS).is_ok());
    }

    #[test]
    fn missing_and_malformed_headers_are_named() {
        let good = SignedHeaders::sign("1", NOW_MS, b"x", &key(1));
        let with = |change: fn(&mut SignedHeaders)| {
            let mut headers = good.clone();
            change(&mut headers);
            check(&headers, b"x", &key(1).into(), NOW_MS)
        };
        assert_eq!(
            with(|h| h.id.clear()),
            Err(SignatureError::Header(ID_HEADER))
        );
        assert_eq!(
            with(|h| h.timestamp = "soon".into()),
            Err(SignatureError::Header(TIMESTAMP_HEADER))
        );
        assert_eq!(with(|h| h.signature.clear()), Err(SignatureError::Mismatch));
        assert_eq!(
            with(|h| h.signature = "v1,".into()),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            verify(|_| None, b"x", &key(1).into(), NOW_MS),
            Err(SignatureError::Header(ID_HEADER))
        );
    }

    proptest! {
        #[test]
        fn any_change_of_the_body_is_noticed(body: Vec<u8>, other: Vec<u8>) {
            prop_assume!(body != other);
            let headers = SignedHeaders::sign("1", NOW_MS, &body, &key(1));
            let keys = KeyRing::from(key(1));
            prop_assert!(check(&headers, &body, &keys, NOW_MS).is_ok());
            prop_assert_eq!(check(&headers, &other, &keys, NOW_MS), Err(SignatureError::Mismatch));
        }

        #[test]
        fn any_headers_are_refused_without_a_panic(id in "\\PC{0,9}", timestamp in "\\PC{0,12}", signature in "\\PC{0,60}") {
            let headers = SignedHeaders { id, timestamp, signature };
            prop_assert!(check(&headers, b"", &key(1).into(), NOW_MS).is_err());
        }
    }
}
