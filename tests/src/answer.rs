//! An answer of the edge, read to its end.

use std::fmt;

use headstart_protocol::{problem::Problem, stamps::Stamps};
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer with its whole body.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads an answer to its end.
    pub(crate) async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?.to_vec(),
        })
    }

    /// A header's value; empty where it is absent. It must not be there more than once.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        header(&self.headers, name)
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap_or_else(|_| panic!("not text: {self:?}"))
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The stamps in the headers.
    #[must_use]
    pub fn stamps(&self) -> Stamps {
        Stamps::from_header(self.header("headstart-stamps"))
    }

    /// The answer, if it has this status.
    #[must_use]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The problem that the answer tells of, which must be of this status.
    #[must_use]
    pub fn expect_problem(&self, status: u16) -> Problem {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem: Problem =
            serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no problem: {self:?}"));
        assert_eq!(problem.status, status, "{self:?}");
        problem
    }
}

/// A header's value; empty where it is absent. A header that is there more than once fails the test:
/// clients join its values, and the edge has none that means a list.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    assert_eq!(values.next(), None, "{name} is there again: {headers:?}");
    value.map_or("", |value| value.to_str().expect("headers are ASCII"))
}

/// As it reads in the report of a failed test.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "answer {}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {value:?}")?;
        }
        let shown = &self.body[..self.body.len().min(2000)];
        write!(f, "\n  {}", String::from_utf8_lossy(shown))
    }
}
