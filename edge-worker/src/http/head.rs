//! The head of a request: what a route needs to know before it acts, read in one crossing.

use worker::{js_sys, web_sys};

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
    last_event_id: String,
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

    /// Returns the value of a query parameter, as it stands there.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query_values(name).next()
    }

    /// Returns every value of a query parameter, as they stand there.
    pub fn query_values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.query
            .split('&')
            .filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// Returns the id of the last event that the client has; empty where it names none, and `None` where it
    /// is not percent-encoded UTF-8. The newest goes first: a browser that comes back by itself sends the
    /// header `Last-Event-ID`, a library that does so adds `lastEventId` to the query, and `last_event_id` is
    /// where a client began.
    pub fn last_event_id(&self) -> Option<String> {
        if !self.last_event_id.is_empty() {
            return Some(self.last_event_id.clone());
        }
        let newest_first = ["lastEventId", "last_event_id"].into_iter();
        let mut ids = newest_first.filter_map(|name| self.query_value(name));
        decoded(ids.find(|id| !id.is_empty()).unwrap_or_default())
    }

    /// Returns for how many seconds the client would wait, by `Prefer: wait=N`
    /// ([RFC 7240](https://www.rfc-editor.org/rfc/rfc7240#section-4.3)).
    pub fn wait_seconds(&self) -> Option<u32> {
        self.prefer.split([',', ';']).find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then_some(())?;
            value.trim().trim_matches('"').parse().ok()
        })
    }
}

/// Undoes percent-encoding; `None` for what is not UTF-8 afterwards.
pub fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    js_sys::decode_uri_component(text).map(String::from).ok()
}

/// Returns host, path and query of a URL as the platform writes it: absolute and normalised.
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
        assert_eq!(head.last_event_id().as_deref(), Some("7"));
        assert_eq!(head.wait_seconds(), Some(5));
    }

    #[test]
    fn the_newest_of_the_last_events_goes_first() {
        let last = |query: &str, header: &str| {
            let lines = format!("17\nGET\nhttp://e/?{query}\n\n\n{header}");
            Head::parse(&lines).last_event_id().unwrap()
        };
        assert_eq!(last("last_event_id=1&lastEventId=2", "3"), "3");
        assert_eq!(last("last_event_id=1&lastEventId=2", ""), "2");
        assert_eq!(last("lastEventId=&last_event_id=1", ""), "1");
        assert_eq!(last("latest=1", ""), "");
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
