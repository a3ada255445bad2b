//! Signs what the origin sends to an edge.

use headstart_protocol::{keys::Key, signature::SignedHeaders};
use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::clock::now_ms;

/// Headers that sign `body` with `key` now, under a fresh message id: the edge refuses a message
/// id that it has seen, so nothing is ever sent under the same one twice.
#[must_use]
pub fn signed_headers(body: &[u8], key: &Key) -> HeaderMap {
    let id = Uuid::now_v7().to_string();
    SignedHeaders::sign(&id, now_ms(), body, key)
        .pairs()
        .into_iter()
        .filter_map(|(name, value)| {
            // Ids, digits and base64 are always valid in a header.
            let value = HeaderValue::from_str(value).ok()?;
            Some((HeaderName::from_static(name), value))
        })
        .collect()
}
