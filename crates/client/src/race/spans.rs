//! Which parts the time went into, told by an offer's stamps.

use headstart_protocol::stamps::{Point, Stamps};
use serde::Serialize;

/// A part of an offer's way, between two stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its name in the table and in JSON.
    pub name: &'static str,
    /// The stamp it begins with.
    pub from: Point,
    /// The stamp it ends with.
    pub to: Point,
}

/// The parts of an offer's way, in order.
pub const PARTS: [Part; 4] = [
    Part {
        name: "pick-up",
        from: Point::Login,
        to: Point::Started,
    },
    Part {
        name: "generate",
        from: Point::Started,
        to: Point::Generated,
    },
    Part {
        name: "publish",
        from: Point::Generated,
        to: Point::Received,
    },
    Part {
        name: "at edge",
        from: Point::Received,
        to: Point::Delivered,
    },
];

impl Part {
    /// Returns whether its two stamps were taken by different clocks, so that the difference also tells how
    /// far these are apart.
    #[must_use]
    pub fn crosses_clocks(&self) -> bool {
        self.from.clock() != self.to.clock()
    }

    /// Returns its length in milliseconds; `None` unless both stamps were taken.
    #[must_use]
    pub fn ms(&self, stamps: &Stamps) -> Option<i64> {
        stamps.between(self.from, self.to)
    }
}

/// One part with its length, for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The part's name.
    pub part: &'static str,
    /// Its length in milliseconds.
    pub ms: i64,
    /// Whether it also tells how far two clocks are apart.
    pub crosses_clocks: bool,
}

/// Returns the parts whose stamps were taken.
#[must_use]
pub fn spans(stamps: &Stamps) -> Vec<Span> {
    PARTS
        .iter()
        .filter_map(|part| {
            Some(Span {
                part: part.name,
                ms: part.ms(stamps)?,
                crosses_clocks: part.crosses_clocks(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generating_and_lying_at_the_edge_are_told_by_one_clock() {
        let one_clock: Vec<_> = PARTS
            .iter()
            .filter(|part| !part.crosses_clocks())
            .map(|part| part.name)
            .collect();
        assert_eq!(one_clock, ["generate", "at edge"]);
    }

    #[test]
    fn a_part_without_both_stamps_is_left_out() {
        let stamps = Stamps::default()
            .with(Point::Started, 100)
            .with(Point::Generated, 350);
        assert_eq!(
            spans(&stamps),
            [Span {
                part: "generate",
                ms: 250,
                crosses_clocks: false
            }]
        );
    }
}
