//! The discount of an offer: a rule anyone can check, not a score.
//!
//! | for | percent |
//! |---|---|
//! | everyone | 5 |
//! | a first order (no orders known) | + 5 |
//! | a regular (3 orders or more) | + 5 |
//! | something well above the customer's usual price (1.5 times or more) | + 5 |
//!
//! So 5 to 15 %. The price is rounded to the penny and is never below one.

/// For everyone.
const BASE: u32 = 5;
/// Each reason that holds adds this.
const STEP: u32 = 5;
/// From so many orders on, a customer is a regular.
const REGULAR_ORDERS: usize = 3;

/// The largest discount the rule can give, percent.
pub const MOST_PERCENT: u32 = 15;

/// What the rule needs to know.
#[derive(Debug, Clone, Copy)]
pub struct Buyer {
    /// Their orders so far.
    pub orders: usize,
    /// Their usual price, pence, if they bought anything.
    pub usual_price_pence: Option<u32>,
}

/// A discount and the price it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discount {
    /// Percent off.
    pub percent: u32,
    /// What is to be paid for one piece, pence.
    pub offer_pence: u32,
    /// Why, in a few words.
    pub reason: String,
}

/// Applies the rule to one price.
#[must_use]
pub fn discount(price_pence: u32, buyer: Buyer) -> Discount {
    let mut percent = BASE;
    let mut reasons = vec![format!("{BASE} % for logging in")];
    if buyer.orders == 0 {
        percent += STEP;
        reasons.push(format!("{STEP} % on a first order"));
    } else if buyer.orders >= REGULAR_ORDERS {
        percent += STEP;
        reasons.push(format!("{STEP} % for a regular customer"));
    }
    let stretches = |usual: u32| u64::from(price_pence) * 2 >= u64::from(usual) * 3;
    if buyer.usual_price_pence.is_some_and(stretches) {
        percent += STEP;
        reasons.push(format!(
            "{STEP} % because it costs more than you usually spend"
        ));
    }
    let left = u64::from(price_pence) * u64::from(100 - percent);
    Discount {
        percent,
        offer_pence: u32::try_from((left + 50) / 100)
            .unwrap_or(price_pence)
            .max(1),
        reason: reasons.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_reason_adds_five_percent() {
        let of = |price, orders, usual_price_pence| {
            let discount = discount(
                price,
                Buyer {
                    orders,
                    usual_price_pence,
                },
            );
            (discount.percent, discount.offer_pence)
        };
        assert_eq!(of(1000, 1, Some(1000)), (5, 950));
        assert_eq!(of(1000, 0, None), (10, 900));
        assert_eq!(of(1000, 3, Some(1000)), (10, 900));
        assert_eq!(of(1500, 3, Some(1000)), (15, 1275));
        assert_eq!(of(1499, 3, Some(1000)), (10, 1349));
    }

    proptest! {
        #[test]
        fn a_discount_stays_in_its_bounds(
            price in 1_u32..=u32::MAX,
            orders in 0_usize..10,
            usual in proptest::option::of(1_u32..1_000_000),
        ) {
            let discount = discount(price, Buyer { orders, usual_price_pence: usual });
            prop_assert!((BASE..=MOST_PERCENT).contains(&discount.percent));
            prop_assert!((1..=price).contains(&discount.offer_pence));
            prop_assert!(!discount.reason.is_empty());
        }
    }
}
