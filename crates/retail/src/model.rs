//! What is learned from a purchase history, once, at start: products, shoppers, orders.
//!
//! Everything is numbered in the order of its name (stock code, customer, invoice), so that
//! the same history gives the same model and no result hangs on a hash map's order.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::{
    cleaning::Line,
    country,
    incidence::{Incidence, count},
    wording,
};

/// An order with more different products is no person's basket but a day's till roll. It
/// counts for what sells, not for what sells together.
const MAX_BASKET_PRODUCTS: usize = 200;

/// What the generator knows.
#[derive(Debug, Clone)]
pub struct Model {
    /// By stock code.
    pub products: Vec<Product>,
    /// Known customers by id, then everyone without a customer number, one per invoice.
    pub shoppers: Vec<Shopper>,
    /// How many of `shoppers`, from the first, are known customers.
    pub known: usize,
    /// Shoppers by products: who kept what.
    pub bought: Incidence,
    /// Orders by products: what was ordered together. Without till rolls.
    pub ordered: Incidence,
    /// By product: how much having bought it tells of someone's taste. What everyone buys
    /// tells little (inverse document frequency).
    pub rarity: Vec<f64>,
    /// The countries of the shoppers, by name.
    pub countries: Vec<String>,
    /// The last day of the history: its "today".
    pub last_day: NaiveDate,
}

/// One product of the catalogue.
#[derive(Debug, Clone)]
pub struct Product {
    /// In upper case.
    pub stock_code: String,
    /// The most common description, worded for people.
    pub description: String,
    /// The words that say what it is; see [`wording::kind_words`].
    pub kind: Vec<String>,
    /// The median price, pence.
    pub price_pence: u32,
    /// The last day it was sold.
    pub last_sold: NaiveDate,
}

/// A known customer, or whoever placed an order without a customer number.
#[derive(Debug, Clone)]
pub struct Shopper {
    /// `None` for an order without a customer number.
    pub id: Option<String>,
    /// Index into [`Model::countries`].
    pub country: Option<usize>,
    /// How many orders they placed.
    pub orders: usize,
    /// What they bought, by product.
    pub purchases: Vec<Purchase>,
    /// The median price of what they kept, pence; `None` when nothing was kept.
    pub usual_price_pence: Option<u32>,
}

/// What one shopper did with one product.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// Index into [`Model::products`].
    pub product: usize,
    /// The description on their own latest invoice, worded for people: a stock code may stand
    /// for several colours, and they know theirs.
    pub description: String,
    /// In how many orders.
    pub orders: usize,
    /// The last day they bought it, or gave it back if they never did.
    pub last: NaiveDate,
    /// Pieces kept, returns taken off. 0 or less when all came back.
    pub kept: i64,
    /// True when any piece came back.
    pub returned: bool,
}

impl Purchase {
    /// Returns true when it tells something of their taste.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kept > 0
    }
}

impl Model {
    /// Learns from `lines`.
    #[must_use]
    pub fn learn(lines: &[Line]) -> Self {
        let products = products(lines);
        let number: BTreeMap<&str, usize> = products
            .iter()
            .enumerate()
            .map(|(number, product)| (product.stock_code.as_str(), number))
            .collect();
        let placed: Vec<(usize, &Line)> = lines
            .iter()
            .filter_map(|line| Some((*number.get(line.stock_code.as_str())?, line)))
            .collect();

        let (shoppers, countries) = shoppers(&placed);
        let known = shoppers
            .iter()
            .filter(|shopper| shopper.id.is_some())
            .count();
        let baskets: Vec<Vec<usize>> = shoppers.iter().map(basket).collect();
        let bought = Incidence::new(&baskets, products.len());
        let ordered = Incidence::new(&orders(&placed), products.len());
        let rarity = rarity(&bought);
        Self {
            products,
            shoppers,
            known,
            bought,
            ordered,
            countries,
            last_day: lines.iter().map(|line| line.day).max().unwrap_or_default(),
            rarity,
        }
    }

    /// Returns the number of the known customer with this id.
    #[must_use]
    pub fn customer(&self, id: &str) -> Option<usize> {
        self.shoppers[..self.known]
            .binary_search_by(|shopper| shopper.id.as_deref().unwrap_or_default().cmp(id))
            .ok()
    }

    /// Returns the number of the country with this name.
    #[must_use]
    pub fn country(&self, name: &str) -> Option<usize> {
        self.countries
            .binary_search_by(|country| country.as_str().cmp(name))
            .ok()
    }

    /// Returns how many of the shoppers come from `country`, or from anywhere.
    #[must_use]
    pub fn shoppers_in(&self, country: Option<usize>) -> usize {
        self.shoppers
            .iter()
            .filter(|shopper| country.is_none() || shopper.country == country)
            .count()
    }
}

