//! Where an answer came from and how long that took: the headers
//! [`Cache-Status`](https://www.rfc-editor.org/rfc/rfc9211) and
//! [`Server-Timing`](https://www.w3.org/TR/server-timing/).

use crate::answer::Answer;

/// A place that an offer is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The isolate's memory.
    Memory,
    /// The KV namespace.
    Kv,
    /// The ticket's Durable Object.
    Hub,
}

impl Place {
    /// Its name in both headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Kv => "kv",
            Self::Hub => "hub",
        }
    }
}

/// How a request was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// From what was there.
    Hit(Place),
    /// There was nothing yet.
    Miss,
    /// Not looked up at all: the ticket alone decided.
    Refused,
}

/// Time spent asking each place, in the order of asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timings(Vec<(Place, u64)>);

impl Timings {
    /// Notes that asking `place` took `ms`.
    pub fn note(&mut self, place: Place, ms: u64) {
        self.0.push((place, ms));
    }
}

/// `answer` with both headers.
pub fn with_cache_status(answer: Answer, node: &str, served: Served, timings: &Timings) -> Answer {
    let timing = if timings.0.is_empty() {
        "memory;dur=0".to_owned()
    } else {
        let parts: Vec<String> = timings
            .0
            .iter()
            .map(|(place, ms)| format!("{};dur={ms}", place.name()))
            .collect();
        parts.join(", ")
    };
    let status = match served {
        Served::Hit(place) => format!("{node}; hit; detail={}", place.name()),
        Served::Miss => format!("{node}; fwd=miss"),
        Served::Refused => format!("{node}; detail=refused"),
    };
    answer
        .header("Cache-Status", &status)
        .header("Server-Timing", &timing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_headers_say_where_and_how_long() {
        let mut timings = Timings::default();
        timings.note(Place::Kv, 3);
        timings.note(Place::Hub, 12);
        let lines = with_cache_status(Answer::new(200), "LHR", Served::Hit(Place::Hub), &timings)
            .header_lines();
        assert_eq!(
            lines,
            "Cache-Status:LHR; hit; detail=hub\nServer-Timing:kv;dur=3, hub;dur=12\n"
        );
    }

    #[test]
    fn a_miss_is_told_as_one() {
        let lines = with_cache_status(Answer::new(202), "LHR", Served::Miss, &Timings::default())
            .header_lines();
        assert!(lines.starts_with("Cache-Status:LHR; fwd=miss\n"), "{lines}");
    }
}
