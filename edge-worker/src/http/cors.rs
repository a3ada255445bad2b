//! Which pages of other origins may call the edge from a browser
//! ([Fetch standard, CORS](https://fetch.spec.whatwg.org/#http-cors-protocol)).

use crate::http::answer::Answer;

/// Headers of answers that a page may read.
const EXPOSED: &str = "Cache-Status, ETag, Headstart-Event-Id, Headstart-Stamps, Location, \
    Preference-Applied, Retry-After, Server-Timing";

/// Headers that a page may send: those of the routes, and those that tracing adds to every request
/// ([Trace Context](https://www.w3.org/TR/trace-context/), [Baggage](https://www.w3.org/TR/baggage/), Sentry).
const ALLOWED: &str = "Authorization, Content-Type, If-None-Match, Last-Event-ID, Prefer, Webhook-Id, Webhook-Signature, \
    Webhook-Timestamp, traceparent, tracestate, baggage, sentry-trace";

/// For how many seconds a browser may remember a preflight's answer: the longest that any takes.
const MAX_AGE: &str = "86400";

/// The allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    any: bool,
    origins: Vec<String>,
}

impl Cors {
    /// Returns a list with nobody on it.
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

    /// Returns the value of `Access-Control-Allow-Origin` for a request from `origin`.
    fn allow<'a>(&self, origin: &'a str) -> Option<&'a str> {
        if origin.is_empty() {
            None
        } else if self.any {
            Some("*")
        } else {
            self.is_listed(origin).then_some(origin)
        }
    }

    /// Returns whether a page of `origin` may act with the cookies of this `host`: only the host's own pages
    /// and those that are listed by name, never everyone by `*`. What comes without an origin is no page.
    pub fn is_trusted(&self, origin: &str, host: &str) -> bool {
        let own = || origin.split_once("://").is_some_and(|(_, it)| it == host);
        origin.is_empty() || own() || self.is_listed(origin)
    }

    fn is_listed(&self, origin: &str) -> bool {
        self.origins
            .iter()
            .any(|known| known.eq_ignore_ascii_case(origin))
    }

    /// Returns `answer` as a page of `origin` may read it, if it may; a page that is listed by name may have sent
    /// the cookie with its token.
    pub fn expose(&self, answer: Answer, origin: &str) -> Answer {
        let answer = if self.any || self.origins.is_empty() {
            answer
        } else {
            answer.header("Vary", "Origin")
        };
        let Some(allowed) = self.allow(origin) else {
            return answer;
        };
        let answer = if self.any {
            answer
        } else {
            answer.header("Access-Control-Allow-Credentials", "true")
        };
        answer
            .header("Access-Control-Allow-Origin", allowed)
            .header("Access-Control-Expose-Headers", EXPOSED)
            .header("Timing-Allow-Origin", allowed)
    }

    /// Returns the answer to a preflight from `origin` for a path with these `methods`. As every answer, it
    /// is still to be exposed.
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

    #[test]
    fn cookies_count_from_our_own_pages_and_those_listed_by_name() {
        let cors = Cors::parse("https://shop.example").unwrap();
        for trusted in ["", "https://SHOP.example", "https://edge.example"] {
            assert!(cors.is_trusted(trusted, "edge.example"), "{trusted}");
        }
        for other in ["https://evil.example", "null", "https://edge.example.evil"] {
            assert!(!cors.is_trusted(other, "edge.example"), "{other}");
        }
        let any = Cors::parse("*").unwrap();
        assert!(!any.is_trusted("https://evil.example", "edge.example"));
    }

    #[test]
    fn credentials_are_allowed_only_to_pages_listed_by_name() {
        let credentials = "Access-Control-Allow-Credentials:true";
        assert!(exposed("https://shop.example", "https://shop.example").contains(credentials));
        assert!(!exposed("https://shop.example", "https://evil.example").contains(credentials));
        assert!(!exposed("*", "https://shop.example").contains(credentials));
    }

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
