//! A random walk with restart: from the user's products to the shoppers who have them, to
//! those shoppers' other products, and on. It reaches products that no direct neighbour bought.
//! Most of the time of a round is spent here.

use crate::{model::Model, profile::Profile, weights::Weights};

/// At each turn, the chance to go back to the user's own products.
const RESTART: f64 = 0.4;

/// Turns of the walk. What is further than this gets less than 1 % of the walkers.
const TURNS: usize = 10;

/// Scratch space of one round, kept between rounds.
#[derive(Debug)]
pub struct Walk {
    /// By product: 1 / how many shoppers of this round have it.
    spread: Vec<f64>,
    /// Returns for each product the share of walkers there now.
    at: Vec<f64>,
    /// Returns for each product the share of walkers there at the next turn.
    next: Vec<f64>,
}

impl Walk {
    /// Makes room for the products of `model`.
    pub fn new(model: &Model) -> Self {
        let products = model.products.len();
        Self {
            spread: vec![0.0; products],
            at: vec![0.0; products],
            next: vec![0.0; products],
        }
    }

    /// Returns for each product the share of walkers that are there in the end.
    pub fn score(
        &mut self,
        model: &Model,
        profile: &Profile<'_>,
        weights: &Weights,
        scores: &mut [f64],
    ) {
        scores.fill(0.0);
        let total: f64 = profile.taste.iter().map(|(_, liked)| liked).sum();
        if total <= 0.0 {
            return;
        }
        self.spread.fill(0.0);
        for (shopper, &times) in weights.shoppers.iter().enumerate() {
            for &product in model.bought.row(shopper) {
                self.spread[product] += times;
            }
        }
        for have in &mut self.spread {
            *have = if *have > 0.0 { 1.0 / *have } else { 0.0 };
        }
        self.at.fill(0.0);
        for &(product, liked) in &profile.taste {
            self.at[product] = liked / total;
        }
        for _ in 0..TURNS {
            self.turn(model, weights);
            for &(product, liked) in &profile.taste {
                self.next[product] += RESTART * liked / total;
            }
            std::mem::swap(&mut self.at, &mut self.next);
        }
        scores.copy_from_slice(&self.at);
    }

    /// Moves every walker to a shopper and on to one of that shopper's products.
    fn turn(&mut self, model: &Model, weights: &Weights) {
        self.next.fill(0.0);
        for (walkers, spread) in self.at.iter_mut().zip(&self.spread) {
            *walkers *= spread;
        }
        for (shopper, &times) in weights.shoppers.iter().enumerate() {
            let basket = model.bought.row(shopper);
            if times <= 0.0 || basket.is_empty() {
                continue;
            }
            let here: f64 = basket.iter().map(|&product| self.at[product]).sum();
            let each = (1.0 - RESTART) * times * here / super::incidence::count(basket.len());
            for &product in basket {
                self.next[product] += each;
            }
        }
    }
}
