//! Which products may be offered to this user at all.

use super::{attributes::Wishes, model::Model, profile::Profile};

/// What has not been sold for so many days is taken to be out of the range.
const OUT_OF_RANGE_DAYS: i64 = 180;

/// What was bought within so many days is not offered again.
const JUST_BOUGHT_DAYS: i64 = 60;

/// What was bought in fewer orders is not taken to be something they use up and buy again.
const REORDER_FROM_ORDERS: usize = 2;

/// The products that may be offered, by number.
///
/// Left out is what is out of the range, dearer than wished, ever returned by the user, or
/// bought by them, unless they reorder it and the last time is a while ago.
pub fn eligible(model: &Model, profile: &Profile<'_>, wishes: &Wishes) -> Vec<usize> {
    (0..model.products.len())
        .filter(|&number| {
            let product = &model.products[number];
            let in_range = (model.last_day - product.last_sold).num_days() <= OUT_OF_RANGE_DAYS;
            let affordable = wishes
                .max_price_pence
                .is_none_or(|max| product.price_pence <= max);
            let wanted = profile.purchase(number).is_none_or(|purchase| {
                !purchase.returned
                    && purchase.orders >= REORDER_FROM_ORDERS
                    && (model.last_day - purchase.last).num_days() > JUST_BOUGHT_DAYS
            });
            in_range && affordable && wanted
        })
        .collect()
}
