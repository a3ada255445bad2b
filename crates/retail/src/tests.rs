//! What the generator as a whole promises, on small histories and on the project's sample.

use std::{collections::BTreeSet, fmt::Write as _, path::Path, time::Duration};

use headstart_protocol::login::Geo;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const HEADER: &str =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

/// Builds histories row by row.
#[derive(Default)]
struct Shop {
    rows: String,
    invoice: u32,
}

impl Shop {
    fn order(mut self, customer: &str, country: &str, products: &[u32]) -> Self {
        self.invoice += 1;
        for product in products {
            self.row("", customer, country, *product, 1);
        }
        self
    }

    fn give_back(mut self, customer: &str, country: &str, product: u32) -> Self {
        self.invoice += 1;
        self.row("C", customer, country, product, -1);
        self
    }

    /// Each product is called by its number in letters: two numbers would be two sizes.
    fn row(&mut self, mark: &str, customer: &str, country: &str, product: u32, quantity: i32) {
        let name: String = product
            .to_string()
            .bytes()
            .map(|digit| char::from(digit - b'0' + b'A'))
            .collect();
        writeln!(
            self.rows,
            "{mark}{},{product},{name},{quantity},3/{}/2025 9:00,2.50,{customer},{country}",
            self.invoice,
            1 + self.invoice % 28,
        )
        .unwrap();
    }

    fn generator(&self) -> RetailGenerator {
        generator(&format!("{HEADER}{}", self.rows))
    }
}

/// Two circles of six customers: one buys 10001 to 10010, the other 20001 to 20010; everyone
/// knows 30001. Customers 11111 and 21111 bought only the first three of their circle's.
fn two_circles() -> Shop {
    let mut shop = Shop::default();
    for circle in [1_u32, 2] {
        for member in 0..6 {
            let base = circle * 10_000;
            let mut products: Vec<u32> = (1..=10)
                .filter(|product| (product + member) % 3 != 0)
                .map(|product| base + product)
                .collect();
            products.push(30_001);
            shop = shop.order(&format!("{circle}000{member}"), "France", &products);
        }
        let first = circle * 10_000;
        shop = shop.order(
            &format!("{circle}1111"),
            "France",
            &[first + 1, first + 2, first + 3],
        );
    }
    shop
}

fn generator(csv: &str) -> RetailGenerator {
    let history = PurchaseHistory::read(csv.as_bytes()).unwrap();
    RetailGenerator::new(&history, NonZeroU32::MIN)
}

fn sample() -> PurchaseHistory {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample-retail.csv");
    PurchaseHistory::open(&path).unwrap()
}

fn login(user: &str) -> LoginData {
    LoginData {
        user: user.to_owned(),
        ..LoginData::default()
    }
}

fn login_from(user: &str, country: &str) -> LoginData {
    LoginData {
        geo: Geo {
            country: Some(country.to_owned()),
            ..Geo::default()
        },
        ..login(user)
    }
}

fn never() -> bool {
    false
}

fn json_of(generator: &RetailGenerator, user: &str) -> String {
    serde_json::to_string(&offers(generator, &login(user))).unwrap()
}

fn offers(generator: &RetailGenerator, login: &LoginData) -> Offers {
    generator.offers(login, &never).unwrap()
}

fn codes(offers: &Offers) -> Vec<&str> {
    offers
        .items
        .iter()
        .map(|item| item.stock_code.as_str())
        .collect()
}

#[test]
fn a_customer_is_offered_what_their_own_circle_buys() {
    let generator = two_circles().generator();
    for (customer, circle) in [("11111", '1'), ("21111", '2')] {
        let mut login = login(customer);
        login.attributes.insert("max_items".into(), json!(5));
        let offers = offers(&generator, &login);
        let own = codes(&offers)
            .iter()
            .filter(|code| code.starts_with(circle))
            .count();
        assert!(own >= 4, "{customer}: {:?}", codes(&offers));
    }
}

#[test]
fn each_offer_says_why_in_a_sentence() {
    let offers = offers(&two_circles().generator(), &login("11111"));
    for item in &offers.items {
        assert!(item.reason.ends_with('.'), "{}", item.reason);
    }
    let spoken_of_own = offers.items.iter().any(|item| {
        item.reason.contains("Customers who bought Baaa") && item.reason.contains("March 2025")
    });
    assert!(spoken_of_own, "{offers:?}");
    assert!(
        offers.why.contains("your 1 order of 3 products"),
        "{}",
        offers.why
    );
}

