//! The head of a request: what a route needs to know before it acts, read in one crossing.

use worker::web_sys;

use crate::platform;

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// When it came, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// Its method, in upper case.
    pub method: String,
    /// The host and port that the client asked.
    pub host: String,
    /// The path, percent-encoded as it came.
    pub path: String,
    /// The query without its question mark; empty where there is none.
    pub query: String,
    /// The header `Origin`; empty where there is none.
    pub origin: String,
    /// The header `Prefer`; empty where there is none.
    pub prefer: String,
    /// The header `Last-Event-ID`; empty where there is none.
    pub last_event_id: String,
}

impl Head {
    /// Reads the head of `request`.
    pub fn read(request: &web_sys::Request) -> Self {
        Self::parse(&platform::head(request))
    }

    /// Reads the lines of `platform.js`.
    pub fn parse(lines: &str) -> Self {
        let mut lines = lines.split('\n');
        let mut next = || lines.next().unwrap_or_default();
        let now_ms = next().parse().unwrap_or_default();
        let method = next().to_owned();
        let (host, path, query) = split_url(next());
        Self {
            now_ms,
            method,
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            origin: next().to_owned(),
            prefer: next().to_owned(),
            last_event_id: next().to_owned(),
        }
    }

    /// The value of a query parameter, as it stands there.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query_values(name).next()
    }

    /// Every value of a query parameter, as they stand there.
    pub fn query_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query
            .split('&')
            .filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// For how many seconds the client would wait, by `Prefer: wait=N`
    /// ([RFC 7240](https://www.rfc-editor.org/rfc/rfc7240#section-4.3)).
    pub fn wait_seconds(&self) -> Option<u32> {
        self.prefer.split([',', ';']).find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then_some(())?;
            value.trim().trim_matches('"').parse().ok()
        })
    }
}

/// Host, path and query of a URL as the platform writes it: absolute and normalised.
fn split_url(url: &str) -> (&str, &str, &str) {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, from_path) = after_scheme
        .find('/')
        .and_then(|at| after_scheme.split_at_checked(at))
        .unwrap_or((after_scheme, "/"));
    let whole = from_path.split('#').next().unwrap_or_default();
    let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
    (host, path, query)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(url: &str, prefer: &str) -> Head {
        Head::parse(&format!("17\nGET\n{url}\nhttps://a.example\n{prefer}\n7"))
    }

    #[test]
    fn every_line_finds_its_field() {
        let head = head("https://edge.example/tickets/x?a=1&desk=2#f", "wait=5");
        assert_eq!((head.now_ms, head.method.as_str()), (17, "GET"));
        assert_eq!(head.host, "edge.example");
        assert_eq!(head.path, "/tickets/x");
        assert_eq!(head.query_value("desk"), Some("2"));
        assert_eq!(head.query_value("des"), None);
        assert_eq!(head.origin, "https://a.example");
        assert_eq!(head.last_event_id, "7");
        assert_eq!(head.wait_seconds(), Some(5));
    }

    #[test]
    fn wait_is_found_among_other_preferences() {
        for (prefer, wait) in [
            ("", None),
            ("wait", None),
            ("wait=-1", None),
            ("wait=99999999999", None),
            ("respond-async, Wait = 10", Some(10)),
            ("return=minimal; foo, wait=\"3\"", Some(3)),
        ] {
            assert_eq!(head("http://e/", prefer).wait_seconds(), wait, "{prefer}");
        }
    }

    proptest! {
        #[test]
        fn any_lines_are_read_without_a_panic(lines in "[\\PC\n]{0,80}") {
            let head = Head::parse(&lines);
            let _ = (head.wait_seconds(), head.query_value("desk"));
        }
    }
}
