//! Topics: what a stream of updates may be called.
//!
//! A name stands in URL paths, in cursors (`a=42,b=7`), in keys of KV and in tokens' patterns. It is
//! made of characters that mean the same in all of them, so it is never escaped anywhere.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::MAX_TOPIC_BYTES;

/// What a name may not end with: those are routes below a topic.
pub const RESERVED_SEGMENTS: [&str; 4] = ["events", "ws", "subscribers", "acks"];

/// The first segment of topics that only tokens open.
const PRIVATE: &str = "private";

/// Why a text names no topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// It is empty or too long.
    #[error("a topic's name has 1 to {MAX_TOPIC_BYTES} bytes")]
    Length,
    /// It holds a character that names do not have.
    #[error("a topic's name is made of A-Z a-z 0-9 . _ ~ @ : + - in segments joined by /")]
    Character,
    /// A segment is empty, `.` or `..`, which URLs do away with.
    #[error("no segment of a topic's name may be empty, . or ..")]
    Segment,
    /// It ends like a route.
    #[error("a topic's name may not end with the segment events, ws, subscribers or acks")]
    Reserved,
}

/// The name of a topic, such as `scores/nba`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(String);

impl TopicName {
    /// Reads a name, in its only spelling: percent-encoding is decoded before.
    ///
    /// # Errors
    /// [`TopicError`], for what names no topic.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() || text.len() > MAX_TOPIC_BYTES {
            return Err(TopicError::Length);
        }
        if !has_only_name_characters(text) {
            return Err(TopicError::Character);
        }
        if text
            .split('/')
            .any(|segment| matches!(segment, "" | "." | ".."))
        {
            return Err(TopicError::Segment);
        }
        if text
            .rsplit('/')
            .next()
            .is_some_and(|last| RESERVED_SEGMENTS.contains(&last))
        {
            return Err(TopicError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name as it stands in a URL's path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether only a token opens the topic: its first segment is `private`.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.0.split('/').next() == Some(PRIVATE)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TopicName {
    type Error = TopicError;

    fn try_from(text: String) -> Result<Self, TopicError> {
        Self::parse(&text)
    }
}

impl From<TopicName> for String {
    fn from(topic: TopicName) -> Self {
        topic.0
    }
}

/// Returns whether all of `text` may stand in a name, segments' joints included.
pub(crate) fn has_only_name_characters(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/._~@:+-".contains(&byte))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    /// Returns the topic called `name`.
    pub(crate) fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    /// Returns any topic.
    pub(crate) fn any_topic() -> impl Strategy<Value = TopicName> {
        "[A-Za-z0-9._~@:+-]{1,12}(/[A-Za-z0-9._~@:+-]{1,12}){0,4}"
            .prop_filter_map("not a name", |text| TopicName::parse(&text).ok())
    }

    #[test]
    fn names_are_told_from_what_is_none() {
        for good in [
            "a",
            "scores/nba",
            "prices/ACME",
            "a/events/b",
            "eventsource",
            "Events",
            "...",
            "~@:+-._0",
            "x".repeat(MAX_TOPIC_BYTES).as_str(),
        ] {
            assert_eq!(TopicName::parse(good).unwrap().as_str(), good);
        }
        for (bad, error) in [
            ("", TopicError::Length),
            ("x".repeat(MAX_TOPIC_BYTES + 1).as_str(), TopicError::Length),
            ("a b", TopicError::Character),
            ("a%2fb", TopicError::Character),
            ("a?b", TopicError::Character),
            ("a#b", TopicError::Character),
            ("a,b", TopicError::Character),
            ("a=1", TopicError::Character),
            ("a*", TopicError::Character),
            ("a\\b", TopicError::Character),
            ("é", TopicError::Character),
            ("a\n", TopicError::Character),
            ("/a", TopicError::Segment),
            ("a/", TopicError::Segment),
            ("a//b", TopicError::Segment),
            (".", TopicError::Segment),
            ("a/../b", TopicError::Segment),
            ("events", TopicError::Reserved),
            ("a/ws", TopicError::Reserved),
            ("a/subscribers", TopicError::Reserved),
            ("a/subscribers/events", TopicError::Reserved),
            ("a/acks", TopicError::Reserved),
        ] {
            assert_eq!(TopicName::parse(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn only_the_first_segment_makes_a_topic_private() {
        for (name, private) in [
            ("private/a", true),
            ("private", true),
            ("privateer/a", false),
            ("a/private", false),
            ("Private/a", false),
        ] {
            assert_eq!(topic(name).is_private(), private, "{name}");
        }
    }

    #[test]
    fn json_with_a_bad_name_is_refused() {
        assert_eq!(serde_json::to_string(&topic("a/b")).unwrap(), r#""a/b""#);
        assert_eq!(
            serde_json::from_str::<TopicName>(r#""a/b""#).unwrap(),
            topic("a/b")
        );
        assert!(serde_json::from_str::<TopicName>(r#""a/../b""#).is_err());
    }

    proptest! {
        #[test]
        fn a_name_is_the_same_in_a_url_and_reaches_only_its_own_route(topic in any_topic()) {
            let url = Url::parse(&format!("https://edge/topics/{topic}")).unwrap();
            prop_assert_eq!(url.path(), format!("/topics/{topic}"));
            prop_assert_eq!((url.query(), url.fragment()), (None, None));
            let last = url.path_segments().unwrap().next_back().unwrap();
            prop_assert!(!RESERVED_SEGMENTS.contains(&last));
        }

        #[test]
        fn any_text_is_a_short_name_of_plain_characters_or_refused(text in "\\PC{0,140}|[a-z./]{0,12}") {
            if let Ok(topic) = TopicName::parse(&text) {
                prop_assert_eq!(topic.as_str(), &text);
                prop_assert!(text.len() <= MAX_TOPIC_BYTES && has_only_name_characters(&text));
            }
        }
    }
}
