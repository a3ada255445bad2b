//! Which pages of other origins may call the edge from a browser
//! ([Fetch standard, CORS](https://fetch.spec.whatwg.org/#http-cors-protocol)).

use crate::answer::Answer;

/// Headers of answers that a page may read.
const EXPOSED: &str = "Cache-Status, Headstart-Event-Id, Headstart-Stamps, Location, \
    Preference-Applied, Retry-After, Server-Timing";

/// Headers that a page may send.
const ALLOWED: &str = "Content-Type, Last-Event-ID, Prefer, Webhook-Id, Webhook-Signature, \
    Webhook-Timestamp";

/// For how many seconds a browser may remember a preflight's answer: the longest that any takes.
const MAX_AGE: &str = "86400";

/// The allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    any: bool,
    origins: Vec<String>,
}

impl Cors {
    /// A list with nobody on it.
    pub const fn none() -> Self {
        Self {
            any: false,
            origins: Vec::new(),
        }
    }

    /// Reads a comma separated list of origins, or `*`.
    ///
    /// # Errors
    /// The entry that is neither `*` nor of the form `scheme://host[:port]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut cors = Self::none();
        for entry in text.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            let host = entry.split_once("://").map(|(_, host)| host);
            match host {
                _ if entry == "*" => cors.any = true,
                Some(host) if !host.is_empty() && !host.contains('/') => {
                    cors.origins.push(entry.to_ascii_lowercase());
                }
                _ => return Err(entry.to_owned()),
            }
        }
        Ok(cors)
    }

    /// The value of `Access-Control-Allow-Origin` for a request from `origin`.
    fn allow<'a>(&self, origin: &'a str) -> Option<&'a str> {
        if origin.is_empty() {
            None
        } else if self.any {
            Some("*")
        } else {
            self.origins
                .iter()
                .any(|known| known.eq_ignore_ascii_case(origin))
                .then_some(origin)
        }
    }

    /// `answer` as a page of `origin` may read it, if it may.
    pub fn expose(&self, answer: Answer, origin: &str) -> Answer {
        let answer = if self.any || self.origins.is_empty() {
            answer
        } else {
            answer.header("Vary", "Origin")
        };
        match self.allow(origin) {
            None => answer,
            Some(allowed) => answer
                .header("Access-Control-Allow-Origin", allowed)
                .header("Access-Control-Expose-Headers", EXPOSED)
                .header("Timing-Allow-Origin", allowed),
        }
    }

    /// The answer to a preflight from `origin` for a path with these `methods`.
    pub fn preflight(&self, origin: &str, methods: &str) -> Answer {
        let answer = Answer::new(204).header("Allow", methods);
        if self.allow(origin).is_none() {
            return answer;
        }
        answer
            .header("Access-Control-Allow-Methods", methods)
            .header("Access-Control-Allow-Headers", ALLOWED)
            .header("Access-Control-Max-Age", MAX_AGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(list: &str, origin: &str) -> String {
        let cors = Cors::parse(list).unwrap();
        cors.expose(Answer::new(200), origin).header_lines()
    }

    #[test]
    fn only_a_listed_origin_may_read_the_answer() {
        let list = "https://shop.example, http://localhost:5173";
        let yes = exposed(list, "http://localhost:5173");
        assert!(
            yes.contains("Access-Control-Allow-Origin:http://localhost:5173\n"),
            "{yes}"
        );
        assert!(yes.contains("Vary:Origin\n"));
        for other in ["https://evil.example", "https://shop.example.evil", ""] {
            let no = exposed(list, other);
            assert_eq!(no, "Vary:Origin\n", "{other}");
        }
    }

    #[test]
    fn a_star_lets_everyone_read_and_an_empty_list_nobody() {
        assert!(exposed("*", "https://any.example").contains("Allow-Origin:*\n"));
        assert_eq!(exposed("", "https://any.example"), "");
    }

    #[test]
    fn a_preflight_of_a_stranger_allows_nothing() {
        let cors = Cors::parse("https://shop.example").unwrap();
        let no = cors.preflight("https://evil.example", "GET, OPTIONS");
        assert_eq!(no.header_lines(), "Allow:GET, OPTIONS\n");
        let yes = cors.preflight("https://shop.example", "GET, OPTIONS");
        assert!(yes.header_lines().contains("Allow-Methods:GET, OPTIONS\n"));
    }

    #[test]
    fn an_entry_that_is_no_origin_is_refused() {
        for bad in ["shop.example", "https://", "https://shop.example/", "*.x"] {
            assert_eq!(Cors::parse(bad), Err(bad.to_owned()));
        }
    }
}
