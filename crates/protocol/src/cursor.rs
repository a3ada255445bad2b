//! Cursors: up to which update of which topic a subscriber has got, so that it can go on from there.
//!
//! A cursor is what `Last-Event-ID`, `?lastEventId=` and `?last_event_id=` hold. For one topic it is
//! the sequence of the last update, `42`; for several topics on one connection it names them,
//! `a=42,b=7`.

use std::{collections::BTreeMap, fmt};

use crate::topic::TopicName;

/// A text is not a cursor for the topics that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is 42 for one topic, and a=42,b=7 for several, each named once")]
pub struct CursorError;

/// For each topic, the sequence of the last update that the subscriber has; 0 before the first one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursors(BTreeMap<TopicName, u64>);

impl Cursors {
    /// Reads the cursor of a subscriber that asks for the topics `asked`. One topic may be named or
    /// not, several must be. What the cursor says of other topics is ignored, so a client can go on
    /// with fewer of them.
    ///
    /// # Errors
    /// [`CursorError`], for what is malformed or names a topic twice.
    pub fn parse(text: &str, asked: &[TopicName]) -> Result<Self, CursorError> {
        if let ([topic], Some(sequence)) = (asked, digits(text)) {
            return Ok(Self::from_iter([(topic.clone(), sequence)]));
        }
        let mut cursors = Self::default();
        for item in text.split(',') {
            let (name, sequence) = item.split_once('=').ok_or(CursorError)?;
            let topic = TopicName::parse(name).map_err(|_| CursorError)?;
            let sequence = digits(sequence).ok_or(CursorError)?;
            if asked.contains(&topic) && cursors.0.insert(topic, sequence).is_some() {
                return Err(CursorError);
            }
        }
        Ok(cursors)
    }

    /// Writes the cursor of a connection with the topics of `at`, each with its last sequence: the
    /// plain number where there is one topic.
    #[must_use]
    pub fn encode(at: &[(&TopicName, u64)]) -> String {
        match at {
            [(_, sequence)] => sequence.to_string(),
            several => several
                .iter()
                .map(|(topic, sequence)| format!("{topic}={sequence}"))
                .collect::<Vec<_>>()
                .join(","),
        }
    }

    /// Returns the sequence of the last update that the subscriber has; `None` where the cursor does not say.
    #[must_use]
    pub fn get(&self, topic: &TopicName) -> Option<u64> {
        self.0.get(topic).copied()
    }
}

impl FromIterator<(TopicName, u64)> for Cursors {
    fn from_iter<I: IntoIterator<Item = (TopicName, u64)>>(at: I) -> Self {
        Self(at.into_iter().collect())
    }
}

/// The form that names its topics, however many they are: it is read whatever else is asked for.
impl fmt::Display for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (topic, sequence)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{topic}={sequence}")?;
        }
        Ok(())
    }
}

/// Reads a number written in decimal digits and nothing else, no sign.
#[must_use]
pub fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::topic::tests::{any_topic, topic};

    #[test]
    fn one_topic_has_a_plain_number_and_several_are_named() {
        let (a, b) = (topic("a"), topic("b/c"));
        assert_eq!(Cursors::encode(&[(&a, 42)]), "42");
        assert_eq!(Cursors::encode(&[(&a, 42), (&b, 7)]), "a=42,b/c=7");
        let one = [a.clone()];
        for text in ["42", "a=42"] {
            assert_eq!(Cursors::parse(text, &one).unwrap().get(&a), Some(42));
        }
        let both = Cursors::parse("b/c=7,a=42", &[a.clone(), b.clone()]).unwrap();
        assert_eq!((both.get(&a), both.get(&b)), (Some(42), Some(7)));
        assert_eq!(both.to_string(), "a=42,b/c=7");
    }

    #[test]
    fn topics_that_were_not_asked_for_are_ignored_and_missing_ones_have_no_cursor() {
        let (a, b) = (topic("a"), topic("b"));
        let cursors = Cursors::parse("a=1,z=9,z=9", &[a.clone(), b.clone()]).unwrap();
        assert_eq!((cursors.get(&a), cursors.get(&b)), (Some(1), None));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let one = [topic("a")];
        let two = [topic("a"), topic("b")];
        for bad in [
            "",
            "a",
            "a=",
            "=1",
            "a=-1",
            "a=+1",
            "a=1,",
            "a=1,,b=2",
            "a=1, b=2",
            "a=1,a=2",
            "a=1=2",
            "a/../b=1",
            "a=18446744073709551616",
            "1.5",
            "+1",
            "٣",
        ] {
            assert_eq!(Cursors::parse(bad, &one), Err(CursorError), "{bad}");
            assert_eq!(Cursors::parse(bad, &two), Err(CursorError), "{bad}");
        }
        assert_eq!(Cursors::parse("42", &two), Err(CursorError));
        assert_eq!(
            Cursors::parse("18446744073709551616", &one),
            Err(CursorError)
        );
    }

    proptest! {
        #[test]
        fn a_cursor_is_read_as_it_was_written(at in btree_map(any_topic(), any::<u64>(), 1..6)) {
            let topics: Vec<TopicName> = at.keys().cloned().collect();
            let pairs: Vec<(&TopicName, u64)> = at.iter().map(|(topic, n)| (topic, *n)).collect();
            let cursors = Cursors(at.clone());
            prop_assert_eq!(Cursors::parse(&Cursors::encode(&pairs), &topics), Ok(cursors.clone()));
            prop_assert_eq!(Cursors::parse(&cursors.to_string(), &topics), Ok(cursors));
        }

        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,40}|[a-c0-9=,]{0,20}") {
            let asked = [topic("a"), topic("b")];
            if let Ok(cursors) = Cursors::parse(&text, &asked) {
                prop_assert!(cursors.0.keys().all(|topic| asked.contains(topic)));
            }
        }
    }
}
