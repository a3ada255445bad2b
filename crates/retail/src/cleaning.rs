//! The rules that turn one row of a purchase history into a clean line, or say why not.
//!
//! Real histories are dirty: postage and bank charges among the products, cancelled orders,
//! give-aways at no price, codes in two spellings. Each rule is one function here.

use chrono::NaiveDate;

/// A code with fewer digits names no merchandise but a service or a correction (`POST`, `D`,
/// `M`, `C2`, `BANK CHARGES`, `TEST001`); real product codes carry a number.
const MIN_CODE_DIGITS: usize = 4;

/// Dearer than this is not a product but a correction: 100,000 GBP, in pence.
const MAX_PRICE_PENCE: u32 = 10_000_000;

/// More than this in one line is a typing error.
const MAX_QUANTITY: i64 = 1_000_000;

/// The fields of one row, as they stand in the file.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// `InvoiceNo`.
    pub invoice: &'a str,
    /// `StockCode`.
    pub stock_code: &'a str,
    /// `Description`.
    pub description: &'a str,
    /// `Quantity`.
    pub quantity: &'a str,
    /// `InvoiceDate`, `M/D/YYYY H:MM`.
    pub date: &'a str,
    /// `UnitPrice`, GBP.
    pub price: &'a str,
    /// `CustomerID`, may be empty.
    pub customer: &'a str,
    /// `Country`.
    pub country: &'a str,
}

/// One clean line of an invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The invoice's number, in upper case.
    pub invoice: String,
    /// The product's code, in upper case.
    pub stock_code: String,
    /// The description with single spaces; may be empty.
    pub description: String,
    /// Pieces, negative when they came back; never 0.
    pub quantity: i64,
    /// The day of the invoice.
    pub day: NaiveDate,
    /// The price of one piece in pence, at least 1.
    pub price_pence: u32,
    /// The customer, if the shop knew.
    pub customer: Option<String>,
    /// The country as the history spells it; may be empty.
    pub country: String,
}

impl Line {
    /// Returns true for goods that came back or were cancelled.
    #[must_use]
    pub fn is_return(&self) -> bool {
        self.quantity < 0
    }
}

/// Why a row was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Skip {
    /// The row has too few or too many fields, or is not CSV.
    #[error("not a whole row")]
    Malformed,
    /// There is no invoice number.
    #[error("no invoice number")]
    NoInvoice,
    /// There is no stock code.
    #[error("no stock code")]
    NoStockCode,
    /// Postage, fees, vouchers, samples, corrections.
    #[error("not a product")]
    NotAProduct,
    /// Not a whole number, zero, or beyond a million.
    #[error("unusable quantity")]
    BadQuantity,
    /// Not `M/D/YYYY H:MM`.
    #[error("unusable date")]
    BadDate,
    /// Not a decimal number, or beyond any price.
    #[error("unusable price")]
    BadPrice,
    /// A give-away or a stock correction.
    #[error("no price or a negative one")]
    NotPriced,
}

/// Cleans one row.
///
/// # Errors
/// The first reason found to leave it out.
pub fn clean(row: &Row<'_>) -> Result<Line, Skip> {
    let invoice = row.invoice.trim().to_uppercase();
    if invoice.is_empty() {
        return Err(Skip::NoInvoice);
    }
    let stock_code = row.stock_code.trim().to_uppercase();
    if stock_code.is_empty() {
        return Err(Skip::NoStockCode);
    }
    if !is_product(&stock_code) {
        return Err(Skip::NotAProduct);
    }
    let mut quantity = parse_quantity(row.quantity).ok_or(Skip::BadQuantity)?;
    // A cancelled invoice starts with C; its quantities are negative, but not in every export.
    if invoice.starts_with('C') {
        quantity = -quantity.abs();
    }
    let day = parse_day(row.date).ok_or(Skip::BadDate)?;
    let price_pence = match parse_pence(row.price).ok_or(Skip::BadPrice)? {
        pence if pence <= 0 => return Err(Skip::NotPriced),
        pence => u32::try_from(pence)
            .ok()
            .filter(|pence| *pence <= MAX_PRICE_PENCE)
            .ok_or(Skip::BadPrice)?,
    };
    Ok(Line {
        invoice,
        stock_code,
        description: single_spaces(row.description),
        quantity,
        day,
        price_pence,
        customer: customer(row.customer),
        country: single_spaces(row.country),
    })
}

/// `stock_code` is in upper case.
fn is_product(stock_code: &str) -> bool {
    let digits = stock_code.chars().filter(char::is_ascii_digit).count();
    digits >= MIN_CODE_DIGITS && !stock_code.starts_with("GIFT") && !stock_code.starts_with("TEST")
}

fn parse_quantity(text: &str) -> Option<i64> {
    let quantity: i64 = text.trim().parse().ok()?;
    (quantity != 0 && quantity.abs() <= MAX_QUANTITY).then_some(quantity)
}

fn parse_day(text: &str) -> Option<NaiveDate> {
    chrono::NaiveDateTime::parse_from_str(text.trim(), "%m/%d/%Y %H:%M")
        .ok()
        .map(|moment| moment.date())
}

