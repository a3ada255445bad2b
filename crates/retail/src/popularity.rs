//! What sells in a country.

use crate::{model::Model, profile::Profile, weights::Weights};

/// The whole world counts as this many shoppers of the country: with few shoppers there, what
/// sells elsewhere decides, with many, they do.
const WORLD_SHOPPERS: f64 = 5.0;

/// Adds up, by product, the share of the country's shoppers who bought it, shrunk towards the
/// share among all. Without a country, the share among all. The user does not count.
pub fn score(
    model: &Model,
    profile: &Profile<'_>,
    weights: &Weights,
    world: &mut [f64],
    scores: &mut [f64],
) {
    let country = profile.country();
    world.fill(0.0);
    scores.fill(0.0);
    let (mut people, mut locals) = (0.0, 0.0);
    for (shopper, &times) in weights.shoppers.iter().enumerate() {
        if times <= 0.0 || profile.is(shopper) {
            continue;
        }
        let local = country.is_some() && model.shoppers[shopper].country == country;
        people += times;
        locals += if local { times } else { 0.0 };
        for &product in model.bought.row(shopper) {
            world[product] += times;
            if local {
                scores[product] += times;
            }
        }
    }
    for (score, sold) in scores.iter_mut().zip(world.iter()) {
        let share = if people > 0.0 { sold / people } else { 0.0 };
        *score = (*score + WORLD_SHOPPERS * share) / (locals + WORLD_SHOPPERS);
    }
}

/// Returns how many shoppers of `country`, the user not counted, bought `product`; anywhere if `None`.
pub fn buyers(
    model: &Model,
    profile: &Profile<'_>,
    country: Option<usize>,
    product: usize,
) -> usize {
    model
        .bought
        .column(product)
        .iter()
        .filter(|&&shopper| {
            !profile.is(shopper)
                && (country.is_none() || model.shoppers[shopper].country == country)
        })
        .count()
}
