//! How a login's attributes steer the offers.
//!
//! | attribute | value | effect |
//! |---|---|---|
//! | `max_items` | a whole number from 1 to 50 | at most so many offers; 10 without it |
//! | `max_price_gbp` | a number above 0, up to 100,000 | nothing dearer per piece |
//! | `effort` | a whole number from 1 to `generate.retail.effort_limit` | how much work the offer is; ignored where no limit is set |
//!
//! These are checked, and a value that cannot be used fails the login with a reason.
//! Attributes of other names are meant for someone else and are ignored.

use std::num::NonZeroU32;

use serde_json::{Map, Value};

use crate::RetailError;

/// Offers made when the login does not say how many.
const USUAL_ITEMS: u64 = 10;

/// So many offers can still be told apart and looked through.
const MOST_ITEMS: u64 = 50;

/// The dearest `max_price_gbp`, in pounds.
const MOST_GBP: f64 = 100_000.0;

/// What the login asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// How many offers at most, 1 to 50.
    pub max_items: usize,
    /// Nothing dearer than this, pence.
    pub max_price_pence: Option<u32>,
    /// How much work the offer is to be.
    pub effort: Option<NonZeroU32>,
}

impl Wishes {
    /// Reads the attributes. `effort_limit` is the most effort that a login may ask for.
    ///
    /// # Errors
    /// [`RetailError::BadAttribute`] for a value that cannot be used.
    pub fn read(
        attributes: &Map<String, Value>,
        effort_limit: Option<NonZeroU32>,
    ) -> Result<Self, RetailError> {
        let max_items = match attributes.get("max_items") {
            None => USUAL_ITEMS,
            Some(value) => value
                .as_u64()
                .filter(|items| (1..=MOST_ITEMS).contains(items))
                .ok_or_else(|| RetailError::BadAttribute {
                    name: "max_items",
                    must_be: format!("a whole number from 1 to {MOST_ITEMS}"),
                })?,
        };
        let max_price_pence =
            match attributes.get("max_price_gbp") {
                None => None,
                Some(value) => Some(value.as_f64().and_then(pence).ok_or_else(|| {
                    RetailError::BadAttribute {
                        name: "max_price_gbp",
                        must_be: format!("a number above 0 and up to {MOST_GBP}"),
                    }
                })?),
            };
        Ok(Self {
            max_items: usize::try_from(max_items).unwrap_or(usize::MAX),
            max_price_pence,
            effort: match (effort_limit, attributes.get("effort")) {
                (Some(limit), Some(value)) => Some(effort(value, limit)?),
                _ => None,
            },
        })
    }
}

fn effort(value: &Value, limit: NonZeroU32) -> Result<NonZeroU32, RetailError> {
    value
        .as_u64()
        .and_then(|effort| NonZeroU32::new(u32::try_from(effort).ok()?))
        .filter(|effort| *effort <= limit)
        .ok_or_else(|| RetailError::BadAttribute {
            name: "effort",
            must_be: format!("a whole number from 1 to {limit}"),
        })
}

fn pence(pounds: f64) -> Option<u32> {
    if !(pounds > 0.0 && pounds <= MOST_GBP) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked just above to be between 0 and 100,000 pounds"
    )]
    let pence = (pounds * 100.0).round() as u32;
    Some(pence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(attributes: &Value) -> Result<Wishes, RetailError> {
        Wishes::read(attributes.as_object().unwrap(), NonZeroU32::new(100))
    }

    #[test]
    fn effort_is_asked_for_within_its_limit_and_not_where_there_is_none() {
        let effort = |value: Value| read(&json!({"effort": value})).map(|wishes| wishes.effort);
        assert_eq!(effort(json!(100)), Ok(NonZeroU32::new(100)));
        for value in [json!(0), json!(101), json!("7"), json!(1e18)] {
            assert_eq!(
                effort(value).unwrap_err().to_string(),
                "the attribute `effort` must be a whole number from 1 to 100"
            );
        }
        let attributes = json!({"effort": 101});
        let wishes = Wishes::read(attributes.as_object().unwrap(), None).unwrap();
        assert_eq!(wishes.effort, None);
    }

    #[test]
    fn without_attributes_there_are_ten_offers_at_any_price() {
        let wishes = read(&json!({"campaign": "spring", "max-items": "many"})).unwrap();
        assert_eq!((wishes.max_items, wishes.max_price_pence), (10, None));
    }

    #[test]
    fn usable_values_are_taken() {
        let wishes = read(&json!({"max_items": 50, "max_price_gbp": 2.55})).unwrap();
        assert_eq!((wishes.max_items, wishes.max_price_pence), (50, Some(255)));
    }

    #[test]
    fn unusable_values_fail_with_a_reason_that_names_the_rule() {
        for value in [
            json!("many"),
            json!(0),
            json!(51),
            json!(-1),
            json!(1.5),
            json!(null),
        ] {
            let error = read(&json!({"max_items": value})).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the attribute `max_items` must be a whole number from 1 to 50"
            );
        }
        for value in [
            json!("cheap"),
            json!(0),
            json!(-2.5),
            json!(1e300),
            json!([1]),
        ] {
            let error = read(&json!({"max_price_gbp": value})).unwrap_err();
            assert_eq!(
                error.to_string(),
                "the attribute `max_price_gbp` must be a number above 0 and up to 100000"
            );
        }
    }
}
