//! Customers with the same taste, and what they bought.

use crate::{model::Model, profile::Profile, weights::Weights};

/// How many neighbours are heard. More brings in people who share only what everyone buys.
pub const HEARD: usize = 40;

/// Pseudo-count that makes a likeness on one or two shared products count less.
const DOUBT: f64 = 2.0;

/// A shopper who bought some of the same products.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Index into [`Model::shoppers`].
    pub shopper: usize,
    /// 0 to 1: the cosine of the two baskets, rare products counting more, less when few
    /// products are shared.
    pub likeness: f64,
}

/// Returns everyone who shares a product with the user, most alike first.
pub fn neighbours(model: &Model, profile: &Profile<'_>) -> Vec<Neighbour> {
    let mut dot = vec![0.0; model.bought.rows()];
    let mut shared = vec![0.0; model.bought.rows()];
    let mut own_square = 0.0;
    for &(product, liked) in &profile.taste {
        let rarity = model.rarity[product];
        own_square += (liked * rarity).powi(2);
        for &shopper in model.bought.column(product) {
            dot[shopper] += liked * rarity * rarity;
            shared[shopper] += 1.0;
        }
    }
    let mut found: Vec<Neighbour> = (0..model.bought.rows())
        .filter(|&shopper| shared[shopper] > 0.0 && !profile.is(shopper))
        .map(|shopper| {
            let square: f64 = model
                .bought
                .row(shopper)
                .iter()
                .map(|&product| model.rarity[product].powi(2))
                .sum();
            let cosine = dot[shopper] / (own_square * square).sqrt();
            Neighbour {
                shopper,
                likeness: cosine * shared[shopper] / (shared[shopper] + DOUBT),
            }
        })
        .collect();
    found.sort_by(|a, b| {
        b.likeness
            .total_cmp(&a.likeness)
            .then(a.shopper.cmp(&b.shopper))
    });
    found
}

/// Adds up, by product, the likeness of the neighbours that bought it, among the first
/// [`HEARD`] of those drawn in this round.
pub fn score(model: &Model, neighbours: &[Neighbour], weights: &Weights, scores: &mut [f64]) {
    scores.fill(0.0);
    let drawn = neighbours
        .iter()
        .filter(|neighbour| weights.shoppers[neighbour.shopper] > 0.0);
    for neighbour in drawn.take(HEARD) {
        let voice = neighbour.likeness * weights.shoppers[neighbour.shopper];
        for &product in model.bought.row(neighbour.shopper) {
            scores[product] += voice;
        }
    }
}

/// Returns how many of the user's closest neighbours bought `product`, and of how many.
pub fn buyers(model: &Model, closest: &[Neighbour], product: usize) -> usize {
    let buyers = model.bought.column(product);
    closest
        .iter()
        .filter(|neighbour| buyers.binary_search(&neighbour.shopper).is_ok())
        .count()
}
