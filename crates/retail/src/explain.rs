//! Says in a sentence why a product is offered, and what the whole choice rests on.
//!
//! A sentence states only what the history shows, counted on the history as it is.

use crate::{
    incidence::{Incidence, count},
    model::{Model, Purchase},
    neighbours::{self, Neighbour},
    offers::ReasonKind,
    popularity,
    profile::Profile,
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

/// Tells the reasons of one answer, one product after the other.
pub struct Teller<'a> {
    model: &'a Model,
    profile: &'a Profile<'a>,
    neighbours: &'a [Neighbour],
    /// The user's products spoken of so far. Others are preferred, so that ten sentences do
    /// not all speak of the same one.
    told: Vec<usize>,
}

impl<'a> Teller<'a> {
    /// Nothing told yet.
    pub fn new(model: &'a Model, profile: &'a Profile<'a>, neighbours: &'a [Neighbour]) -> Self {
        Self {
            model,
            profile,
            neighbours,
            told: Vec::new(),
        }
    }

    /// Returns why this product is offered.
    pub fn reason(&mut self, scored: &Scored) -> (ReasonKind, String) {
        let product = scored.product;
        if let Some(purchase) = self.profile.purchase(product) {
            return (ReasonKind::Reorder, reorder(purchase));
        }
        // What weighs most speaks first; the others stand in when it has too little to show.
        let mut witnesses = [
            (scored.from_similarity, Self::by_similarity as Witness<'a>),
            (scored.from_neighbours / 2.0, Self::by_neighbours),
            (scored.from_popularity, Self::by_popularity),
        ];
        witnesses.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        witnesses
            .iter()
            .find_map(|(_, witness)| witness(self, product))
            .unwrap_or_else(|| fallback(self.profile))
    }

    fn by_similarity(&mut self, product: usize) -> Option<(ReasonKind, String)> {
        let model = self.model;
        if let Some(own) = self.anchor(&model.bought, product, model.known, MIN_PEOPLE) {
            let sentence = format!(
                "Customers who bought {}, as you did on {}, also bought this.",
                own.description,
                wording::day(own.last)
            );
            return Some((ReasonKind::AlsoBought, sentence));
        }
        let own = self.anchor(&model.ordered, product, model.ordered.rows(), 1)?;
        let sentence = format!(
            "Has been ordered together with {}, which you bought on {}.",
            own.description,
            wording::day(own.last)
        );
        Some((ReasonKind::OrderedTogether, sentence))
    }

    /// Returns the user's purchase most alike to `product`, among those that meet it in `matrix` in at least
    /// `min` of the rows before `end`.
    fn anchor(
        &mut self,
        matrix: &Incidence,
        product: usize,
        end: usize,
        min: usize,
    ) -> Option<&'a Purchase> {
        let sold = count(matrix.column(product).len());
        let mut best: Option<(f64, usize)> = None;
        for &(own, liked) in &self.profile.taste {
            let met = matrix.shared_rows(own, product, end);
            if own == product || met < min {
                continue;
            }
            let told = self.told.iter().filter(|told| **told == own).count();
            let bought = count(matrix.column(own).len());
            let alike =
                liked * similarity::likeness(count(met), bought, sold) / (1.0 + count(told));
            if best.is_none_or(|(most, _)| alike > most) {
                best = Some((alike, own));
            }
        }
        let (_, own) = best?;
        self.told.push(own);
        self.profile.purchase(own)
    }

    fn by_neighbours(&mut self, product: usize) -> Option<(ReasonKind, String)> {
        let closest = &self.neighbours[..self.neighbours.len().min(CLOSEST)];
        let buyers = neighbours::buyers(self.model, closest, product);
        let sentence = format!(
            "{buyers} of the {} customers whose taste is closest to yours bought this.",
            closest.len()
        );
        (buyers >= MIN_PEOPLE).then_some((ReasonKind::LikeMinded, sentence))
    }

    fn by_popularity(&mut self, product: usize) -> Option<(ReasonKind, String)> {
        let buyers = |country| popularity::buyers(self.model, self.profile, country, product);
        let everywhere = buyers(None);
        let place = self.profile.place.as_ref();
        if let Some((name, country)) = place.and_then(|place| Some((&place.name, place.number?))) {
            let local = buyers(Some(country));
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
}

/// One way to say why.
type Witness<'a> = fn(&mut Teller<'a>, usize) -> Option<(ReasonKind, String)>;

fn reorder(purchase: &Purchase) -> String {
    format!(
        "You liked this before, and bought it last on {}.",
        wording::day(purchase.last)
    )
}

fn fallback(profile: &Profile<'_>) -> (ReasonKind, String) {
    let sentence = if profile.taste.is_empty() {
        "Sold recently, and still in our range."
    } else {
        "Bought by customers who share some of your taste."
    };
    (ReasonKind::Match, sentence.to_owned())
}

/// Returns a line on top of the offers.
pub fn greeting(profile: &Profile<'_>) -> &'static str {
    match profile.customer {
        Some(_) => "Welcome back! We picked these for you.",
        None => "Welcome! Here is what our customers like.",
    }
}

/// Returns what the choice rests on.
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
