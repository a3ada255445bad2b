//! Secret keys: how they are written, and rings of them so that they can be rotated.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Prefix of a key in text form, from Standard Webhooks.
pub const KEY_PREFIX: &str = "whsec_";

/// Shortest key, in bytes (Standard Webhooks: 24 to 64).
pub const MIN_KEY_BYTES: usize = 24;

/// Longest key, in bytes (Standard Webhooks: 24 to 64).
pub const MAX_KEY_BYTES: usize = 64;

/// Why a key or a ring of keys is refused. Never repeats any part of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text does not begin with `whsec_`.
    #[error("key number {0} does not begin with whsec_")]
    Prefix(usize),
    /// What follows the prefix is not base64.
    #[error("key number {0} is not base64 after whsec_")]
    Base64(usize),
    /// The key is too short or too long.
    #[error("key number {0} must be 24 to 64 bytes, and is {1}")]
    Length(usize, usize),
    /// There is no key at all.
    #[error("no key is given")]
    Empty,
}

/// One secret key of 24 to 64 bytes. Its `Debug` form shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// Returns a key from raw bytes.
    ///
    /// # Errors
    /// [`KeyError::Length`] when there are fewer than 24 or more than 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if (MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&bytes.len()) {
            Ok(Self(bytes.to_vec()))
        } else {
            Err(KeyError::Length(1, bytes.len()))
        }
    }

    /// Returns the key's text form, `whsec_<base64>`. It is the secret itself: for writing a new key to where
    /// secrets are kept, never for a log.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{KEY_PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// Returns the secret itself, for what makes its own HMAC of it.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns an HMAC-SHA-256 under this key, ready to be fed.
    pub(crate) fn hmac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes a key of any length")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// One or more keys: the first signs and mints, all verify.
///
/// To rotate: put the new key second everywhere, then first everywhere, then remove the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRing(Vec<Key>);

impl KeyRing {
    /// Reads keys written `whsec_<base64>`, separated by commas or white space.
    ///
    /// # Errors
    /// [`KeyError`], naming the offending key by its number, counted from 1.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (index, word) in text
            .split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .enumerate()
        {
            let number = index + 1;
            let encoded = word
                .strip_prefix(KEY_PREFIX)
                .ok_or(KeyError::Prefix(number))?;
            let bytes = STANDARD
                .decode(encoded)
                .map_err(|_| KeyError::Base64(number))?;
            keys.push(Key::from_bytes(&bytes).map_err(|_| KeyError::Length(number, bytes.len()))?);
        }
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self(keys))
    }

    /// Returns the key that signs and mints.
    #[must_use]
    pub fn current(&self) -> &Key {
        &self.0[0]
    }

    /// Returns every key, the current one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// Returns whether `tag` is what some key of this ring makes of `parts`, as far as the tag is long. Every
    /// comparison takes constant time, and every key is tried.
    pub(crate) fn verifies(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.0.iter().fold(false, |found, key| {
            let mut mac = key.hmac();
            for part in parts {
                mac.update(part);
            }
            found | mac.verify_truncated_left(tag).is_ok()
        })
    }
}

impl From<Key> for KeyRing {
    fn from(key: Key) -> Self {
        Self(vec![key])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_reads_commas_and_white_space() {
        let a = Key::from_bytes(&[1; 24]).unwrap();
        let b = Key::from_bytes(&[2; 64]).unwrap();
        let ring = KeyRing::parse(&format!(" {},\n{} ", a.expose(), b.expose())).unwrap();
        assert_eq!(ring.current(), &a);
        assert_eq!(ring.0, [a, b]);
    }

    #[test]
    fn a_bad_key_is_named_by_number_and_never_shown() {
        let good = Key::from_bytes(&[1; 24]).unwrap().expose();
        for (text, error) in [
            (String::new(), KeyError::Empty),
            (format!("{good},plainsecret"), KeyError::Prefix(2)),
            (format!("{good} whsec_plain!secret"), KeyError::Base64(2)),
            ("whsec_cGxhaW5zZWNyZXQ=".to_owned(), KeyError::Length(1, 11)),
        ] {
            let found = KeyRing::parse(&text).unwrap_err();
            assert_eq!(found, error);
            assert!(!found.to_string().contains("secret"), "{found}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_key() {
        let ring = KeyRing::from(Key::from_bytes(b"aaaaaaaaaaaaaaaaaaaaaaaa").unwrap());
        assert_eq!(format!("{ring:?}"), "KeyRing([Key(***)])");
    }
}
