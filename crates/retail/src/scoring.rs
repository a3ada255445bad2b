//! Scores the catalogue for one user: this is where the CPU time goes.
//!
//! Each round draws the history's shoppers and orders again (see [`weights`](super::weights)),
//! asks four witnesses what this user might like, and adds their answers up. A product's score
//! is its mean over the rounds less its spread, so that what convinces in every draw comes
//! before what hangs on one basket. More rounds make that estimate firmer.

use crate::{
    RetailError,
    incidence::count,
    model::Model,
    neighbours::{self, Neighbour},
    popularity,
    profile::Profile,
    similarity::Similarity,
    walk::Walk,
    weights::{self, Weights},
};

/// How much of the spread is taken off the mean.
const CAUTION: f64 = 0.3;

/// Days after which having been sold counts for a third (e-folding).
const RECENT_DAYS: f64 = 60.0;

/// How far a price may be from the usual one, as a factor, before it counts for 60 % (one
/// standard deviation of the logarithm).
const PRICE_REACH: f64 = 3.0;

/// What each witness adds to a score, for a customer with a taste. They sum to 1.
const OF_NEIGHBOURS: f64 = 0.20;
const OF_SIMILARITY: f64 = 0.40;
const OF_WALK: f64 = 0.20;
const OF_POPULARITY: f64 = 0.10;
const OF_RECENCY: f64 = 0.03;
const OF_PRICE: f64 = 0.07;

/// For someone whose taste is not known.
const STRANGER_OF_POPULARITY: f64 = 0.9;
const STRANGER_OF_RECENCY: f64 = 0.1;

/// One product with its score and where most of it comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Index into [`Model::products`].
    pub product: usize,
    /// 0 to 1.
    pub score: f64,
    /// The share that came from neighbours and the walk, in score points.
    pub from_neighbours: f64,
    /// The share that came from what is ordered together.
    pub from_similarity: f64,
    /// The share that came from the country.
    pub from_popularity: f64,
}

/// Scores each of `candidates` in `rounds` rounds; best first, ties by stock code.
///
/// # Errors
/// [`RetailError::TimedOut`] once `is_late` says so; asked before every round.
pub fn score(
    model: &Model,
    profile: &Profile<'_>,
    closest: &[Neighbour],
    candidates: &[usize],
    user: &str,
    rounds: u32,
    is_late: &dyn Fn() -> bool,
) -> Result<Vec<Scored>, RetailError> {
    let mut rng = weights::rng_for(user);
    let mut weights = Weights::even(model);
    let mut similarity = Similarity::new(model);
    let mut walk = Walk::new(model);
    let mut tallies: Vec<Tally> = candidates
        .iter()
        .map(|&product| Tally::new(steady(model, profile, product)))
        .collect();
    let mut raw = [(); 4].map(|()| vec![0.0; model.products.len()]);
    let mut world = vec![0.0; model.products.len()];

    for round in 0..rounds {
        if is_late() {
            return Err(RetailError::TimedOut);
        }
        // The first round sees the history as it is, so that it always counts.
        if round > 0 {
            weights.redraw(&mut rng);
        }
        let [near, together, far, local] = &mut raw;
        neighbours::score(model, closest, &weights, near);
        similarity.score(model, profile, &weights, together);
        walk.score(model, profile, &weights, far);
        popularity::score(model, profile, &weights, &mut world, local);
        for witness in &mut raw {
            to_unit(witness, candidates);
        }
        for (tally, &product) in tallies.iter_mut().zip(candidates) {
            tally.add(raw.each_ref().map(|witness| witness[product]), profile);
        }
    }

    let mut scored: Vec<Scored> = candidates
        .iter()
        .zip(&tallies)
        .map(|(&product, tally)| tally.scored(product, rounds))
        .collect();
    // Products are numbered by stock code, so the number breaks ties.
    scored.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.product.cmp(&b.product)));
    Ok(scored)
}

/// Scales a witness so that its favourite among the candidates gets 1.
fn to_unit(witness: &mut [f64], candidates: &[usize]) {
    let most = candidates
        .iter()
        .map(|&product| witness[product])
        .fold(0.0, f64::max);
    if most > 0.0 {
        for score in witness {
            *score /= most;
        }
    }
}

/// Returns the part of a score that is the same in every round.
fn steady(model: &Model, profile: &Profile<'_>, product: usize) -> f64 {
    let product = &model.products[product];
    let days = (model.last_day - product.last_sold).num_days();
    let recency = (-count(usize::try_from(days).unwrap_or_default()) / RECENT_DAYS).exp();
    if profile.taste.is_empty() {
        return STRANGER_OF_RECENCY * recency;
    }
    let usual = profile
        .customer
        .and_then(|(_, shopper)| shopper.usual_price_pence);
    let fit = usual.map_or(0.0, |usual| {
        let apart = (f64::from(product.price_pence) / f64::from(usual)).ln() / PRICE_REACH.ln();
        (-apart * apart / 2.0).exp()
    });
    OF_RECENCY * recency + OF_PRICE * fit
}

/// The running mean and spread of one product's score (Welford's method).
#[derive(Debug, Clone, Copy)]
struct Tally {
    steady: f64,
    rounds: f64,
    mean: f64,
    squares: f64,
    neighbours: f64,
    similarity: f64,
    popularity: f64,
}

impl Tally {
    fn new(steady: f64) -> Self {
        Self {
            steady,
            rounds: 0.0,
            mean: 0.0,
            squares: 0.0,
            neighbours: 0.0,
            similarity: 0.0,
            popularity: 0.0,
        }
    }

    fn add(&mut self, [near, together, far, local]: [f64; 4], profile: &Profile<'_>) {
        let (neighbours, similarity, popularity) = if profile.taste.is_empty() {
            (0.0, 0.0, STRANGER_OF_POPULARITY * local)
        } else {
            (
                OF_NEIGHBOURS * near + OF_WALK * far,
                OF_SIMILARITY * together,
                OF_POPULARITY * local,
            )
        };
        self.neighbours += neighbours;
        self.similarity += similarity;
        self.popularity += popularity;
        let sum = self.steady + neighbours + similarity + popularity;
        self.rounds += 1.0;
        let before = sum - self.mean;
        self.mean += before / self.rounds;
        self.squares += before * (sum - self.mean);
    }

    fn scored(&self, product: usize, rounds: u32) -> Scored {
        let rounds = f64::from(rounds.max(1));
        let spread = (self.squares / rounds).sqrt();
        Scored {
            product,
            score: (self.mean - CAUTION * spread).clamp(0.0, 1.0),
            from_neighbours: self.neighbours / rounds,
            from_similarity: self.similarity / rounds,
            from_popularity: self.popularity / rounds,
        }
    }
}