#[test]
fn what_was_bought_or_returned_is_not_offered() {
    let generator = two_circles()
        .order("11111", "France", &[10_004])
        .give_back("11111", "France", 10_004)
        .generator();
    let offers = offers(&generator, &login("11111"));
    for gone in ["10001", "10002", "10003", "10004"] {
        assert!(!codes(&offers).contains(&gone), "{gone}");
    }
    assert!(codes(&offers).contains(&"10005"));
}

#[test]
fn who_has_everything_is_offered_what_they_kept() {
    let generator = Shop::default()
        .order("11111", "France", &[10_001, 10_002])
        .give_back("11111", "France", 10_002)
        .generator();
    let offers = offers(&generator, &login("11111"));
    assert_eq!(codes(&offers), ["10001"]);
    assert_eq!(offers.items[0].reason_kind, offers::ReasonKind::Reorder);
}

#[test]
fn a_stranger_is_offered_what_sells_and_told_so() {
    let offers = offers(&two_circles().generator(), &login("nobody"));
    assert!(!offers.known);
    assert_eq!(codes(&offers)[0], "30001");
    assert!(offers.why.starts_with("We do not know your purchases yet"));
    assert_eq!(offers.country, None);
}

#[test]
fn a_strangers_country_changes_their_offers() {
    let mut shop = Shop::default();
    for customer in 0..5 {
        shop = shop
            .order(&format!("1000{customer}"), "France", &[10_001, 10_002])
            .order(&format!("2000{customer}"), "EIRE", &[20_001, 20_002]);
    }
    let generator = shop.generator();
    let french = offers(&generator, &login_from("nobody", "FR"));
    let irish = offers(&generator, &login_from("nobody", "IE"));
    assert_eq!(codes(&french)[..2], ["10001", "10002"]);
    assert_eq!(codes(&irish)[..2], ["20001", "20002"]);
    assert_eq!(irish.country.as_deref(), Some("Ireland"));
    assert_eq!(
        irish.items[0].reason,
        "Popular in Ireland: 5 customers there bought it."
    );
    let swedish = offers(&generator, &login_from("nobody", "SE"));
    assert!(
        swedish.why.contains("we have none in Sweden yet"),
        "{}",
        swedish.why
    );
}

#[test]
fn a_customers_own_country_wins_over_where_the_login_came_from() {
    let offers = offers(&two_circles().generator(), &login_from("11111", "NO"));
    assert_eq!(offers.country.as_deref(), Some("France"));
    assert_eq!(offers.country_from, Some(CountryFrom::History));
}

#[test]
fn variants_of_one_thing_are_offered_once() {
    let mut csv = HEADER.to_owned();
    let things = [
        ("40101A", "OAK CLOCK RED"),
        ("40101B", "OAK CLOCK FRENCH"),
        ("40102", "GREEN OAK CLOCKS"),
        ("40103", "TEAPOT"),
    ];
    for (code, what) in things {
        writeln!(csv, "1,{code},{what},1,3/1/2025 9:00,2.50,,France").unwrap();
    }
    let offers = offers(&generator(&csv), &login("nobody"));
    assert_eq!(codes(&offers), ["40101A", "40103"]);
}

#[test]
fn the_attributes_steer_and_bad_ones_fail_the_login() {
    let generator = RetailGenerator::new(&sample(), NonZeroU32::MIN);
    let mut login = login("40143");
    login.attributes = json!({"max_items": 3, "max_price_gbp": 5})
        .as_object()
        .unwrap()
        .clone();
    let few = offers(&generator, &login);
    assert_eq!(few.items.len(), 3);
    assert!(few.items.iter().all(|item| item.price_gbp <= 5.0));

    login.attributes.insert("max_price_gbp".into(), json!(0.01));
    assert!(matches!(
        generator.offers(&login, &never),
        Err(RetailError::NothingToOffer)
    ));
    login.attributes.insert("max_items".into(), json!("many"));
    assert!(matches!(
        generator.offers(&login, &never),
        Err(RetailError::BadAttribute {
            name: "max_items",
            ..
        })
    ));
}