fn basket(shopper: &Shopper) -> Vec<usize> {
    shopper
        .purchases
        .iter()
        .filter(|purchase| purchase.is_kept())
        .map(|purchase| purchase.product)
        .collect()
}

/// Returns the products that were sold at least once and have a description, by stock code.
fn products(lines: &[Line]) -> Vec<Product> {
    let mut sales: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.is_return()) {
        sales.entry(&line.stock_code).or_default().push(line);
    }
    sales
        .into_iter()
        .filter_map(|(stock_code, lines)| {
            let described = lines.iter().map(|line| line.description.as_str());
            let description =
                wording::title(most_common(described.filter(|text| !text.is_empty()))?);
            Some(Product {
                stock_code: stock_code.to_owned(),
                kind: wording::kind_words(&description),
                description,
                price_pence: median(lines.iter().map(|line| line.price_pence).collect())?,
                last_sold: lines.iter().map(|line| line.day).max()?,
            })
        })
        .collect()
}

/// Returns the shoppers in their order, and the countries they come from.
fn shoppers(placed: &[(usize, &Line)]) -> (Vec<Shopper>, Vec<String>) {
    let mut customers: BTreeMap<&str, Vec<(usize, &Line)>> = BTreeMap::new();
    let mut strangers: BTreeMap<&str, Vec<(usize, &Line)>> = BTreeMap::new();
    for &(product, line) in placed {
        let lines = match &line.customer {
            Some(customer) => customers.entry(customer),
            None => strangers.entry(&line.invoice),
        };
        lines.or_default().push((product, line));
    }
    // A history spells a country in one way nearly always, so its own name is looked up once.
    let shown: BTreeMap<&str, Option<String>> = placed
        .iter()
        .map(|(_, line)| line.country.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|spelling| (spelling, country::from_history(spelling)))
        .collect();
    let countries: Vec<String> = shown
        .values()
        .flatten()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .cloned()
        .collect();
    let numbers: BTreeMap<&str, usize> = shown
        .iter()
        .filter_map(|(spelling, shown)| {
            Some((*spelling, countries.binary_search(shown.as_ref()?).ok()?))
        })
        .collect();

    let customers = customers
        .into_iter()
        .map(|(id, lines)| shopper(Some(id.to_owned()), &lines, &numbers));
    let strangers = strangers
        .into_values()
        .map(|lines| shopper(None, &lines, &numbers));
    (customers.chain(strangers).collect(), countries)
}

fn shopper(
    id: Option<String>,
    lines: &[(usize, &Line)],
    countries: &BTreeMap<&str, usize>,
) -> Shopper {
    let mut by_product: BTreeMap<usize, Vec<&Line>> = BTreeMap::new();
    for &(product, line) in lines {
        by_product.entry(product).or_default().push(line);
    }
    let purchases: Vec<Purchase> = by_product
        .into_iter()
        .map(|(product, lines)| purchase(product, &lines))
        .collect();
    let kept: BTreeSet<usize> = purchases
        .iter()
        .filter(|purchase| purchase.is_kept())
        .map(|purchase| purchase.product)
        .collect();
    Shopper {
        id,
        country: most_common(
            lines
                .iter()
                .filter_map(|(_, line)| countries.get(line.country.as_str())),
        )
        .copied(),
        orders: invoices(lines.iter().map(|(_, line)| *line)),
        usual_price_pence: median(
            lines
                .iter()
                .filter(|(product, line)| kept.contains(product) && !line.is_return())
                .map(|(_, line)| line.price_pence)
                .collect(),
        ),
        purchases,
    }
}

/// `lines` is not empty: all the lines of one shopper for one product.
fn purchase(product: usize, lines: &[&Line]) -> Purchase {
    let latest = lines
        .iter()
        .max_by_key(|line| (!line.is_return(), line.day));
    Purchase {
        product,
        description: latest.map_or_else(String::new, |line| wording::title(&line.description)),
        orders: invoices(lines.iter().copied()),
        last: latest.map(|line| line.day).unwrap_or_default(),
        kept: lines.iter().map(|line| line.quantity).sum(),
        returned: lines.iter().any(|line| line.is_return()),
    }
}

/// Returns how many different orders these lines belong to.
fn invoices<'a>(lines: impl Iterator<Item = &'a Line>) -> usize {
    lines
        .filter(|line| !line.is_return())
        .map(|line| line.invoice.as_str())
        .collect::<BTreeSet<_>>()
        .len()
}

