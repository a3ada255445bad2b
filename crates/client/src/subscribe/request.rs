//! What is asked of the edge: the URL and headers of a subscription.

use headstart_protocol::{sse::LAST_EVENT_ID_HEADER, topic::TopicName};
use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};
use url::Url;

use super::{SubscribeError, transport::Transport};
use crate::token::Token;

/// A request that opens a subscription.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where.
    pub url: Url,
    /// Beside those that every request has.
    pub headers: HeaderMap,
}

/// Where a connection begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// With what comes from now on.
    Head,
    /// With the latest update.
    Latest,
    /// After this cursor.
    Cursor(String),
}

/// Returns the request for `topics` at `edge`.
///
/// # Errors
/// [`SubscribeError::Request`], for a URL that no path can follow.
pub fn subscribe(
    edge: &Url,
    topics: &[TopicName],
    transport: Transport,
    from: &From,
    token: Option<&Token>,
) -> Result<Request, SubscribeError> {
    let mut url = match topics {
        [topic] => {
            let segment = transport.segment();
            at(edge, &format!("/topics/{topic}/{segment}"))?
        }
        several => {
            let mut url = at(edge, "/topics")?;
            // A form decodes `+` as a space, so the names are encoded here, unlike in a path.
            let names = several.iter().map(|topic| ("topic", topic.as_str()));
            url.query_pairs_mut().extend_pairs(names);
            url
        }
    };
    let mut headers = HeaderMap::new();
    match from {
        From::Head => {}
        From::Latest => {
            url.query_pairs_mut().append_pair("latest", "1");
        }
        From::Cursor(cursor) if transport == Transport::Sse => {
            let value = HeaderValue::from_str(cursor)
                .map_err(|_| SubscribeError::Request("the cursor fits no header".to_owned()))?;
            headers.insert(HeaderName::from_static(LAST_EVENT_ID_HEADER), value);
        }
        From::Cursor(cursor) => {
            url.query_pairs_mut().append_pair("last_event_id", cursor);
        }
    }
    if let Some(token) = token {
        headers.insert(AUTHORIZATION, token.bearer());
    }
    Ok(Request { url, headers })
}

/// Returns the URL of a path at an edge. The path begins with a slash.
///
/// # Errors
/// [`SubscribeError::Request`], for a URL that no path can follow.
pub fn at(edge: &Url, path: &str) -> Result<Url, SubscribeError> {
    Url::parse(&format!("{}{path}", edge.as_str().trim_end_matches('/')))
        .map_err(|error| SubscribeError::Request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Vec<TopicName> {
        names
            .iter()
            .map(|name| TopicName::parse(name).unwrap())
            .collect()
    }

    fn request(names: &[&str], transport: Transport, from: &From) -> Request {
        let edge = "https://edge.example/base/".parse().unwrap();
        subscribe(&edge, &topics(names), transport, from, None).unwrap()
    }

    #[test]
    fn one_topic_is_in_the_path_as_it_is() {
        let sse = request(&["scores/a+b@1:2"], Transport::Sse, &From::Head);
        assert_eq!(
            sse.url.as_str(),
            "https://edge.example/base/topics/scores/a+b@1:2/events"
        );
        let ws = request(&["a"], Transport::Ws, &From::Latest);
        assert_eq!(
            ws.url.as_str(),
            "https://edge.example/base/topics/a/ws?latest=1"
        );
    }

    #[test]
    fn several_topics_and_their_cursor_are_read_as_they_were_written() {
        let from = From::Cursor("a+b=42,c/d=7".to_owned());
        let ws = request(&["a+b", "c/d"], Transport::Ws, &from);
        assert_eq!(ws.url.path(), "/base/topics");
        let pairs: Vec<(String, String)> = ws.url.query_pairs().into_owned().collect();
        let expected = [
            ("topic", "a+b"),
            ("topic", "c/d"),
            ("last_event_id", "a+b=42,c/d=7"),
        ];
        assert_eq!(
            pairs,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_stream_resumes_by_its_header() {
        let sse = request(&["a"], Transport::Sse, &From::Cursor("42".to_owned()));
        assert_eq!(sse.headers[LAST_EVENT_ID_HEADER], "42");
        assert_eq!(sse.url.query(), None);
    }

    #[test]
    fn a_token_is_never_in_the_url() {
        let token = Token::new("secret.token").unwrap();
        let edge = "http://edge".parse().unwrap();
        for transport in [Transport::Sse, Transport::Ws] {
            let request = subscribe(
                &edge,
                &topics(&["private/a"]),
                transport,
                &From::Head,
                Some(&token),
            )
            .unwrap();
            assert!(!request.url.as_str().contains("secret"));
            assert_eq!(request.headers[AUTHORIZATION], "Bearer secret.token");
            assert!(!format!("{request:?}").contains("secret"));
        }
    }
}
