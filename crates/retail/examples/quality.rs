//! Measures the retail generator on a purchase history: how long a generation takes for which
//! effort, and whether its offers are better than the best-sellers.
//!
//! `cargo run --release -p headstart-retail --example quality -- HISTORY.csv [CUSTOMER...]`
//!
//! Quality is measured by hiding: the generator learns without some of what a customer bought,
//! and a hit is a customer for whom at least one of ten offers is a hidden product. Once the
//! last order of every customer with several is hidden, once every second product of every
//! customer with at least four. With customers named, their offers are printed instead.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    path::Path,
    time::Instant,
};

use headstart_protocol::login::LoginData;
use headstart_retail::{RetailGenerator, cleaning::Line, history::PurchaseHistory};

type Failure = Box<dyn std::error::Error>;

/// Lines hidden from the generator for one customer.
struct Hidden<'a> {
    customer: &'a str,
    kept: PurchaseHistory,
    products: BTreeSet<&'a str>,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: quality HISTORY.csv [CUSTOMER...]")?;
    let customers: Vec<String> = arguments.collect();
    let history = PurchaseHistory::open(Path::new(&path))?;
    println!("{}", history.report);
    if customers.is_empty() {
        times(&history)?;
        quality("last order hidden", &last_order_hidden(&history))?;
        quality("every second product hidden", &half_hidden(&history))
    } else {
        print_offers(&history, &customers)
    }
}

fn generator(history: &PurchaseHistory, effort: u32) -> Result<RetailGenerator, Failure> {
    let effort = NonZeroU32::new(effort).ok_or("effort 0")?;
    Ok(RetailGenerator::new(history, effort))
}

fn login(user: &str) -> LoginData {
    LoginData {
        user: user.to_owned(),
        ..LoginData::default()
    }
}

fn never() -> bool {
    false
}

fn print_offers(history: &PurchaseHistory, customers: &[String]) -> Result<(), Failure> {
    let generator = generator(history, 4)?;
    for customer in customers {
        let offers = generator.offers(&login(customer), &never)?;
        println!("\n{}: {} {}", offers.user, offers.greeting, offers.why);
        for item in &offers.items {
            println!(
                "  {:.3}  {:<9} {:<38} {:>6.2} -> {:>6.2}  {}",
                item.score,
                item.stock_code,
                item.description,
                item.price_gbp,
                item.offer_price_gbp,
                item.reason
            );
        }
    }
    Ok(())
}

/// One generation for each of up to 25 customers, for each effort.
fn times(history: &PurchaseHistory) -> Result<(), Failure> {
    let start = Instant::now();
    let model = generator(history, 1)?;
    println!("learned in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let model = model.model();
    let customers: Vec<&str> = model.shoppers[..model.known]
        .iter()
        .step_by((model.known / 25).max(1))
        .filter_map(|shopper| shopper.id.as_deref())
        .collect();
    println!("effort   median ms   slowest ms");
    for effort in [1, 2, 4, 8, 16, 32, 64, 128, 256] {
        let generator = generator(history, effort)?;
        let mut times = Vec::new();
        for customer in &customers {
            let start = Instant::now();
            generator.offers(&login(customer), &never)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let slowest = times.last().copied().unwrap_or_default();
        println!(
            "{effort:>6} {:>11.1} {slowest:>12.1}",
            times[times.len() / 2]
        );
    }
    Ok(())
}

/// Returns the lines of each customer, by customer.
fn by_customer(history: &PurchaseHistory) -> BTreeMap<&str, Vec<&Line>> {
    let mut customers: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in history.lines.iter().filter(|line| !line.is_return()) {
        if let Some(customer) = &line.customer {
            customers.entry(customer).or_default().push(line);
        }
    }
    customers
}

fn last_order_hidden(history: &PurchaseHistory) -> Vec<Hidden<'_>> {
    let customers = by_customer(history).into_iter();
    customers
        .filter_map(|(customer, lines)| {
            let (_, last) = lines.iter().map(|line| (line.day, &line.invoice)).max()?;
            hide(history, customer, &lines, |line| line.invoice == *last)
        })
        .collect()
}

fn half_hidden(history: &PurchaseHistory) -> Vec<Hidden<'_>> {
    let customers = by_customer(history).into_iter();
    customers
        .filter_map(|(customer, lines)| {
            let products: BTreeSet<&str> =
                lines.iter().map(|line| line.stock_code.as_str()).collect();
            let hidden: BTreeSet<&str> = products.iter().copied().step_by(2).collect();
            let enough = products.len() >= 4;
            enough
                .then(|| {
                    hide(history, customer, &lines, |line| {
                        hidden.contains(line.stock_code.as_str())
                    })
                })
                .flatten()
        })
        .collect()
}

