//! Where content is positioned in the edge's KV, and what stands beside it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    limits::MAX_KV_METADATA_BYTES, settlement::Attributes, stamps::Stamps, topic::TopicName,
};

/// Returns the KV key of a ticket's offer.
#[must_use]
pub fn offer_key(ticket: Uuid) -> String {
    format!("offer:{ticket}")
}

/// Returns the KV key of an offer too large for the event with this id. KV remembers misses: this key is
/// asked for only by whoever was told of the event, which is sent after the write.
#[must_use]
pub fn large_offer_key(ticket: Uuid, event_id: &str) -> String {
    format!("offer:{ticket}:{event_id}")
}

/// Returns the KV key of a topic's latest update.
#[must_use]
pub fn topic_key(topic: &TopicName) -> String {
    format!("topic:{topic}")
}

/// An entry's metadata is larger than the platform takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the metadata has {0} bytes of JSON; KV takes {MAX_KV_METADATA_BYTES}")]
pub struct MetadataTooLarge(usize);

/// Metadata of a positioned offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferMetadata {
    /// Media type of the offer.
    pub media_type: String,
    /// Id of the event that settled the ticket.
    pub event_id: String,
    /// Source of that event.
    pub source: String,
    /// What else its sender said of the event, where there is room for it.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// The stamps it had when it was positioned.
    pub stamps: Stamps,
}

impl OfferMetadata {
    /// Returns the metadata in JSON.
    ///
    /// # Errors
    /// [`MetadataTooLarge`] above [`MAX_KV_METADATA_BYTES`].
    pub fn to_json(&self) -> Result<String, MetadataTooLarge> {
        metadata_json(self)
    }
}

/// Metadata of a topic's latest update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicMetadata {
    /// Number of the update on its topic.
    pub sequence: u64,
    /// Id of the update.
    pub event_id: String,
    /// Source of the update.
    pub source: String,
    /// Media type of its data.
    pub media_type: String,
    /// The stamps it had when it was positioned.
    pub stamps: Stamps,
}

impl TopicMetadata {
    /// Returns the metadata in JSON.
    ///
    /// # Errors
    /// [`MetadataTooLarge`] above [`MAX_KV_METADATA_BYTES`].
    pub fn to_json(&self) -> Result<String, MetadataTooLarge> {
        metadata_json(self)
    }
}

fn metadata_json(metadata: &impl Serialize) -> Result<String, MetadataTooLarge> {
    let json = serde_json::to_string(metadata).expect("metadata has only strings and numbers");
    if json.len() > MAX_KV_METADATA_BYTES {
        return Err(MetadataTooLarge(json.len()));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limits::{MAX_ATTRIBUTE_BYTES, MAX_TOPIC_BYTES},
        stamps::Point,
    };

    fn metadata(text: &str) -> OfferMetadata {
        OfferMetadata {
            media_type: text.repeat(MAX_ATTRIBUTE_BYTES),
            event_id: text.repeat(MAX_ATTRIBUTE_BYTES),
            source: text.repeat(MAX_ATTRIBUTE_BYTES),
            attributes: Attributes::default(),
            stamps: Point::ALL
                .into_iter()
                .map(|point| (point, 9_999_999_999_999))
                .collect(),
        }
    }

    fn topic_metadata(text: &str) -> TopicMetadata {
        let offer = metadata(text);
        TopicMetadata {
            sequence: u64::MAX,
            event_id: offer.event_id,
            source: offer.source,
            media_type: offer.media_type,
            stamps: offer.stamps,
        }
    }

    #[test]
    fn the_longest_attributes_fit_the_platforms_limit_unless_json_escapes_them() {
        let json = metadata("x").to_json().unwrap();
        assert_eq!(
            serde_json::from_str::<OfferMetadata>(&json).unwrap(),
            metadata("x")
        );
        assert!(metadata("\"").to_json().is_err());
    }

    #[test]
    fn the_longest_attributes_of_an_update_fit_beside_any_sequence() {
        let json = topic_metadata("x").to_json().unwrap();
        assert_eq!(
            serde_json::from_str::<TopicMetadata>(&json).unwrap(),
            topic_metadata("x")
        );
        assert!(topic_metadata("\"").to_json().is_err());
    }

    #[test]
    fn the_longest_topic_and_event_id_have_a_key_that_the_platform_takes() {
        const MAX_KV_KEY_BYTES: usize = 512;
        let id = "x".repeat(MAX_ATTRIBUTE_BYTES);
        assert!(large_offer_key(Uuid::nil(), &id).len() <= MAX_KV_KEY_BYTES);
        let topic = TopicName::parse(&"x".repeat(MAX_TOPIC_BYTES)).unwrap();
        assert!(topic_key(&topic).len() <= MAX_KV_KEY_BYTES);
        assert_eq!(
            topic_key(&TopicName::parse("prices/ACME").unwrap()),
            "topic:prices/ACME"
        );
    }
}
