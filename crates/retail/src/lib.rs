//! The retail generator: personal offers, learned from a purchase history.
//!
//! At start, [`history`] reads the CSV, [`cleaning`] drops its dirt and [`model`] learns
//! products, shoppers and orders. For a login:
//!
//! | step | file |
//! |---|---|
//! | what the login asks for | [`attributes`] |
//! | who this is: taste, usual price, [`country`] | `profile` |
//! | which products may be offered | `eligible` |
//! | score them, round after round on a redrawn history (`weights`) | `scoring` |
//! | ... by customers of the same taste | `neighbours` |
//! | ... by what is ordered together | `similarity` |
//! | ... by a random walk beyond both | `walk` |
//! | ... by what sells in the country | `popularity` |
//! | not five of the same thing | `diversity` |
//! | a price | [`mod@discount`] |
//! | a sentence for each | `explain`, [`wording`] |
//! | the JSON | [`offers`] |
//!
//! The same login on the same history and effort gives the same bytes: no clock, no hash
//! order, random numbers seeded by the user.

pub mod attributes;
pub mod cleaning;
pub mod country;
pub mod discount;
mod diversity;
mod eligible;
mod explain;
pub mod history;
mod incidence;
pub mod model;
mod neighbours;
pub mod offers;
mod popularity;
mod profile;
mod scoring;
mod similarity;
mod walk;
mod weights;
pub mod wording;

use std::num::NonZeroU32;

use headstart_protocol::login::LoginData;

pub use crate::profile::CountryFrom;
use crate::{
    attributes::Wishes,
    discount::{Buyer, discount},
    explain::Teller,
    history::PurchaseHistory,
    model::Model,
    offers::{Item, Made, Offers},
    profile::Profile,
    scoring::Scored,
};

/// Rounds of scoring for one unit of effort. On real data more offers are hits up to an effort
/// of about 4; beyond that the scores hardly move (`examples/quality.rs` measures it).
pub const ROUNDS_PER_EFFORT: u32 = 8;

/// The synthetic purchase history that comes with the project, as CSV.
pub const SAMPLE: &[u8] = include_bytes!("../data/sample-retail.csv");

/// Why there are no offers. The text is written for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RetailError {
    /// The time for it was over.
    #[error("the offer was not ready in time")]
    TimedOut,
    /// The login carries an attribute with a value that cannot be used.
    #[error("the attribute `{name}` must be {must_be}")]
    BadAttribute {
        /// The attribute's name: one of ours, never text from the login.
        name: &'static str,
        /// What it must be, for example "a whole number from 1 to 50".
        must_be: String,
    },
    /// Nothing in the catalogue may be offered.
    #[error("nothing in the catalogue may be offered for this login")]
    NothingToOffer,
}

/// Makes personal offers.
#[derive(Debug)]
pub struct RetailGenerator {
    model: Model,
    effort: NonZeroU32,
    effort_limit: Option<NonZeroU32>,
}

impl RetailGenerator {
    /// Learns from `history`. The time a generation takes grows in proportion to `effort`.
    #[must_use]
    pub fn new(history: &PurchaseHistory, effort: NonZeroU32) -> Self {
        Self {
            model: Model::learn(&history.lines),
            effort,
            effort_limit: None,
        }
    }

    /// Lets a login ask for an effort of its own, up to this one.
    #[must_use]
    pub fn with_effort_limit(mut self, limit: Option<NonZeroU32>) -> Self {
        self.effort_limit = limit;
        self
    }

    /// Returns what was learned.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the offers for one login.
    ///
    /// # Errors
    /// [`RetailError::BadAttribute`] for attributes that cannot be used,
    /// [`RetailError::TimedOut`] once `is_late` says so, which is asked every few milliseconds,
    /// [`RetailError::NothingToOffer`].
    pub fn offers(
        &self,
        login: &LoginData,
        is_late: &dyn Fn() -> bool,
    ) -> Result<Offers, RetailError> {
        let model = &self.model;
        let wishes = Wishes::read(&login.attributes, self.effort_limit)?;
        let effort = wishes.effort.unwrap_or(self.effort).get();
        let profile = Profile::new(model, login);
        let candidates = eligible::eligible(model, &profile, &wishes);
        let neighbours = neighbours::neighbours(model, &profile);
        let rounds = effort.saturating_mul(ROUNDS_PER_EFFORT);
        let user = login.user.trim();
        let scored = scoring::score(
            model,
            &profile,
            &neighbours,
            &candidates,
            user,
            rounds,
            is_late,
        )?;
        let mut teller = Teller::new(model, &profile, &neighbours);
        let items: Vec<Item> = diversity::pick(model, &scored, wishes.max_items)
            .iter()
            .map(|scored| item(model, &profile, &mut teller, scored))
            .collect();
        if items.is_empty() {
            return Err(RetailError::NothingToOffer);
        }
        Ok(Offers {
            user: login.user.clone(),
            greeting: explain::greeting(&profile).to_owned(),
            known: profile.customer.is_some(),
            why: explain::why(model, &profile, &neighbours),
            country_from: profile.place.as_ref().map(|place| place.from),
            country: profile.place.as_ref().map(|place| place.name.clone()),
            items,
            generator: Made {
                name: "retail",
                effort,
                rounds,
                products_scored: candidates.len(),
                history_until: model.last_day.to_string(),
            },
        })
    }
}

fn item(model: &Model, profile: &Profile<'_>, teller: &mut Teller<'_>, scored: &Scored) -> Item {
    let product = &model.products[scored.product];
    let buyer = Buyer {
        orders: profile.customer.map_or(0, |(_, shopper)| shopper.orders),
        usual_price_pence: profile
            .customer
            .and_then(|(_, shopper)| shopper.usual_price_pence),
    };
    let discount = discount(product.price_pence, buyer);
    let (reason_kind, reason) = teller.reason(scored);
    Item {
        stock_code: product.stock_code.clone(),
        description: product.description.clone(),
        price_gbp: pounds(product.price_pence),
        offer_price_gbp: pounds(discount.offer_pence),
        discount_percent: discount.percent,
        discount_reason: discount.reason,
        // Four places tell the order; more would only show the noise of the last bits.
        score: (scored.score * 10_000.0).round() / 10_000.0,
        reason,
        reason_kind,
    }
}

fn pounds(pence: u32) -> f64 {
    f64::from(pence) / 100.0
}

#[cfg(test)]
mod tests;