/// `None` when nothing is left to learn from or nothing new was hidden.
fn hide<'a>(
    history: &PurchaseHistory,
    customer: &'a str,
    lines: &[&'a Line],
    hidden: impl Fn(&Line) -> bool,
) -> Option<Hidden<'a>> {
    let code = |line: &&'a Line| line.stock_code.as_str();
    let shown: BTreeSet<&str> = lines
        .iter()
        .copied()
        .filter(|line| !hidden(line))
        .map(|line| code(&line))
        .collect();
    let products: BTreeSet<&str> = lines
        .iter()
        .copied()
        .filter(|line| hidden(line) && !shown.contains(code(line)))
        .map(|line| code(&line))
        .collect();
    let is_hidden = |line: &Line| line.customer.as_deref() == Some(customer) && hidden(line);
    let kept = PurchaseHistory {
        lines: history
            .lines
            .iter()
            .filter(|line| !is_hidden(line))
            .cloned()
            .collect(),
        report: history.report.clone(),
    };
    (!shown.is_empty() && !products.is_empty()).then_some(Hidden {
        customer,
        kept,
        products,
    })
}

/// Returns the ten products most customers bought that this one did not.
fn best_sellers(hidden: &Hidden<'_>) -> Vec<String> {
    let mut buyers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in hidden.kept.lines.iter().filter(|line| !line.is_return()) {
        let buyer = line.customer.as_deref().unwrap_or(&line.invoice);
        buyers.entry(&line.stock_code).or_default().insert(buyer);
    }
    let mut ranked: Vec<(usize, &str)> = buyers
        .into_iter()
        .filter(|(_, buyers)| !buyers.contains(hidden.customer))
        .map(|(stock_code, buyers)| (buyers.len(), stock_code))
        .collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    ranked
        .into_iter()
        .take(10)
        .map(|(_, stock_code)| stock_code.to_owned())
        .collect()
}

fn quality(title: &str, cases: &[Hidden<'_>]) -> Result<(), Failure> {
    println!("\n{title}: {} customers", cases.len());
    print_rates("best-sellers", cases, |case| Ok(best_sellers(case)))?;
    for effort in [1, 4, 16] {
        print_rates(&format!("retail, effort {effort}"), cases, |case| {
            let offers = generator(&case.kept, effort)?.offers(&login(case.customer), &never)?;
            Ok(offers
                .items
                .into_iter()
                .map(|item| item.stock_code)
                .collect())
        })?;
    }
    Ok(())
}

fn print_rates(
    name: &str,
    cases: &[Hidden<'_>],
    offers: impl Fn(&Hidden<'_>) -> Result<Vec<String>, Failure>,
) -> Result<(), Failure> {
    let (mut customers, mut products) = (0_u32, 0_u32);
    for case in cases {
        let mut found = 0;
        for offer in offers(case)? {
            found += u32::from(case.products.contains(offer.as_str()));
        }
        customers += u32::from(found > 0);
        products += found;
    }
    let cases = f64::from(u32::try_from(cases.len())?).max(1.0);
    println!(
        "  {name:<18} hit rate@10 {:>5.1} %   hidden products found {:>5.2} per customer",
        f64::from(customers) / cases * 100.0,
        f64::from(products) / cases
    );
    Ok(())
}
