//! Tokens that open private topics, as the site's backend mints them.

use headstart_protocol::{
    keys::Key,
    token::{Claims, NumericDate, Pattern, mint},
};

use crate::keys::{now_ms, token_key};

/// How long a token is good for that is not to expire in a test, in seconds.
const LONG: u64 = 3600;

/// A token to be made.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Claims,
    key: Key,
}

impl Token {
    /// That opens what these patterns name, for an hour.
    #[must_use]
    pub fn reading(topics: &[&str]) -> Self {
        Self {
            claims: Claims {
                sub: Some("test".to_owned()),
                aud: None,
                exp: NumericDate::from_seconds(now_ms() / 1000 + LONG),
                topics: topics.iter().map(|text| pattern(text)).collect(),
                publish: Vec::new(),
            },
            key: token_key(),
        }
    }

    /// That also lets its holder publish on what these patterns name.
    #[must_use]
    pub fn publishing(mut self, topics: &[&str]) -> Self {
        self.claims.publish = topics.iter().map(|text| pattern(text)).collect();
        self
    }

    /// That expires that many seconds from now, or did so where the number is negative.
    #[must_use]
    pub fn expiring_in(mut self, seconds: i64) -> Self {
        let exp = (now_ms() / 1000).saturating_add_signed(seconds);
        self.claims.exp = NumericDate::from_seconds(exp);
        self
    }

    /// For the edge that this names.
    #[must_use]
    pub fn naming(mut self, audience: &str) -> Self {
        self.claims.aud = Some(audience.to_owned());
        self
    }

    /// Made with another key.
    #[must_use]
    pub fn under(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// The token.
    #[must_use]
    pub fn mint(&self) -> String {
        mint(&self.claims, &self.key)
    }

    /// As the value of the header `Authorization`.
    #[must_use]
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.mint())
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
