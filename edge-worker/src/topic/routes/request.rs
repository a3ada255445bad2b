//! What a request says of topics: their names, where it resumes, what it wants first.

use headstart_edge_rules::topic::{catch_up::Wanted, subscription::Subscription, wires::Wire};
use headstart_protocol::{
    cursor::{CursorError, Cursors, digits},
    limits::MAX_TOPICS_PER_CONNECTION,
    token::Claims,
    topic::{TopicError, TopicName},
};

use crate::{
    http::{
        error::Error,
        head::{Head, decoded},
        request::RequestContext,
    },
    platform,
};

/// Returns a request that begins at the heads of these topics.
pub fn subscription(
    context: &RequestContext,
    wire: Wire,
    topics: Vec<TopicName>,
    claims: Option<Claims>,
) -> Subscription {
    let wanted = topics.into_iter().map(|topic| Wanted {
        topic,
        cursor: None,
    });
    Subscription {
        wire,
        wanted: wanted.collect(),
        latest: false,
        place: platform::client_place(&context.request),
        region: platform::client_region(&context.request),
        claims,
        awaited: false,
        node: context.node.to_string(),
    }
}

/// Returns the topic that a path names.
///
/// # Errors
/// [`Error::Topic`].
pub fn topic(text: &str) -> Result<TopicName, Error> {
    let text = decoded(text).ok_or(TopicError::Character)?;
    Ok(TopicName::parse(&text)?)
}

/// Returns the topics that a query names, each once, in its order.
///
/// # Errors
/// [`Error::Topic`], and [`Error::TopicCount`] for none or more than
/// [`MAX_TOPICS_PER_CONNECTION`].
pub fn topics(head: &Head) -> Result<Vec<TopicName>, Error> {
    let mut topics = Vec::new();
    for text in head.query_values("topic") {
        let topic = topic(text)?;
        if !topics.contains(&topic) {
            topics.push(topic);
        }
        if topics.len() > MAX_TOPICS_PER_CONNECTION {
            return Err(Error::TopicCount);
        }
    }
    if topics.is_empty() {
        return Err(Error::TopicCount);
    }
    Ok(topics)
}

/// Returns the sequence numbers after which a client resumes: see [`Head::last_event_id`].
///
/// # Errors
/// [`Error::Cursor`].
pub fn cursors(head: &Head, topics: &[TopicName]) -> Result<Cursors, Error> {
    let text = head.last_event_id().ok_or(CursorError)?;
    if text.is_empty() {
        return Ok(Cursors::default());
    }
    Ok(Cursors::parse(&text, topics)?)
}

/// Returns whether the current value is to come first.
pub fn wants_latest(head: &Head) -> bool {
    matches!(head.query_value("latest"), Some("1" | "true"))
}

/// Returns the sequence number that `?since=` names.
///
/// # Errors
/// [`Error::Cursor`] for what is no number.
pub fn since(head: &Head) -> Result<Option<u64>, Error> {
    let Some(text) = head.query_value("since") else {
        return Ok(None);
    };
    match digits(text) {
        Some(sequence) => Ok(Some(sequence)),
        None => Err(CursorError.into()),
    }
}

/// The updates that a client has, by `If-None-Match`
/// ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match)): the entity tag of an update is
/// its sequence number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Any that there is: `*`.
    Any,
    /// Those with these numbers; tags that are no numbers are none of ours.
    These(Vec<u64>),
}

impl Known {
    /// Reads the header's value.
    pub fn parse(value: &str) -> Self {
        if value.trim() == "*" {
            return Self::Any;
        }
        Self::These(value.split(',').filter_map(sequence_of_tag).collect())
    }

    /// Returns whether the client has this update.
    pub fn has(&self, sequence: u64) -> bool {
        match self {
            Self::Any => true,
            Self::These(known) => known.contains(&sequence),
        }
    }

    /// Returns the newest update that the client says it has; 0 for none in particular.
    pub fn newest(&self) -> u64 {
        match self {
            Self::Any => 0,
            Self::These(known) => known.iter().copied().max().unwrap_or(0),
        }
    }
}

fn sequence_of_tag(tag: &str) -> Option<u64> {
    let tag = tag.trim();
    let quoted = tag.strip_prefix("W/").unwrap_or(tag);
    digits(quoted.strip_prefix('"')?.strip_suffix('"')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(url: &str) -> Head {
        Head::parse(&format!("17\nGET\n{url}\n\n\n"))
    }

    #[test]
    fn a_client_resumes_after_the_last_event_that_it_names() {
        let topic = TopicName::parse("a").unwrap();
        let resumed = |query: &str| {
            let head = head(&format!("http://e/?{query}"));
            let cursors = cursors(&head, std::slice::from_ref(&topic));
            cursors.map(|cursors| cursors.get(&topic))
        };
        assert_eq!(resumed("last_event_id=7").unwrap(), Some(7));
        assert_eq!(resumed("latest=1").unwrap(), None);
        assert!(resumed("lastEventId=seven").is_err());
    }

    #[test]
    fn topics_are_named_once_each_and_not_too_many() {
        let named = |query: &str| {
            let topics = topics(&head(&format!("http://e/topics?{query}")))?;
            Ok::<_, Error>(topics.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(
            named("topic=b&latest=1&topic=a/c&topic=b").unwrap(),
            ["b", "a/c"]
        );
        let many = |count: usize| {
            let pairs: Vec<String> = (0..count).map(|n| format!("topic=t{n}")).collect();
            pairs.join("&")
        };
        assert!(named(&many(MAX_TOPICS_PER_CONNECTION)).is_ok());
        for wrong in [
            "",
            "topic",
            "topics=a",
            &many(MAX_TOPICS_PER_CONNECTION + 1),
        ] {
            assert!(matches!(named(wrong), Err(Error::TopicCount)), "{wrong}");
        }
        assert!(matches!(named("topic=a&topic="), Err(Error::Topic(_))));
    }

    #[test]
    fn a_client_has_the_updates_whose_tags_it_names() {
        for (value, has, newest) in [
            ("\"42\"", true, 42),
            (" W/\"42\" ", true, 42),
            ("\"7\", \"42\"", true, 42),
            ("*", true, 0),
            ("\"43\"", false, 43),
            ("", false, 0),
            ("42", false, 0),
            ("\"x\"", false, 0),
            ("\"", false, 0),
        ] {
            let known = Known::parse(value);
            assert_eq!((known.has(42), known.newest()), (has, newest), "{value}");
        }
    }

    #[test]
    fn since_is_a_number() {
        assert_eq!(since(&head("http://e/?since=7")).unwrap(), Some(7));
        assert_eq!(since(&head("http://e/")).unwrap(), None);
        for bad in ["", "-1", "+1", "1.5", "99999999999999999999"] {
            let url = format!("http://e/?since={bad}");
            assert!(since(&head(&url)).is_err(), "{bad}");
        }
    }
}
