//! Where content is positioned in the edge's KV, and what stands beside it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{limits::MAX_KV_METADATA_BYTES, stamps::Stamps};

/// The KV key of a ticket's offer.
#[must_use]
pub fn offer_key(ticket: Uuid) -> String {
    format!("offer:{ticket}")
}

/// An offer's metadata is larger than the platform takes.
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
    /// The stamps it had when it was positioned.
    pub stamps: Stamps,
}

impl OfferMetadata {
    /// The metadata in JSON.
    ///
    /// # Errors
    /// [`MetadataTooLarge`] above [`MAX_KV_METADATA_BYTES`].
    #[expect(
        clippy::missing_panics_doc,
        reason = "strings and numbers have a JSON form"
    )]
    pub fn to_json(&self) -> Result<String, MetadataTooLarge> {
        let json = serde_json::to_string(self).expect("metadata has a JSON form");
        if json.len() > MAX_KV_METADATA_BYTES {
            return Err(MetadataTooLarge(json.len()));
        }
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{limits::MAX_ATTRIBUTE_BYTES, stamps::Point};

    fn metadata(text: &str) -> OfferMetadata {
        OfferMetadata {
            media_type: text.repeat(MAX_ATTRIBUTE_BYTES),
            event_id: text.repeat(MAX_ATTRIBUTE_BYTES),
            source: text.repeat(MAX_ATTRIBUTE_BYTES),
            stamps: Point::ALL
                .into_iter()
                .map(|point| (point, 9_999_999_999_999))
                .collect(),
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
}
