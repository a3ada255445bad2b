//! Products that are ordered together with what the user bought.

use crate::{model::Model, profile::Profile, weights::Weights};

/// Pseudo-count that makes two products that met in one order count less than two that meet
/// again and again.
const DOUBT: f64 = 3.0;

/// Scratch space of one round, kept between rounds.
#[derive(Debug)]
pub struct Similarity {
    /// By product: how often it was ordered in this round.
    ordered: Vec<f64>,
    /// By product: how often it met the product at hand.
    met: Vec<f64>,
    /// The products with a `met` above zero.
    touched: Vec<usize>,
}

impl Similarity {
    /// Makes room for the products of `model`.
    pub fn new(model: &Model) -> Self {
        let products = model.products.len();
        Self {
            ordered: vec![0.0; products],
            met: vec![0.0; products],
            touched: Vec::new(),
        }
    }

    /// Returns for each product its likeness to each of the user's products (cosine over orders, see
    /// [`likeness`]), weighted with how much the user likes those.
    pub fn score(
        &mut self,
        model: &Model,
        profile: &Profile<'_>,
        weights: &Weights,
        scores: &mut [f64],
    ) {
        scores.fill(0.0);
        self.ordered.fill(0.0);
        for (order, &times) in weights.orders.iter().enumerate() {
            for &product in model.ordered.row(order) {
                self.ordered[product] += times;
            }
        }
        for &(own, liked) in &profile.taste {
            for &order in model.ordered.column(own) {
                let times = weights.orders[order];
                if times > 0.0 {
                    for &product in model.ordered.row(order) {
                        if self.met[product] <= 0.0 {
                            self.touched.push(product);
                        }
                        self.met[product] += times;
                    }
                }
            }
            for product in self.touched.drain(..) {
                let met = std::mem::take(&mut self.met[product]);
                scores[product] += liked * likeness(met, self.ordered[own], self.ordered[product]);
            }
        }
    }
}

/// Returns, from 0 to 1, how alike two products are that were ordered `one` and `other` times, `met` of them
/// together.
pub fn likeness(met: f64, one: f64, other: f64) -> f64 {
    if met <= 0.0 {
        return 0.0;
    }
    met / (one * other).sqrt() * met / (met + DOUBT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meeting_often_counts_more_than_meeting_once() {
        assert!(likeness(8.0, 10.0, 10.0) > likeness(1.0, 1.0, 1.0));
        assert!(likeness(0.0, 0.0, 5.0).abs() < f64::EPSILON);
        assert!(likeness(1e6, 1e6, 1e6) < 1.0);
    }
}
