//! Errors as every HTTP answer shows them: [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)
//! problem details.

use serde::{Deserialize, Serialize};

/// Media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One error, as its client sees it. Never holds a secret or an internal message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Names the kind of problem for programs: `urn:headstart:` and a slug.
    #[serde(rename = "type")]
    pub kind: String,
    /// Names the kind of problem for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time, and what to do about it.
    pub detail: String,
}

impl Problem {
    /// Returns a problem of the kind `slug`.
    #[must_use]
    pub fn new(status: u16, slug: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:headstart:{slug}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
        }
    }

    /// Returns the body of the answer.
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a problem holds only strings and a number")
    }
}
