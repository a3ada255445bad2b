//! Who may read topics: private ones need a subscriber's token, which travels in `Authorization`, in
//! a cookie, or as the first message of a WebSocket, and never in a URL, where logs and referrers
//! would keep it.

use headstart_protocol::{
    token::{self, Claims},
    topic::TopicName,
};

use crate::{
    config::Config,
    http::{error::Error, request::RequestContext},
};

/// The cookie that may hold a token.
const COOKIE: &str = "headstart_token";

/// What a request may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Read; the claims of its token, if it had one.
    Granted(Option<Claims>),
    /// Nothing yet: it has to say who it is in its first WebSocket message.
    Awaited,
}

/// Where a request's token was.
enum Presented {
    /// In a header that only a program sets: it is meant.
    Header(String),
    /// In a cookie, which a browser sends whether it matters or not.
    Cookie(String),
    Nowhere,
}

/// Judges a request to read all of `topics`.
///
/// # Errors
/// [`Error::TokenRequired`], [`Error::TokenRefused`], [`Error::TopicForbidden`].
pub fn admit(
    context: &RequestContext,
    config: &Config,
    topics: &[TopicName],
) -> Result<Option<Claims>, Error> {
    let presented = presented(context, config);
    judge(&presented, config, topics, context.head.now_ms)
}

/// Judges a request to read all of `topics` over a WebSocket, which may say later who it is.
///
/// # Errors
/// Those of [`admit`], for a token that is there and does not do.
pub fn admit_socket(
    context: &RequestContext,
    config: &Config,
    topics: &[TopicName],
) -> Result<Admission, Error> {
    match admit(context, config, topics) {
        Err(Error::TokenRequired) => Ok(Admission::Awaited),
        admitted => admitted.map(Admission::Granted),
    }
}

/// Reads a token that came in a message.
///
/// # Errors
/// As [`admit`].
pub fn admit_token(
    token: &str,
    config: &Config,
    topics: &[TopicName],
    now_ms: u64,
) -> Result<Claims, Error> {
    let claims = verify(token, config, now_ms)?;
    covers(&claims, topics)?;
    Ok(claims)
}

fn judge(
    presented: &Presented,
    config: &Config,
    topics: &[TopicName],
    now_ms: u64,
) -> Result<Option<Claims>, Error> {
    let private = topics.iter().any(TopicName::is_private);
    let claims = match presented {
        Presented::Nowhere => None,
        Presented::Header(token) => Some(verify(token, config, now_ms)?),
        Presented::Cookie(token) => match verify(token, config, now_ms) {
            Ok(claims) => Some(claims),
            Err(error) if private => return Err(error),
            Err(_) => None,
        },
    };
    if private {
        covers(claims.as_ref().ok_or(Error::TokenRequired)?, topics)?;
    }
    Ok(claims)
}

fn verify(token: &str, config: &Config, now_ms: u64) -> Result<Claims, Error> {
    let keys = config.topics.token_keys.as_ref();
    let keys = keys.ok_or(Error::TokensUnsupported)?;
    let groups = config.topics.token_audience.as_deref();
    Ok(token::verify(token, keys, groups, now_ms)?)
}

fn covers(claims: &Claims, topics: &[TopicName]) -> Result<(), Error> {
    let closed = |topic: &TopicName| topic.is_private() && !claims.may_read(topic);
    if topics.iter().any(closed) {
        return Err(Error::TopicForbidden);
    }
    Ok(())
}

fn presented(context: &RequestContext, config: &Config) -> Presented {
    if let Some(token) = context.header("authorization").as_deref().and_then(bearer) {
        return Presented::Header(token.to_owned());
    }
    let cookies = context.header("cookie").unwrap_or_default();
    match cookie(&cookies) {
        // A browser attaches the cookie to whatever page asks, so the page must be one of ours:
        // otherwise any site could open a WebSocket in the user's name.
        Some(token)
            if config
                .cors
                .is_trusted(&context.head.origin, &context.head.host) =>
        {
            Presented::Cookie(token.to_owned())
        }
        _ => Presented::Nowhere,
    }
}

/// Returns the token of `Authorization: Bearer` ([RFC
/// 6750](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn cookie(header: &str) -> Option<&str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE).then_some(value.trim_matches('"')))
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{keys::Key, token::mint};

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    fn key(fill: u8) -> Key {
        Key::from_bytes(&[fill; 32]).unwrap()
    }

    fn config() -> Config {
        let text = key(1).expose();
        Config::parse(|name| name.contains("KEY").then(|| text.clone()), |_| true).unwrap()
    }

    fn token(topics: &str, expires_in: i64, by: u8) -> String {
        let exp = (NOW_MS / 1000).saturating_add_signed(expires_in);
        let claims = format!(r#"{{"exp":{exp},"topics":["{topics}"]}}"#);
        mint(&serde_json::from_str(&claims).unwrap(), &key(by))
    }

    fn judged(presented: &Presented, topics: &str) -> Result<Option<Claims>, Error> {
        let topics: Vec<_> = topics
            .split(',')
            .map(|name| TopicName::parse(name).unwrap())
            .collect();
        judge(presented, &config(), &topics, NOW_MS)
    }

    #[test]
    fn a_public_topic_needs_no_token() {
        assert!(matches!(judged(&Presented::Nowhere, "a"), Ok(None)));
    }

    #[test]
    fn a_private_topic_needs_a_token_that_covers_it() {
        let header = |token: String| Presented::Header(token);
        assert!(matches!(
            judged(&Presented::Nowhere, "private/a"),
            Err(Error::TokenRequired)
        ));
        let good = token("private/*", 60, 1);
        assert!(
            judged(&header(good.clone()), "private/a")
                .unwrap()
                .is_some()
        );
        assert!(judged(&Presented::Cookie(good), "private/a").is_ok());
        assert!(matches!(
            judged(&header(token("private/b", 60, 1)), "private/a"),
            Err(Error::TopicForbidden)
        ));
        assert!(matches!(
            judged(&header(token("private/b", 60, 1)), "private/b,a,private/a"),
            Err(Error::TopicForbidden)
        ));
        for bad in [token("*", -60, 1), token("*", 60, 2), "x".to_owned()] {
            assert!(matches!(
                judged(&header(bad), "private/a"),
                Err(Error::TokenRefused(_))
            ));
        }
    }

    #[test]
    fn a_bad_cookie_closes_no_public_topic_but_a_bad_header_is_told() {
        let bad = "x".to_owned();
        assert!(matches!(
            judged(&Presented::Cookie(bad.clone()), "a"),
            Ok(None)
        ));
        assert!(judged(&Presented::Header(bad), "a").is_err());
    }

    #[test]
    fn a_token_is_found_in_its_header_and_its_cookie() {
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
        assert_eq!(cookie("a=b; headstart_token=\"x.y\"; c"), Some("x.y"));
        assert_eq!(cookie("xheadstart_token=1"), None);
    }
}
