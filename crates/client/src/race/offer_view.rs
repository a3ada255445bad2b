//! An offer as the user would see it, in a few lines of text.

use serde::Deserialize;

/// Products shown.
const SHOWN: usize = 3;

/// What is shown of the retail generator's JSON.
#[derive(Deserialize)]
struct Offers {
    greeting: String,
    why: String,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    description: String,
    offer_price_gbp: f64,
    discount_percent: u32,
    reason: String,
}

/// Returns the offer in a few lines; `None` for content that is not the retail generator's.
#[must_use]
pub fn render(body: &[u8]) -> Option<String> {
    let offers: Offers = serde_json::from_slice(body).ok()?;
    let mut lines = vec![format!("{} {}", offers.greeting, offers.why)];
    for item in offers.items.iter().take(SHOWN) {
        lines.push(format!(
            "  £{:<7.2} {} (-{} %)",
            item.offer_price_gbp, item.description, item.discount_percent
        ));
        lines.push(format!("           {}", item.reason));
    }
    if let Some(more) = offers
        .items
        .len()
        .checked_sub(SHOWN)
        .filter(|more| *more > 0)
    {
        lines.push(format!("  and {more} more"));
    }
    Some(lines.join("\n"))
}
