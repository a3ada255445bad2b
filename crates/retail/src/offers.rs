//! The shape of a retail offer, as it stands in the JSON that reaches the user.
//!
//! Every text in it is plain text, and `user` is whatever the login said: a page must escape
//! them. Fields are only ever added.

use serde::Serialize;

use crate::profile::CountryFrom;

/// The media type of the JSON.
pub const MEDIA_TYPE: &str = "application/json";

/// Personal offers for one user.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Offers {
    /// The user as the login named them.
    pub user: String,
    /// A line to show on top. It does not repeat the user's name.
    pub greeting: String,
    /// True when the purchase history knows this customer.
    pub known: bool,
    /// The country the offers are made for, as a sentence names it ("the Netherlands").
    pub country: Option<String>,
    /// How the country is known; `null` when it is not.
    pub country_from: Option<CountryFrom>,
    /// What the choice rests on, in a sentence or two.
    pub why: String,
    /// The offers, best first. Never empty.
    pub items: Vec<Item>,
    /// How they were made.
    pub generator: Made,
}

/// One offer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// The product's code.
    pub stock_code: String,
    /// What it is.
    pub description: String,
    /// Its usual price for one piece, GBP.
    pub price_gbp: f64,
    /// What this user pays for one piece, GBP.
    pub offer_price_gbp: f64,
    /// The discount between the two, percent (5 to 15).
    pub discount_percent: u32,
    /// Why there is that discount.
    pub discount_reason: String,
    /// How well it fits, 0 to 1, comparable within one answer only.
    pub score: f64,
    /// Why it is offered, in a sentence.
    pub reason: String,
    /// What kind of reason that is, for an icon or a filter.
    pub reason_kind: ReasonKind,
}

/// What speaks most for an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// Bought by the customers who bought something the user bought.
    AlsoBought,
    /// Ordered together with something the user bought.
    OrderedTogether,
    /// Bought by the customers most like the user.
    LikeMinded,
    /// Popular in the user's country.
    Country,
    /// Popular everywhere.
    Popular,
    /// The user has it already, and there is nothing new to offer.
    Reorder,
    /// It reaches the user over several steps, or by price.
    Match,
}

/// How offers were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Always `retail`.
    pub name: &'static str,
    /// The effort it was told to make.
    pub effort: u32,
    /// How many rounds that were.
    pub rounds: u32,
    /// How many products were scored in each.
    pub products_scored: usize,
    /// The last day of the purchase history, `YYYY-MM-DD`.
    pub history_until: String,
}
