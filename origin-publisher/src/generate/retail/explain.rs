//! Says in a sentence why a product is offered, and what the whole choice rests on.
//!
//! A sentence states only what the history shows, counted on the history as it is.

use super::{
    incidence::{Incidence, count},
    model::{Model, Purchase},
    neighbours::{self, Neighbour},
    offers::ReasonKind,
    popularity,
    profile::{Place, Profile},
    scoring::Scored,
    similarity, wording,
};

/// A sentence about people speaks of at least so many, so that it says something and points
/// at nobody.
const MIN_PEOPLE: usize = 2;

/// The same for a country.
const MIN_LOCALS: usize = 3;

/// A sentence about like-minded customers speaks of this many.
const CLOSEST: usize = 10;

/// Why one product is offered.
pub fn reason(
    model: &Model,
    profile: &Profile<'_>,
    neighbours: &[Neighbour],
    scored: &Scored,
) -> (ReasonKind, String) {
    let product = scored.product;
    if let Some(purchase) = profile.purchase(product).filter(|bought| bought.orders > 1) {
        return (ReasonKind::Reorder, reorder(purchase));
    }
    let by_similarity = || {
        also_bought(model, profile, product).or_else(|| ordered_together(model, profile, product))
    };
    let by_neighbours = || like_minded(model, neighbours, product);
    let by_popularity = || popular(model, profile, product);
    // What weighs most speaks first; the others stand in when it has too little to show.
    let spoken = if scored.from_popularity > scored.from_similarity + scored.from_neighbours {
        by_popularity().or_else(by_similarity).or_else(by_neighbours)
    } else if scored.from_neighbours > 2.0 * scored.from_similarity {
        by_neighbours().or_else(by_similarity).or_else(by_popularity)
    } else {
        by_similarity().or_else(by_neighbours).or_else(by_popularity)
    };
    spoken.unwrap_or_else(|| fallback(profile))
}

fn reorder(purchase: &Purchase) -> String {
    format!(
        "You have ordered this {} times, last on {}.",
        purchase.orders,
        wording::day(purchase.last)
    )
}

/// The user's purchase most alike to `product`, among those that meet it in `matrix` in at
/// least `min` of the rows before `end`.
fn anchor<'a>(
    matrix: &Incidence,
    profile: &Profile<'a>,
    product: usize,
    end: usize,
    min: usize,
) -> Option<&'a Purchase> {
    let sold = count(matrix.column(product).len());
    let mut best: Option<(f64, usize)> = None;
    for &(own, liked) in &profile.taste {
        let met = matrix.shared_rows(own, product, end);
        if own == product || met < min {
            continue;
        }
        let alike = liked * similarity::likeness(count(met), count(matrix.column(own).len()), sold);
        if best.is_none_or(|(most, _)| alike > most) {
            best = Some((alike, own));
        }
    }
    profile.purchase(best?.1)
}

fn also_bought(
    model: &Model,
    profile: &Profile<'_>,
    product: usize,
) -> Option<(ReasonKind, String)> {
    let own = anchor(&model.bought, profile, product, model.known, MIN_PEOPLE)?;
    let sentence = format!(
        "Customers who bought {}, as you did on {}, also bought this.",
        own.description,
        wording::day(own.last)
    );
    Some((ReasonKind::AlsoBought, sentence))
}

fn ordered_together(
    model: &Model,
    profile: &Profile<'_>,
    product: usize,
) -> Option<(ReasonKind, String)> {
    let own = anchor(&model.ordered, profile, product, model.ordered.rows(), 1)?;
    let sentence = format!(
        "Has been ordered together with {}, which you bought on {}.",
        own.description,
        wording::day(own.last)
    );
    Some((ReasonKind::OrderedTogether, sentence))
}

fn like_minded(
    model: &Model,
    neighbours: &[Neighbour],
    product: usize,
) -> Option<(ReasonKind, String)> {
    let closest = &neighbours[..neighbours.len().min(CLOSEST)];
    let buyers = neighbours::buyers(model, closest, product);
    let sentence = format!(
        "{buyers} of the {} customers whose taste is closest to yours bought this.",
        closest.len()
    );
    (buyers >= MIN_PEOPLE).then_some((ReasonKind::LikeMinded, sentence))
}

fn popular(
    model: &Model,
    profile: &Profile<'_>,
    product: usize,
) -> Option<(ReasonKind, String)> {
    let everywhere = popularity::buyers(model, profile, None, product);
    if let Some(Place { name, number: Some(country), .. }) = &profile.place {
        let local = popularity::buyers(model, profile, Some(*country), product);
        if local >= MIN_LOCALS {
            let sentence = format!("Popular in {name}: {local} customers there bought it.");
            return Some((ReasonKind::Country, sentence));
        }
        let elsewhere = everywhere - local;
        if local > 0 && elsewhere >= MIN_LOCALS {
            let sentence =
                format!("Sells in {name}, and {elsewhere} customers elsewhere bought it too.");
            return Some((ReasonKind::Country, sentence));
        }
    }
    let sentence = format!("A favourite: {everywhere} of our customers bought it.");
    (everywhere >= MIN_PEOPLE).then_some((ReasonKind::Popular, sentence))
}

fn fallback(profile: &Profile<'_>) -> (ReasonKind, String) {
    let sentence = if profile.taste.is_empty() {
        "Sold recently, and still in our range."
    } else {
        "Bought by customers who share some of your taste."
    };
    (ReasonKind::Match, sentence.to_owned())
}

/// A line on top of the offers.
pub fn greeting(profile: &Profile<'_>) -> &'static str {
    match profile.customer {
        Some(_) => "Welcome back! We picked these for you.",
        None => "Welcome! Here is what our customers like.",
    }
}

/// What the choice rests on.
pub fn why(model: &Model, profile: &Profile<'_>, neighbours: &[Neighbour]) -> String {
    let Some((_, shopper)) = profile.customer else {
        return format!(
            "We do not know your purchases yet, so these are {}.",
            what_sells(model, profile)
        );
    };
    if profile.taste.is_empty() {
        return format!(
            "You kept nothing you ordered from us so far, so these are {}.",
            what_sells(model, profile)
        );
    }
    let alike = neighbours.len().min(neighbours::HEARD);
    let mut why = format!(
        "Chosen from your {} of {}, from what {} with a taste like yours bought",
        wording::counted(shopper.orders, "order"),
        wording::counted(profile.taste.len(), "product"),
        wording::counted(alike, "customer"),
    );
    if let Some(place) = &profile.place {
        why.push_str(" and from what sells in ");
        why.push_str(&place.name);
    }
    why.push('.');
    why
}

/// "the favourites of our customers in France", with the truth about thin evidence.
fn what_sells(model: &Model, profile: &Profile<'_>) -> String {
    let Some(place) = &profile.place else {
        return "the favourites of all our customers".to_owned();
    };
    let name = &place.name;
    match place.number.map(|country| model.shoppers_in(Some(country))) {
        None => format!("the favourites of all our customers; we have none in {name} yet"),
        Some(few) if few < MIN_LOCALS => {
            format!("the favourites of all our customers; we have only few in {name} yet")
        }
        Some(_) => format!("the favourites of our customers in {name}"),
    }
}
