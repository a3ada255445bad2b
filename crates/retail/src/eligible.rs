//! Which products may be offered to this user at all.

use crate::{attributes::Wishes, model::Model, profile::Profile};

/// What has not been sold for so many days is taken to be out of the range.
const OUT_OF_RANGE_DAYS: i64 = 180;

/// Returns the products that may be offered, by number.
///
/// Left out is what is out of the range, dearer than wished, or was ever returned by the user;
/// and what they already have, unless there is nothing else.
pub fn eligible(model: &Model, profile: &Profile<'_>, wishes: &Wishes) -> Vec<usize> {
    let (owned, new): (Vec<usize>, Vec<usize>) = (0..model.products.len())
        .filter(|&number| {
            let product = &model.products[number];
            let in_range = (model.last_day - product.last_sold).num_days() <= OUT_OF_RANGE_DAYS;
            let affordable = wishes
                .max_price_pence
                .is_none_or(|max| product.price_pence <= max);
            let unwanted = profile
                .purchase(number)
                .is_some_and(|purchase| purchase.returned);
            in_range && affordable && !unwanted
        })
        .partition(|&number| profile.purchase(number).is_some());
    if new.is_empty() { owned } else { new }
}
