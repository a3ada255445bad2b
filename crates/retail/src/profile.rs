//! What the model knows of the user who logs in: their taste, usual price and country.

use headstart_protocol::login::LoginData;
use serde::Serialize;

use crate::{
    country,
    incidence::count,
    model::{Model, Purchase, Shopper},
};

/// A purchase this many days before the end of the history tells half as much of today's taste.
const TASTE_HALF_LIFE_DAYS: f64 = 180.0;

/// Where the country of an offer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CountryFrom {
    /// Most of this customer's orders went there.
    History,
    /// The login came from there.
    Login,
}

/// Where offers are made for.
#[derive(Debug, Clone)]
pub struct Market {
    /// As a sentence names it.
    pub name: String,
    /// Index into [`Model::countries`]; `None` when the history has no shopper there.
    pub number: Option<usize>,
    /// How it is known.
    pub from: CountryFrom,
}

/// The user as the model sees them.
#[derive(Debug)]
pub struct Profile<'a> {
    /// Their number among the shoppers and what is known of them; `None` for a stranger.
    pub customer: Option<(usize, &'a Shopper)>,
    /// Their country, if anything tells it.
    pub place: Option<Market>,
    /// Products they kept, each with how much it tells of their taste (0 to about 3).
    pub taste: Vec<(usize, f64)>,
}

impl<'a> Profile<'a> {
    /// Looks the user up. The user's name is only compared, never trusted.
    pub fn new(model: &'a Model, login: &LoginData) -> Self {
        let customer = model
            .customer(login.user.trim())
            .map(|number| (number, &model.shoppers[number]));
        let taste = customer.map_or_else(Vec::new, |(_, shopper)| taste(model, shopper));
        Self {
            place: place(model, customer.map(|(_, shopper)| shopper), login),
            customer,
            taste,
        }
    }

    /// Returns their number in the model's country list.
    pub fn country(&self) -> Option<usize> {
        self.place.as_ref().and_then(|place| place.number)
    }

    /// Returns what they did with a product.
    pub fn purchase(&self, product: usize) -> Option<&'a Purchase> {
        let (_, shopper) = self.customer?;
        shopper
            .purchases
            .binary_search_by_key(&product, |purchase| purchase.product)
            .ok()
            .map(|found| &shopper.purchases[found])
    }

    /// Returns true for the shopper that is the user: nobody is their own neighbour.
    pub fn is(&self, shopper: usize) -> bool {
        self.customer.is_some_and(|(number, _)| number == shopper)
    }
}

fn taste(model: &Model, shopper: &Shopper) -> Vec<(usize, f64)> {
    shopper
        .purchases
        .iter()
        .filter(|purchase| purchase.is_kept() && !purchase.returned)
        .map(|purchase| {
            let days = (model.last_day - purchase.last).num_days();
            let age = count(usize::try_from(days).unwrap_or_default()) / TASTE_HALF_LIFE_DAYS;
            let liked = (1.0 + count(purchase.orders)).log2();
            (purchase.product, liked * 0.5_f64.powf(age))
        })
        .collect()
}

fn place(model: &Model, shopper: Option<&Shopper>, login: &LoginData) -> Option<Market> {
    if let Some(number) = shopper.and_then(|shopper| shopper.country) {
        return Some(Market {
            name: model.countries[number].clone(),
            number: Some(number),
            from: CountryFrom::History,
        });
    }
    let name = country::from_iso(login.geo.country.as_deref()?)?;
    Some(Market {
        name: name.to_owned(),
        number: model.country(name),
        from: CountryFrom::Login,
    })
}