#[test]
fn a_passed_deadline_ends_the_work() {
    let generator = RetailGenerator::new(&sample(), NonZeroU32::MAX);
    let start = std::time::Instant::now();
    let late = generator.offers(&login("40143"), &|| {
        start.elapsed() > Duration::from_millis(20)
    });
    assert_eq!(late, Err(RetailError::TimedOut));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_same_login_gives_the_same_bytes_whatever_the_order_of_the_rows() {
    let rows: Vec<String> = two_circles().rows.lines().map(str::to_owned).collect();
    let forward = generator(&format!("{HEADER}{}", rows.join("\n")));
    let reversed: Vec<String> = rows.into_iter().rev().collect();
    let backward = generator(&format!("{HEADER}{}", reversed.join("\n")));
    let first = json_of(&forward, "11111");
    assert_eq!(first, json_of(&forward, "11111"));
    assert_eq!(first, json_of(&backward, "11111"));
}

#[test]
fn the_json_has_the_documented_shape() {
    let generator = RetailGenerator::new(&sample(), NonZeroU32::MIN);
    let json = json_of(&generator, "40143");
    assert_eq!(crate::offers::MEDIA_TYPE, "application/json");
    let json: Value = serde_json::from_str(&json).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let mut top = keys(&json);
    top.sort();
    assert_eq!(
        top,
        [
            "country",
            "country_from",
            "generator",
            "greeting",
            "items",
            "known",
            "user",
            "why"
        ]
    );
    let mut item = keys(&json["items"][0]);
    item.sort();
    assert_eq!(
        item,
        [
            "description",
            "discount_percent",
            "discount_reason",
            "offer_price_gbp",
            "price_gbp",
            "reason",
            "reason_kind",
            "score",
            "stock_code"
        ]
    );
    assert_eq!(json["generator"]["effort"], 1);
    assert_eq!(json["country_from"], "history");
}

#[test]
fn every_customer_of_the_sample_gets_ten_sound_offers() {
    assert_sound(&RetailGenerator::new(&sample(), NonZeroU32::MIN));
}

/// Set `HEADSTART_RETAIL_CSV` to a purchase history of your own to hold it to the same rules.
#[test]
fn every_customer_of_a_real_history_gets_ten_sound_offers() {
    let Some(path) = std::env::var_os("HEADSTART_RETAIL_CSV") else {
        println!("skipped: HEADSTART_RETAIL_CSV names no purchase history");
        return;
    };
    let history = PurchaseHistory::open(Path::new(&path)).unwrap();
    assert_sound(&RetailGenerator::new(&history, NonZeroU32::MIN));
}

fn assert_sound(generator: &RetailGenerator) {
    let model = generator.model();
    assert!(model.known > 0);
    let customers = model.shoppers[..model.known]
        .iter()
        .filter_map(|shopper| shopper.id.as_deref());
    for customer in customers.chain(["nobody"]) {
        let offers = offers(generator, &login(customer));
        assert_eq!(offers.items.len(), 10, "{customer}");
        let distinct: BTreeSet<_> = codes(&offers).into_iter().collect();
        assert_eq!(distinct.len(), 10, "{customer}");
        assert!(
            offers.items.is_sorted_by(|a, b| a.score >= b.score),
            "{customer}"
        );
        for item in &offers.items {
            assert!((0.0..=1.0).contains(&item.score), "{customer}: {item:?}");
            assert!((5..=discount::MOST_PERCENT).contains(&item.discount_percent));
            assert!(item.offer_price_gbp > 0.0 && item.offer_price_gbp <= item.price_gbp);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_user_name_gets_offers(user in "\\PC{0,256}") {
        let generator = two_circles().generator();
        prop_assert!(!offers(&generator, &login(&user)).items.is_empty());
    }

    #[test]
    fn any_history_gives_sound_offers(
        rows in prop::collection::vec((0_u32..6, 0_u32..5, 10_000_u32..10_012, -2_i32..6), 1..60),
    ) {
        let mut shop = Shop::default().order("", "", &[10_001]);
        for (invoice, customer, product, quantity) in rows {
            let customer = if customer == 0 { String::new() } else { format!("{customer}") };
            shop.invoice = invoice;
            shop.row("", &customer, "Norway", product, quantity);
        }
        let generator = shop.generator();
        for user in ["1", "2", "3", "4", "nobody"] {
            // A customer who returned all there is gets none, and is told so.
            match generator.offers(&login_from(user, "NO"), &never) {
                Ok(offers) => for item in &offers.items {
                    prop_assert!((0.0..=1.0).contains(&item.score));
                    let number = item.stock_code.parse::<u32>().unwrap();
                    prop_assert!((10_000..10_012).contains(&number));
                },
                Err(error) => prop_assert!(matches!(error, RetailError::NothingToOffer)),
            }
        }
    }
}