/// Returns the products of each order.
fn orders(placed: &[(usize, &Line)]) -> Vec<Vec<usize>> {
    let mut orders: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (product, line) in placed.iter().filter(|(_, line)| !line.is_return()) {
        orders.entry(&line.invoice).or_default().insert(*product);
    }
    orders
        .into_values()
        .filter(|products| products.len() <= MAX_BASKET_PRODUCTS)
        .map(|products| products.into_iter().collect())
        .collect()
}

fn rarity(bought: &Incidence) -> Vec<f64> {
    let shoppers = count(bought.rows());
    (0..bought.columns())
        .map(|product| (shoppers / count(bought.column(product).len()).max(1.0)).ln_1p())
        .collect()
}

/// Returns the most common value; of several, the first in order.
fn most_common<T: Ord>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    // The reversed order makes the first of equals win.
    counts
        .into_iter()
        .rev()
        .max_by_key(|(_, count)| *count)
        .map(|(value, _)| value)
}

/// Returns the middle value; the lower one of two.
fn median(mut values: Vec<u32>) -> Option<u32> {
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    values.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::PurchaseHistory;

    fn learn(rows: &str) -> Model {
        let csv = format!(
            "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n{rows}"
        );
        Model::learn(&PurchaseHistory::read(csv.as_bytes()).unwrap().lines)
    }

    #[test]
    fn a_product_has_its_most_common_description_and_its_median_price() {
        let model = learn(
            "1,40101,OAK CLOCK,1,3/1/2025 9:00,2.00,31001,France\n\
             2,40101,damaged,1,3/2/2025 9:00,9.00,31002,France\n\
             3,40101,OAK CLOCK,1,3/3/2025 9:00,3.00,31003,France\n\
             4,40101,,1,3/4/2025 9:00,3.00,31003,France\n\
             5,40101,,1,3/5/2025 9:00,3.00,31003,France\n\
             6,40101,,1,3/5/2025 9:00,3.00,31003,France\n",
        );
        let product = &model.products[0];
        assert_eq!(product.description, "Oak Clock");
        assert_eq!(product.price_pence, 300);
        assert_eq!(product.last_sold, model.last_day);
    }

    #[test]
    fn what_came_back_in_full_is_not_kept() {
        let model = learn(
            "1,40101,CLOCK,2,3/1/2025 9:00,2.00,31001,France\n\
             1,40102,VASE,2,3/1/2025 9:00,2.00,31001,France\n\
             C2,40101,CLOCK,-2,3/2/2025 9:00,2.00,31001,France\n\
             C3,40102,VASE,-1,3/2/2025 9:00,2.00,31001,France\n",
        );
        let [clock, vase] = model.shoppers[0].purchases.as_slice() else {
            panic!("two purchases");
        };
        assert!(!clock.is_kept() && clock.returned);
        assert!(vase.is_kept() && vase.returned);
        assert_eq!(model.bought.row(0), [1]);
        assert_eq!(model.shoppers[0].orders, 1);
    }

    #[test]
    fn known_customers_come_first_and_each_order_without_one_is_a_shopper() {
        let model = learn(
            "1,40101,CLOCK,1,3/1/2025 9:00,2.00,,France\n\
             2,40101,CLOCK,1,3/1/2025 9:00,2.00,31002,EIRE\n\
             3,40101,CLOCK,1,3/1/2025 9:00,2.00,,France\n\
             4,40101,CLOCK,1,3/1/2025 9:00,2.00,31001,Unspecified\n",
        );
        assert_eq!((model.known, model.shoppers.len()), (2, 4));
        assert_eq!(model.customer("31002"), Some(1));
        assert_eq!(model.customer(""), None);
        assert_eq!(model.countries, ["France", "Ireland"]);
        assert_eq!(model.shoppers[0].country, None);
        assert_eq!(model.shoppers_in(model.country("France")), 2);
        assert_eq!(model.shoppers_in(None), 4);
    }

    #[test]
    fn a_till_roll_sells_but_does_not_tell_what_sells_together() {
        let roll: Vec<String> = (40_000..=40_000 + MAX_BASKET_PRODUCTS)
            .map(|code| format!("1,{code},CLOCK {code},1,3/1/2025 9:00,2.00,,France"))
            .collect();
        let model = learn(&roll.join("\n"));
        assert_eq!(model.bought.column(0).len(), 1);
        assert!(model.ordered.column(0).is_empty());
    }

    #[test]
    fn of_equally_common_values_the_first_wins() {
        assert_eq!(most_common([3, 1, 3, 1, 2].into_iter()), Some(1));
        assert_eq!(most_common(std::iter::empty::<u8>()), None);
        assert_eq!(median(vec![5, 1, 3, 9]), Some(3));
        assert_eq!(median(Vec::new()), None);
    }
}
