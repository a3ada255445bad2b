//! A bearer token that nothing prints.

use std::fmt;

use http::HeaderValue;

/// A bearer token. Its `Debug` form shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Returns a token that can stand in a header; `None` for one that cannot.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
            .then(|| Self(text.to_owned()))
    }

    /// Returns the value of the `Authorization` header, marked so that nothing prints it.
    ///
    /// # Panics
    /// Never: a token is made of visible ASCII.
    #[must_use]
    pub fn bearer(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0))
            .expect("visible ASCII is valid in a header");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}