/// Rounds a decimal number of pounds to whole pence, half a penny up. Done on the digits, so that no price
/// is moved by binary fractions.
fn parse_pence(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (pounds, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (pounds.is_empty() && fraction.is_empty()) || !all_digits(pounds) || !all_digits(fraction) {
        return None;
    }
    let pounds: i64 = match pounds {
        "" => 0,
        _ => pounds.parse().ok()?,
    };
    let digit = |place: usize| {
        let byte = fraction.as_bytes().get(place).copied().unwrap_or(b'0');
        i64::from(byte - b'0')
    };
    let rounded = i64::from(digit(2) >= 5);
    let pence = pounds
        .checked_mul(100)?
        .checked_add(digit(0) * 10 + digit(1) + rounded)?;
    Some(if negative { -pence } else { pence })
}

/// Spreadsheets turn the number 12345 into 12345.0 when a column has gaps.
fn customer(text: &str) -> Option<String> {
    let text = text.trim();
    let id = text.strip_suffix(".0").unwrap_or(text);
    (!id.is_empty()).then(|| id.to_owned())
}

/// Trims, and makes every run of white space and control characters one space.
fn single_spaces(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Row<'_> = Row {
        invoice: "700001",
        stock_code: "40101a",
        description: "  OAK  BREAD BOARD ",
        quantity: "6",
        date: "3/14/2025 9:05",
        price: "12.50",
        customer: "31001",
        country: "France",
    };

    #[test]
    fn a_good_row_is_kept_and_tidied() {
        let line = clean(&GOOD).unwrap();
        assert_eq!(line.stock_code, "40101A");
        assert_eq!(line.description, "OAK BREAD BOARD");
        assert_eq!(line.price_pence, 1250);
        assert_eq!(line.day.to_string(), "2025-03-14");
        assert_eq!(line.customer.as_deref(), Some("31001"));
        assert!(!line.is_return());
    }

    #[test]
    fn each_kind_of_dirt_has_its_reason() {
        let cases = [
            (
                Row {
                    invoice: " ",
                    ..GOOD
                },
                Skip::NoInvoice,
            ),
            (
                Row {
                    stock_code: "",
                    ..GOOD
                },
                Skip::NoStockCode,
            ),
            (
                Row {
                    quantity: "0",
                    ..GOOD
                },
                Skip::BadQuantity,
            ),
            (
                Row {
                    quantity: "many",
                    ..GOOD
                },
                Skip::BadQuantity,
            ),
            (
                Row {
                    quantity: "99999999999999999999",
                    ..GOOD
                },
                Skip::BadQuantity,
            ),
            (
                Row {
                    date: "2025-03-14",
                    ..GOOD
                },
                Skip::BadDate,
            ),
            (
                Row {
                    date: "14/3/2025 9:05",
                    ..GOOD
                },
                Skip::BadDate,
            ),
            (Row { price: "", ..GOOD }, Skip::BadPrice),
            (
                Row {
                    price: "NaN",
                    ..GOOD
                },
                Skip::BadPrice,
            ),
            (
                Row {
                    price: "9999999",
                    ..GOOD
                },
                Skip::BadPrice,
            ),
            (Row { price: "0", ..GOOD }, Skip::NotPriced),
            (
                Row {
                    price: "0.001",
                    ..GOOD
                },
                Skip::NotPriced,
            ),
            (
                Row {
                    price: "-11062.06",
                    ..GOOD
                },
                Skip::NotPriced,
            ),
        ];
        for (row, reason) in cases {
            assert_eq!(clean(&row), Err(reason), "{row:?}");
        }
    }

    #[test]
    fn services_fees_and_vouchers_are_not_products() {
        for stock_code in [
            "POST",
            "DOT",
            "M",
            "m",
            "D",
            "S",
            "C2",
            "BANK CHARGES",
            "AMAZONFEE",
            "CRUK",
            "PADS",
            "ADJUST2",
            "TEST001",
            "TEST0001",
            "gift_0001_20",
        ] {
            assert_eq!(
                clean(&Row { stock_code, ..GOOD }),
                Err(Skip::NotAProduct),
                "{stock_code}"
            );
        }
        for stock_code in ["40101", "40101BL", "DCGS0058", "SP1002"] {
            assert!(clean(&Row { stock_code, ..GOOD }).is_ok(), "{stock_code}");
        }
    }

    #[test]
    fn negative_quantities_and_cancelled_invoices_are_returns() {
        assert!(
            clean(&Row {
                quantity: "-2",
                ..GOOD
            })
            .unwrap()
            .is_return()
        );
        let cancelled = Row {
            invoice: "c700002",
            ..GOOD
        };
        assert_eq!(clean(&cancelled).unwrap().quantity, -6);
    }

    #[test]
    fn prices_are_read_to_the_penny() {
        for (text, pence) in [
            ("2.55", 255),
            ("2.5", 250),
            ("2", 200),
            (".42", 42),
            ("0.425", 43),
            ("0.424", 42),
            ("8.995", 900),
            ("-1.00", -100),
        ] {
            assert_eq!(parse_pence(text), Some(pence), "{text}");
        }
        for text in [
            "",
            ".",
            "1.2.3",
            "1e3",
            "£2",
            "1,5",
            "--1",
            "99999999999999999999",
        ] {
            assert_eq!(parse_pence(text), None, "{text}");
        }
    }

    #[test]
    fn a_customer_that_went_through_a_spreadsheet_is_the_same_customer() {
        assert_eq!(customer(" 31001.0 ").as_deref(), Some("31001"));
        assert_eq!(customer("  "), None);
    }
}
