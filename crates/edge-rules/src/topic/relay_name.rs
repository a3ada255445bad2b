//! What a relay is called: the name of its Durable Object.

use std::fmt;

use headstart_protocol::topic::TopicName;
use serde::{Deserialize, Serialize};

use crate::topic::region::Region;

/// Most relays that a topic has in one region. With [`Region::ALL`] and 10,000 subscribers on each
/// that is room for 11.5 million subscribers.
pub const MAX_SHARDS: u32 = 128;

/// What the secret ids of a root's own connections begin with; no region is called so.
pub const ROOT: &str = "root";

/// What a name of a relay for several topics begins with; no region is called so.
const MANY: &str = "many:";

/// A text names no relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a relay is called region:shard:topic, or many:region:shard")]
pub struct NotARelay;

/// The name of a relay: `{region}:{shard}:{topic}`, or `many:{region}:{shard}` for connections with
/// several topics. Sorts by region, so that a region's relays stand together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayName {
    region: Region,
    topic: Option<TopicName>,
    shard: u32,
}

impl RelayName {
    /// Returns the relay of one topic. Shards are counted from 0; there are [`MAX_SHARDS`].
    #[must_use]
    pub fn of_topic(region: Region, shard: u32, topic: TopicName) -> Self {
        Self {
            region,
            topic: Some(topic),
            shard: shard % MAX_SHARDS,
        }
    }

    /// Returns a relay for connections with several topics.
    #[must_use]
    pub fn of_many(region: Region, shard: u32) -> Self {
        Self {
            region,
            topic: None,
            shard: shard % MAX_SHARDS,
        }
    }

    /// Reads a name, in its only spelling.
    ///
    /// # Errors
    /// [`NotARelay`].
    pub fn parse(text: &str) -> Result<Self, NotARelay> {
        let (many, rest) = match text.strip_prefix(MANY) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // A topic's name may hold colons, a region and a shard do not.
        let mut parts = rest.splitn(3, ':');
        let region = parts.next().and_then(Region::parse).ok_or(NotARelay)?;
        let shard = parts.next().and_then(shard).ok_or(NotARelay)?;
        let topic = parts.next().map(TopicName::parse).transpose();
        match topic.map_err(|_| NotARelay)? {
            Some(topic) if !many => Ok(Self::of_topic(region, shard, topic)),
            None if many => Ok(Self::of_many(region, shard)),
            _ => Err(NotARelay),
        }
    }

    /// Returns the object that holds the connection with this secret id, of a subscriber to `topic`: `None`
    /// for the topic's root.
    ///
    /// # Errors
    /// [`NotARelay`], for what is no id of ours.
    pub fn of_connection(id: &str, topic: &TopicName) -> Result<Option<Self>, NotARelay> {
        let (address, _) = id.rsplit_once('.').ok_or(NotARelay)?;
        if address == ROOT {
            return Ok(None);
        }
        if address.starts_with(MANY) {
            return Self::parse(address).map(Some);
        }
        let (region, of_region) = address.split_once(':').ok_or(NotARelay)?;
        let region = Region::parse(region).ok_or(NotARelay)?;
        let shard = shard(of_region).ok_or(NotARelay)?;
        Ok(Some(Self::of_topic(region, shard, topic.clone())))
    }

    /// Returns what the secret ids of its connections begin with: its name without the topic.
    #[must_use]
    pub fn address(&self) -> String {
        let many = if self.topic.is_some() { "" } else { MANY };
        format!("{many}{}:{}", self.region.code(), self.shard)
    }

    /// Returns the region that it is in.
    #[must_use]
    pub fn region(&self) -> Region {
        self.region
    }

    /// Returns its topic; `None` for one that takes connections with several.
    #[must_use]
    pub fn topic(&self) -> Option<&TopicName> {
        self.topic.as_ref()
    }
}

fn shard(text: &str) -> Option<u32> {
    let shard: u32 = text.parse().ok()?;
    (shard < MAX_SHARDS && shard.to_string() == text).then_some(shard)
}

impl fmt::Display for RelayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())?;
        match &self.topic {
            Some(topic) => write!(f, ":{topic}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for RelayName {
    type Error = NotARelay;

    fn try_from(text: String) -> Result<Self, NotARelay> {
        Self::parse(&text)
    }
}

impl From<RelayName> for String {
    fn from(name: RelayName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        for name in ["weur:0:a", "me:127:a:b/c:1", "oc:3:many", "many:afr:12"] {
            assert_eq!(RelayName::parse(name).unwrap().to_string(), name);
            let json = format!("\"{name}\"");
            let read: RelayName = serde_json::from_str(&json).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), json);
        }
    }

    #[test]
    fn what_names_no_relay_is_refused() {
        for wrong in [
            "",
            "weur",
            "weur:0",
            "weur:0:",
            "weur:128:a",
            "weur:-1:a",
            "weur:+1:a",
            "weur:01:a",
            "mars:0:a",
            "many:weur:0:a",
            "many:weur",
            "many:0:weur",
            "weur:0:a b",
        ] {
            assert_eq!(RelayName::parse(wrong), Err(NotARelay), "{wrong}");
        }
    }

    #[test]
    fn a_connection_is_found_by_its_secret_id() {
        let topic = TopicName::parse("a").unwrap();
        let at = |id: &str| RelayName::of_connection(id, &topic);
        assert_eq!(at("root.0a"), Ok(None));
        for (id, name) in [("weur:3.0a", "weur:3:a"), ("many:oc:1.0a", "many:oc:1")] {
            let relay = at(id).unwrap().unwrap();
            assert_eq!(relay.to_string(), name);
            assert_eq!(format!("{}.0a", relay.address()), id);
        }
        for wrong in [
            "",
            "root",
            "weur.0a",
            "weur:128.0a",
            "weur:0:a.0a",
            "many:.x",
            "x:0.y",
        ] {
            assert_eq!(at(wrong), Err(NotARelay), "{wrong}");
        }
    }

    #[test]
    fn the_relays_of_a_region_stand_together() {
        let mut names: Vec<RelayName> = ["many:weur:0", "sam:1:a", "weur:10:a", "weur:2:a"]
            .into_iter()
            .map(|name| RelayName::parse(name).unwrap())
            .collect();
        names.sort();
        let regions: Vec<&str> = names.iter().map(|name| name.region().code()).collect();
        assert_eq!(regions, ["sam", "weur", "weur", "weur"]);
    }
}
