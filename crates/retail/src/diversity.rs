//! Picks the offers from the scored catalogue so that they are not five of the same thing.

use crate::{
    incidence::count,
    model::{Model, Product},
    scoring::Scored,
};

/// How much of its score a product loses for a likeness of 1 to those already picked, all
/// their likenesses together.
const SAMENESS_COSTS: f64 = 0.5;

/// From this likeness on, two products are variants of one thing.
const VARIANT: f64 = 0.75;

/// Looked through per offer to be made: enough to find other things, few enough to be quick.
const LOOKED_THROUGH: usize = 20;

/// Returns the best `wanted` products, each next one the best after what it repeats was taken off its score;
/// that score they carry, so they come back best first. Variants of one thing (colours, sizes) are offered
/// once. `scored` is best first.
pub fn pick(model: &Model, scored: &[Scored], wanted: usize) -> Vec<Scored> {
    let mut open: Vec<(Scored, f64)> = scored
        .iter()
        .take(wanted.saturating_mul(LOOKED_THROUGH))
        .map(|&scored| (scored, 0.0))
        .collect();
    let mut picked: Vec<Scored> = Vec::with_capacity(wanted.min(open.len()));
    while picked.len() < wanted {
        let worth =
            |(scored, same): &(Scored, f64)| scored.score * (1.0 - SAMENESS_COSTS * same.min(1.0));
        // `rev` makes the first of equals win: `open` keeps the order of `scored`.
        let Some(best) = (0..open.len())
            .rev()
            .max_by(|&a, &b| worth(&open[a]).total_cmp(&worth(&open[b])))
        else {
            break;
        };
        let score = worth(&open[best]);
        let (best, _) = open.remove(best);
        picked.push(Scored { score, ..best });
        let last = &model.products[best.product];
        open.retain_mut(|(scored, same)| {
            let more = sameness(last, &model.products[scored.product]);
            *same += more;
            more < VARIANT
        });
    }
    picked
}

/// Returns, from 0 to 1, the share of their words that two products have in common (Dice's coefficient), 1
/// for the variants of one code (`40101A`, `40101B`).
fn sameness(one: &Product, other: &Product) -> f64 {
    if base_code(&one.stock_code) == base_code(&other.stock_code) {
        return 1.0;
    }
    let common = one.kind.iter().filter(|word| other.kind.contains(word));
    let words = count(one.kind.len() + other.kind.len());
    2.0 * count(common.count()) / words.max(1.0)
}

/// Returns a code without the letters behind it that tell colours and sizes apart.
fn base_code(stock_code: &str) -> &str {
    stock_code.trim_end_matches(|c: char| c.is_alphabetic())
}
