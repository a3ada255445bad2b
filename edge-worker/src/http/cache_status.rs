//! Where an answer came from and how long that took: the headers
//! [`Cache-Status`](https://www.rfc-editor.org/rfc/rfc9211) and
//! [`Server-Timing`](https://www.w3.org/TR/server-timing/).

use headstart_edge_rules::lookup::Tier;

use crate::http::answer::Answer;

/// How a request was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// From what was there.
    Hit(Tier),
    /// There was nothing yet.
    Miss,
    /// Not looked up at all: the ticket alone decided.
    Refused,
}

/// Time spent asking each place, in the order of asking.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timings(Vec<(Tier, u64)>);

impl Timings {
    /// Notes that asking `place` took `ms`.
    pub fn note(&mut self, place: Tier, ms: u64) {
        self.0.push((place, ms));
    }
}

/// Returns `answer` with both headers.
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
        timings.note(Tier::Kv, 3);
        timings.note(Tier::Object, 12);
        let lines = with_cache_status(Answer::new(200), "LHR", Served::Hit(Tier::Object), &timings)
            .header_lines();
        assert_eq!(
            lines,
            "Cache-Status:LHR; hit; detail=object\nServer-Timing:kv;dur=3, object;dur=12\n"
        );
    }

    #[test]
    fn a_miss_is_told_as_one() {
        let lines = with_cache_status(Answer::new(202), "LHR", Served::Miss, &Timings::default())
            .header_lines();
        assert!(lines.starts_with("Cache-Status:LHR; fwd=miss\n"), "{lines}");
    }
}
