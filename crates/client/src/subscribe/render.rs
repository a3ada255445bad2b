//! An update as text: its data, its stamps, and the times between them. A difference between two
//! clocks also says how far these are apart, and is marked with `~`.

use std::fmt::Write as _;

use headstart_protocol::{
    event::{Data, Event},
    stamps::{Clock, Stamps},
};
use serde::Serialize;

use super::Update;

/// The name of the subscriber's own time among the stamps.
const HERE: &str = "here";

/// The time between two stamps that follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The earlier stamp.
    pub from: &'static str,
    /// The later stamp; `here` is the arrival by the subscriber's clock.
    pub to: &'static str,
    /// The time between them, in milliseconds.
    pub ms: i64,
    /// Whether it also tells how far two clocks are apart.
    pub crosses_clocks: bool,
}

/// A stamp: its name, whose clock took it (none: the subscriber's), and when.
type Taken = (&'static str, Option<Clock>, u64);

fn stamps(update: &Update) -> Vec<Taken> {
    Stamps::of_event(&update.event)
        .iter()
        .map(|(point, at)| (point.name(), Some(point.clock()), at))
        .chain([(HERE, None, update.arrived_at_ms)])
        .collect()
}

/// Returns the times between the stamps of an update, from its publishing to its arrival.
#[must_use]
pub fn spans(update: &Update) -> Vec<Span> {
    stamps(update)
        .windows(2)
        .filter_map(|pair| match pair {
            [(from, before, from_at), (to, after, to_at)] => Some(Span {
                from,
                to,
                ms: i64::try_from(i128::from(*to_at) - i128::from(*from_at)).ok()?,
                crosses_clocks: before != after,
            }),
            _ => None,
        })
        .collect()
}

/// Returns an update in two lines for people. Nothing in it can steer a terminal.
#[must_use]
pub fn lines(update: &Update) -> String {
    let mut lines = format!(
        "{} {}  {}\n ",
        update.topic,
        update.sequence,
        content(&update.event)
    );
    let mut spans = spans(update).into_iter();
    for (name, _, _) in stamps(update) {
        // Writing to a string cannot fail.
        let _ = write!(lines, " {}", name.trim_end_matches("at"));
        if let Some(span) = spans.next() {
            let about = if span.crosses_clocks { "~" } else { "" };
            let _ = write!(lines, "  {about}{} ms ", span.ms);
        }
    }
    let _ = write!(lines, " at {}", time_of_day(update.arrived_at_ms));
    lines
}

/// Returns the time of day in UTC, such as `14:03:27.817Z`.
fn time_of_day(at_ms: u64) -> String {
    let (seconds, ms) = (at_ms / 1000, at_ms % 1000);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// An update for programs.
#[derive(Debug, Serialize)]
pub struct Rendered<'a> {
    /// The topic.
    topic: &'a str,
    /// Its number on the topic.
    sequence: u64,
    /// When it arrived, by the subscriber's clock, in ms since the Unix epoch.
    arrivedat: u64,
    /// The times between its stamps.
    spans: Vec<Span>,
    /// The event itself.
    event: &'a Event,
}

impl<'a> Rendered<'a> {
    /// Returns the form of `update`.
    #[must_use]
    pub fn of(update: &'a Update) -> Self {
        Self {
            topic: update.topic.as_str(),
            sequence: update.sequence,
            arrivedat: update.arrived_at_ms,
            spans: spans(update),
            event: &update.event,
        }
    }
}

fn content(event: &Event) -> String {
    match &event.data {
        None => "(no data)".to_owned(),
        Some(Data::Json(json)) => harmless(json.get()),
        Some(Data::Text(text)) => harmless(text),
        Some(Data::Binary(bytes)) => {
            format!(
                "({} bytes of {})",
                bytes.len(),
                harmless(event.media_type())
            )
        }
    }
}

/// Returns a text without the characters that a terminal obeys.
fn harmless(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let (plain, escaped) = if c.is_control() {
                (None, Some(c.escape_default()))
            } else {
                (Some(c), None)
            };
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{event::TYPE_UPDATE, stamps::Point, topic::TopicName};

    use super::*;

    fn update(data: Option<Data>) -> Update {
        let mut event = Event::new("1", "/origin/test", TYPE_UPDATE);
        event.data = data;
        Stamps::default()
            .with(Point::Published, 1000)
            .with(Point::Received, 990)
            .with(Point::Delivered, 992)
            .write_to(&mut event);
        Update {
            topic: TopicName::parse("scores/nba").unwrap(),
            sequence: 42,
            arrived_at_ms: 1005,
            event,
        }
    }

    #[test]
    fn only_a_difference_within_one_clock_stands_without_a_tilde() {
        let text = lines(&update(Some(Data::Text("x".to_owned()))));
        assert_eq!(
            text,
            "scores/nba 42  x\n  published  ~-10 ms  received  2 ms  delivered  ~13 ms  here at 00:00:01.005Z"
        );
    }

    #[test]
    fn data_cannot_steer_the_terminal() {
        let text = lines(&update(Some(Data::Text("\u{1b}[2Jé\n\u{9b}".to_owned()))));
        assert!(text.contains("\\u{1b}[2Jé\\n\\u{9b}"), "{text}");
        let binary = lines(&update(Some(Data::Binary(vec![0; 7]))));
        assert!(binary.contains("(7 bytes of application/json)"), "{binary}");
    }

    #[test]
    fn a_program_gets_the_event_as_it_is_and_the_times() {
        let update = update(None);
        let json = serde_json::to_value(Rendered::of(&update)).unwrap();
        assert_eq!(json["sequence"], 42);
        assert_eq!(json["event"]["receivedat"], "990");
        let at_edge = &json["spans"][1];
        assert_eq!(
            (&at_edge["ms"], &at_edge["crosses_clocks"]),
            (&2.into(), &false.into())
        );
    }
}
