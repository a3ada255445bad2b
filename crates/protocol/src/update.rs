//! Updates: the events on a topic, as their sender makes them and as the topic numbers them.

use crate::{
    cursor::digits,
    event::{Event, TYPE_UPDATE},
    limits::{MAX_EXTENSIONS, MAX_UPDATE_BYTES},
    stamps::{Point, Stamps},
    topic::{TopicError, TopicName},
};

/// The extension attribute with an update's number on its topic
/// ([CloudEvents, "sequence"](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/sequence.md)):
/// decimal digits, from 1, one more for each update.
pub const SEQUENCE: &str = "sequence";

/// What only the edge says of an update: its number, when its topic took it, when it was handed on.
const OF_THE_EDGE: [&str; 3] = [SEQUENCE, Point::Received.name(), Point::Delivered.name()];

/// Why an event is no update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The event is of another type.
    #[error("the type of an update is {TYPE_UPDATE}")]
    Type,
    /// The event names no topic.
    #[error("the subject of an update must be its topic")]
    NoSubject,
    /// The subject is not a topic's name.
    #[error("the subject of an update must be its topic: {0}")]
    Subject(#[from] TopicError),
    /// The event names its data instead of carrying it.
    #[error("an update carries its data; dataref is for offers")]
    DataRef,
    /// No room is left for what the edge says of it.
    #[error(
        "an update may have {} extensions beside its topic's own",
        MAX_EXTENSIONS - OF_THE_EDGE.len()
    )]
    TooManyExtensions,
    /// The event's JSON is larger than [`MAX_UPDATE_BYTES`].
    #[error("an update may have {MAX_UPDATE_BYTES} bytes of JSON")]
    TooLarge,
}

/// Reads the topic that a valid event is an update of.
///
/// # Errors
/// [`UpdateError`], for an event that is no update or too large for one.
pub fn check(event: &Event) -> Result<TopicName, UpdateError> {
    if event.kind != TYPE_UPDATE {
        return Err(UpdateError::Type);
    }
    let subject = event.subject.as_deref().ok_or(UpdateError::NoSubject)?;
    let topic = TopicName::parse(subject)?;
    if event.dataref.is_some() {
        return Err(UpdateError::DataRef);
    }
    let own = event
        .extensions
        .keys()
        .filter(|name| !OF_THE_EDGE.contains(&name.as_str()))
        .count();
    if own + OF_THE_EDGE.len() > MAX_EXTENSIONS {
        return Err(UpdateError::TooManyExtensions);
    }
    if event.to_json().len() > MAX_UPDATE_BYTES {
        return Err(UpdateError::TooLarge);
    }
    Ok(topic)
}

/// Gives an update its number on its topic, and stamps it as taken at `received_at_ms` by the edge's
/// clock. What its sender said in place of the edge is removed.
pub fn number(event: &mut Event, sequence: u64, received_at_ms: u64) {
    for name in OF_THE_EDGE {
        event.extensions.remove(name);
    }
    event
        .extensions
        .insert(SEQUENCE.to_owned(), sequence.to_string());
    Stamps::default()
        .with(Point::Received, received_at_ms)
        .write_to(event);
}

/// Returns an update's number on its topic; `None` for an event that has none.
#[must_use]
pub fn sequence_of(event: &Event) -> Option<u64> {
    digits(event.extensions.get(SEQUENCE)?)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::event::Data;

    fn update() -> Event {
        let mut event = Event::new("1", "/origin", TYPE_UPDATE);
        event.subject = Some("prices/ACME".to_owned());
        event.data = Some(Data::from_json(&7).unwrap());
        event
    }

    #[test]
    fn what_is_no_update_is_refused_with_its_reason() {
        assert_eq!(check(&update()).unwrap().as_str(), "prices/ACME");
        let with = |change: fn(&mut Event)| {
            let mut event = update();
            change(&mut event);
            check(&event).unwrap_err()
        };
        assert_eq!(with(|e| e.kind = "other".into()), UpdateError::Type);
        assert_eq!(with(|e| e.subject = None), UpdateError::NoSubject);
        assert_eq!(
            with(|e| e.subject = Some("a/ws".into())),
            UpdateError::Subject(TopicError::Reserved)
        );
        assert_eq!(
            with(|e| e.dataref = Some("/tickets/1".into())),
            UpdateError::DataRef
        );
    }

    #[test]
    fn the_whole_event_counts_towards_an_updates_size() {
        let mut event = update();
        let rest = event.to_json().len() - "7".len();
        let of_size = |bytes: usize| Some(Data::from_json(&"x".repeat(bytes - rest - 2)).unwrap());
        event.data = of_size(MAX_UPDATE_BYTES);
        assert!(check(&event).is_ok());
        event.data = of_size(MAX_UPDATE_BYTES + 1);
        assert_eq!(check(&event), Err(UpdateError::TooLarge));
    }

    #[test]
    fn the_fullest_update_is_still_an_event_when_it_is_delivered() {
        let mut event = update();
        event.extensions = (0..MAX_EXTENSIONS - 3)
            .map(|n| (format!("x{n}"), String::new()))
            .collect();
        check(&event).unwrap();
        number(&mut event, 1, 1);
        Stamps::default()
            .with(Point::Delivered, 2)
            .write_to(&mut event);
        assert_eq!(event.validate(), Ok(()));

        let mut fuller = update();
        fuller.extensions = (0..MAX_EXTENSIONS - 2)
            .map(|n| (format!("x{n}"), String::new()))
            .collect();
        assert_eq!(check(&fuller), Err(UpdateError::TooManyExtensions));
    }

    #[test]
    fn a_sequence_is_digits_and_nothing_else() {
        let mut event = update();
        assert_eq!(sequence_of(&event), None);
        for (text, sequence) in [("42", Some(42)), ("+42", None), ("-1", None), ("", None)] {
            event
                .extensions
                .insert(SEQUENCE.to_owned(), text.to_owned());
            assert_eq!(sequence_of(&event), sequence, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_senders_own_number_and_edge_stamps_do_not_survive(
            forged in btree_map("sequence|receivedat|deliveredat", "[0-9a-z]{1,9}", 0..3),
            kept in btree_map("x[a-z]{1,5}|publishedat", "[0-9]{1,9}", 0..4),
            sequence: u64, received: u64,
        ) {
            let mut event = update();
            event.extensions = kept.clone();
            event.extensions.extend(forged);
            number(&mut event, sequence, received);
            prop_assert_eq!(sequence_of(&event), Some(sequence));
            let mut expected = kept;
            expected.insert("sequence".to_owned(), sequence.to_string());
            expected.insert("receivedat".to_owned(), received.to_string());
            prop_assert_eq!(event.extensions, expected);
        }
    }
}
