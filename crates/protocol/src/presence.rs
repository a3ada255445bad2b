//! Presence: who is connected to a topic, how far away, and where. The bodies of
//! `GET /topics/{topic}/subscribers` and the frames of its stream.

use serde::{Deserialize, Serialize};

use crate::{channel::Place, topic::TopicName};

/// How a subscriber is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Server-Sent Events.
    Sse,
    /// A WebSocket.
    Ws,
}

/// Where a subscriber is. Whatever is not known is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SubscriberPlace {
    /// ISO 3166-1 alpha-2 code of the country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Name of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Degrees north; whole ones unless `shared`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east; whole ones unless `shared`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// Whether the client itself shared the coordinates; else they are what the edge's network
    /// guesses.
    #[serde(default)]
    pub shared: bool,
}

impl SubscriberPlace {
    /// Notes where the client itself says that it is.
    pub fn share(&mut self, place: Place) {
        self.latitude = Some(place.latitude());
        self.longitude = Some(place.longitude());
        self.shared = true;
    }
}

/// How long a subscriber takes to answer, in milliseconds by the edge's clock: from handing an update
/// over until its ack arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// The last one.
    pub last: u64,
    /// The median of the last ones.
    pub p50: u64,
    /// Their 90th percentile.
    pub p90: u64,
    /// Their 99th percentile.
    pub p99: u64,
}

/// One subscriber, as everybody may see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscriber {
    /// Names the connection: 16 hexadecimal digits. Not the secret id that acks are sent under.
    pub id: String,
    /// How it is connected.
    pub transport: Transport,
    /// Where it is.
    pub place: SubscriberPlace,
    /// When it connected, in milliseconds since the Unix epoch, by the edge's clock.
    pub connectedat: u64,
    /// Milliseconds since it was last heard.
    pub seen: u64,
    /// Its round-trip times; absent until its first ack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roundtrip: Option<RoundTrip>,
}

/// All subscribers of a topic that are heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubscriberList {
    /// The topic.
    pub topic: TopicName,
    /// How many there are, listed or not.
    pub count: u64,
    /// The first [`crate::limits::MAX_PRESENCE_LIST`] of them.
    pub subscribers: Vec<Subscriber>,
}

/// What has changed since the list, or the last changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SubscriberChanges {
    /// How many there are now, listed or not.
    pub count: u64,
    /// Who has come, or is heard again.
    pub joined: Vec<Subscriber>,
    /// Of whom something else is to be said now.
    pub changed: Vec<Subscriber>,
    /// Ids of those who have gone, or fallen silent.
    pub left: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::tests::topic;

    fn subscriber() -> Subscriber {
        Subscriber {
            id: "00112233445566ff".to_owned(),
            transport: Transport::Ws,
            place: SubscriberPlace {
                country: Some("AU".to_owned()),
                latitude: Some(-34.0),
                longitude: Some(151.5),
                ..SubscriberPlace::default()
            },
            connectedat: 1_700_000_000_000,
            seen: 40,
            roundtrip: None,
        }
    }

    const SUBSCRIBER: &str = r#"{"id":"00112233445566ff","transport":"ws","place":{"country":"AU","latitude":-34.0,"longitude":151.5,"shared":false},"connectedat":1700000000000,"seen":40}"#;

    #[test]
    fn the_list_and_its_changes_are_written_as_documented() {
        let list = SubscriberList {
            topic: topic("a"),
            count: 1,
            subscribers: vec![subscriber()],
        };
        let json = format!(r#"{{"topic":"a","count":1,"subscribers":[{SUBSCRIBER}]}}"#);
        assert_eq!(serde_json::to_string(&list).unwrap(), json);
        assert_eq!(serde_json::from_str::<SubscriberList>(&json).unwrap(), list);

        let changes = SubscriberChanges {
            count: 2,
            joined: vec![],
            changed: vec![subscriber()],
            left: vec!["ff".to_owned()],
        };
        let json = format!(r#"{{"count":2,"joined":[],"changed":[{SUBSCRIBER}],"left":["ff"]}}"#);
        assert_eq!(serde_json::to_string(&changes).unwrap(), json);
        assert_eq!(
            serde_json::from_str::<SubscriberChanges>(&json).unwrap(),
            changes
        );
    }

    #[test]
    fn a_round_trip_and_what_a_later_edge_adds_are_read() {
        let json = SUBSCRIBER.replace("\"ws\"", "\"sse\"").replace(
            "\"seen\":40",
            r#""seen":40,"roundtrip":{"last":9,"p50":8,"p90":9,"p99":12},"later":true"#,
        );
        let read: Subscriber = serde_json::from_str(&json).unwrap();
        assert_eq!(read.transport, Transport::Sse);
        assert_eq!(
            read.roundtrip,
            Some(RoundTrip {
                last: 9,
                p50: 8,
                p90: 9,
                p99: 12
            })
        );
    }
}
