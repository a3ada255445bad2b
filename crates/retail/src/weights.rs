//! How much each shopper and each order counts in one round.
//!
//! A history is one sample of what shoppers do. Drawing shoppers and orders from it again and
//! again, with replacement (the bootstrap), shows which scores are firm and which hang on one
//! or two baskets. Drawing n of n with replacement makes each count 0, 1, 2... times, nearly
//! as a Poisson variable of mean 1, and drawing those one by one is the same at less cost.

use fastrand::Rng;
use sha2::{Digest, Sha256};

use crate::model::Model;

/// Cumulative Poisson probabilities of mean 1 for 0 to 6; beyond that less than 1 in 10,000.
const POISSON: [f64; 7] = [
    0.367_879, 0.735_759, 0.919_699, 0.981_012, 0.996_340, 0.999_406, 0.999_917,
];

/// How often each shopper and each order was drawn.
#[derive(Debug, Clone)]
pub struct Weights {
    /// By shopper.
    pub shoppers: Vec<f64>,
    /// By order.
    pub orders: Vec<f64>,
}

impl Weights {
    /// Returns everyone once: the history as it is.
    pub fn even(model: &Model) -> Self {
        Self {
            shoppers: vec![1.0; model.bought.rows()],
            orders: vec![1.0; model.ordered.rows()],
        }
    }

    /// Draws again.
    pub fn redraw(&mut self, rng: &mut Rng) {
        for weight in self.shoppers.iter_mut().chain(&mut self.orders) {
            *weight = poisson(rng.f64());
        }
    }
}

fn poisson(uniform: f64) -> f64 {
    let mut times = 0.0;
    for bound in POISSON {
        if uniform < bound {
            break;
        }
        times += 1.0;
    }
    times
}

/// Returns random numbers that are the same for the same user, and different between users.
pub fn rng_for(user: &str) -> Rng {
    let hash = Sha256::digest(user.as_bytes());
    let mut seed = [0; 8];
    for (to, from) in seed.iter_mut().zip(hash) {
        *to = from;
    }
    Rng::with_seed(u64::from_le_bytes(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_drawn_once_on_average_and_a_third_not_at_all() {
        let mut rng = rng_for("anna");
        let drawn: Vec<f64> = (0..10_000).map(|_| poisson(rng.f64())).collect();
        let mean = drawn.iter().sum::<f64>() / 10_000.0;
        let absent = drawn.iter().filter(|times| **times < 0.5).count();
        assert!((0.95..1.05).contains(&mean), "{mean}");
        assert!((3_500..3_900).contains(&absent), "{absent}");
    }

    #[test]
    fn a_user_always_draws_the_same_and_another_differently() {
        let first = |user| rng_for(user).u64(..);
        assert_eq!(first("anna"), first("anna"));
        assert_ne!(first("anna"), first("bert"));
    }
}
