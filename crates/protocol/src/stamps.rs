//! Stamps: when an offer passed which point, by whose clock.
//!
//! A stamp is a time in milliseconds since the Unix epoch. In a CloudEvent each is an extension
//! attribute. CloudEvents' Integer has only 32 bits, so a stamp is written there as a string of
//! decimal digits. In HTTP answers they stand in the header `Headstart-Stamps`, a dictionary of
//! integers ([RFC 8941](https://www.rfc-editor.org/rfc/rfc8941#name-dictionaries)).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};
use std::collections::BTreeMap;

use crate::event::Event;

/// The header that carries an offer's stamps in HTTP answers.
pub const STAMPS_HEADER: &str = "Headstart-Stamps";

/// The machine whose clock took a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The Worker's clock.
    Edge,
    /// The origin's clock.
    Origin,
}

/// A point that an offer passes on its way, in the order of passing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The edge took the login.
    Login,
    /// The origin began to generate.
    Started,
    /// The origin had generated.
    Generated,
    /// The origin handed the offer to its delivery.
    Published,
    /// The edge received the offer.
    Received,
    /// The edge handed the offer to whoever asked or waited.
    Delivered,
}

impl Point {
    /// Every point, in the order of passing.
    pub const ALL: [Self; 6] = [
        Self::Login,
        Self::Started,
        Self::Generated,
        Self::Published,
        Self::Received,
        Self::Delivered,
    ];

    /// Returns the stamp's name on every wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Login => "loginat",
            Self::Started => "startedat",
            Self::Generated => "generatedat",
            Self::Published => "publishedat",
            Self::Received => "receivedat",
            Self::Delivered => "deliveredat",
        }
    }

    /// Returns the clock that takes this stamp.
    #[must_use]
    pub const fn clock(self) -> Clock {
        match self {
            Self::Login | Self::Received | Self::Delivered => Clock::Edge,
            Self::Started | Self::Generated | Self::Published => Clock::Origin,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|point| point.name() == name)
    }
}

/// The stamps an offer has collected so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamps([Option<u64>; Point::ALL.len()]);

impl Stamps {
    /// Returns the stamp taken at `point`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn get(&self, point: Point) -> Option<u64> {
        self.0[point as usize]
    }

    /// Returns these stamps with the one of `point` set to `at_ms`.
    #[must_use]
    pub fn with(mut self, point: Point, at_ms: u64) -> Self {
        self.0[point as usize] = Some(at_ms);
        self
    }

    /// Returns every stamp taken, in the order of passing.
    pub fn iter(&self) -> impl Iterator<Item = (Point, u64)> + '_ {
        Point::ALL
            .into_iter()
            .filter_map(|point| Some((point, self.get(point)?)))
    }

    /// Milliseconds from one stamp to another; `None` unless both were taken. Negative when the
    /// second is earlier, which happens between points of different [`Clock`]s.
    #[must_use]
    pub fn between(&self, from: Point, to: Point) -> Option<i64> {
        let (from, to) = (self.get(from)?, self.get(to)?);
        i64::try_from(i128::from(to) - i128::from(from)).ok()
    }

    /// Returns the stamps among an event's extension attributes. One that is not a number counts as not
    /// taken: stamps inform, nothing is decided by them.
    #[must_use]
    pub fn of_event(event: &Event) -> Self {
        event
            .extensions
            .iter()
            .filter_map(|(name, value)| Some((Point::from_name(name)?, value.parse().ok()?)))
            .collect()
    }

    /// Writes the stamps into an event's extension attributes.
    pub fn write_to(&self, event: &mut Event) {
        for (point, at) in self.iter() {
            event
                .extensions
                .insert(point.name().to_owned(), at.to_string());
        }
    }

    /// Returns the value of the `Headstart-Stamps` header.
    #[must_use]
    pub fn to_header(&self) -> String {
        let items: Vec<String> = self
            .iter()
            .map(|(point, at)| format!("{}={at}", point.name()))
            .collect();
        items.join(", ")
    }

    /// Reads a `Headstart-Stamps` header. Members that are no stamp are passed over.
    #[must_use]
    pub fn from_header(value: &str) -> Self {
        value
            .split(',')
            .filter_map(|item| {
                let (name, at) = item.trim().split_once('=')?;
                Some((Point::from_name(name)?, at.parse().ok()?))
            })
            .collect()
    }
}

impl FromIterator<(Point, u64)> for Stamps {
    fn from_iter<I: IntoIterator<Item = (Point, u64)>>(stamps: I) -> Self {
        stamps
            .into_iter()
            .fold(Self::default(), |all, (point, at)| all.with(point, at))
    }
}

/// A JSON object from a stamp's name to its milliseconds.
impl Serialize for Stamps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (point, at) in self.iter() {
            map.serialize_entry(point.name(), &at)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Stamps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, u64>::deserialize(deserializer)?
            .into_iter()
            .map(|(name, at)| {
                let point = Point::from_name(&name).ok_or_else(|| {
                    D::Error::custom(format!("{name} is not the name of a stamp"))
                })?;
                Ok((point, at))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Stamps {
        Stamps::default()
            .with(Point::Received, 1_700_000_000_500)
            .with(Point::Login, 1_700_000_000_000)
    }

    #[test]
    fn the_header_is_read_as_it_was_written() {
        let header = some().to_header();
        assert_eq!(header, "loginat=1700000000000, receivedat=1700000000500");
        assert_eq!(Stamps::from_header(&header), some());
        assert_eq!(
            Stamps::from_header("x, loginat=abc, other=1,,"),
            Stamps::default()
        );
    }

    #[test]
    fn json_is_read_as_it_was_written() {
        let json = serde_json::to_string(&some()).unwrap();
        assert_eq!(serde_json::from_str::<Stamps>(&json).unwrap(), some());
        assert!(serde_json::from_str::<Stamps>(r#"{"otherat":1}"#).is_err());
    }

    #[test]
    fn a_span_may_be_negative_and_needs_both_ends() {
        assert_eq!(some().between(Point::Received, Point::Login), Some(-500));
        assert_eq!(some().between(Point::Login, Point::Started), None);
    }
}
