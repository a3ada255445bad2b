//! How products, days and counts are worded for a shopper.

use std::fmt::Write as _;

use chrono::{Datelike, NaiveDate};

/// Written small inside a title.
const SMALL_WORDS: [&str; 14] = [
    "a", "an", "and", "as", "at", "by", "for", "in", "of", "on", "or", "the", "to", "with",
];

/// Written in capitals everywhere.
const CAPITALS: [&str; 8] = ["DIY", "LED", "TV", "UK", "USA", "USB", "II", "WC"];

/// Words that tell the variants of one product apart, and say nothing of what it is.
const VARIANT_WORDS: [&str; 43] = [
    "assorted",
    "beige",
    "big",
    "black",
    "blue",
    "bright",
    "brown",
    "coloured",
    "colour",
    "cream",
    "dark",
    "gold",
    "green",
    "grey",
    "ivory",
    "jumbo",
    "large",
    "light",
    "lilac",
    "medium",
    "mini",
    "natural",
    "navy",
    "orange",
    "pack",
    "pair",
    "pastel",
    "pink",
    "purple",
    "red",
    "set",
    "silver",
    "design",
    "small",
    "style",
    "tall",
    "vintage",
    "tiny",
    "turquoise",
    "white",
    "wide",
    "yellow",
    "pc",
];

/// Returns a description for people: histories shout (`RED RETROSPOT MUG`), offers do not (`Red Retrospot
/// Mug`). Text that is already in mixed case is left alone.
#[must_use]
pub fn title(description: &str) -> String {
    let upper = description.chars().filter(|c| c.is_uppercase()).count();
    let lower = description.chars().filter(|c| c.is_lowercase()).count();
    if lower >= upper {
        return description.to_owned();
    }
    description
        .split(' ')
        .enumerate()
        .map(|(place, word)| title_word(word, place == 0))
        .collect::<Vec<_>>()
        .join(" ")
}

fn title_word(word: &str, first: bool) -> String {
    let small = word.to_lowercase();
    if CAPITALS.contains(&word) {
        return word.to_owned();
    }
    if !first && SMALL_WORDS.contains(&small.as_str()) {
        return small;
    }
    let mut titled = String::with_capacity(word.len());
    let mut start = true;
    for c in small.chars() {
        if start {
            titled.extend(c.to_uppercase());
        } else {
            titled.push(c);
        }
        // T-LIGHT is T-Light and CHARLIE+LOLA Charlie+Lola, but 60CM 60cm and POPPY'S Poppy's.
        start = !c.is_alphanumeric() && c != '\'' && c != '\u{2019}';
    }
    titled
}

/// Returns the words that say what a product is, without colours, sizes and numbers, in alphabetical order:
/// equal for the variants of one product.
#[must_use]
pub fn kind_words(description: &str) -> Vec<String> {
    let mut words: Vec<String> = description
        .to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() > 1 && !word.starts_with(|c: char| c.is_numeric()))
        .filter(|word| !SMALL_WORDS.contains(word) && !VARIANT_WORDS.contains(word))
        .map(|word| {
            word.strip_suffix('s')
                .filter(|one| one.len() > 2)
                .unwrap_or(word)
                .to_owned()
        })
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// `1 December 2010`.
#[must_use]
pub fn day(day: NaiveDate) -> String {
    format!("{} {} {}", day.day(), day.format("%B"), day.year())
}

/// `1 order`, `3 orders`.
#[must_use]
pub fn counted(count: usize, one: &str) -> String {
    let mut text = format!("{count} {one}");
    if count != 1 {
        let _ = write!(text, "s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shouted_descriptions_become_titles() {
        for (shouted, titled) in [
            ("RED RETROSPOT MUG", "Red Retrospot Mug"),
            ("HANGING T-LIGHT HOLDER", "Hanging T-Light Holder"),
            ("BOX OF 6 TEASPOONS", "Box of 6 Teaspoons"),
            ("POPPY'S 60CM LED SIGN", "Poppy's 60cm LED Sign"),
            ("Jam jar", "Jam jar"),
            ("CAFÉ ÉCLAIR", "Café Éclair"),
            ("", ""),
        ] {
            assert_eq!(title(shouted), titled);
        }
    }

    #[test]
    fn variants_of_one_product_have_the_same_kind() {
        let red = kind_words("ALARM CLOCK RED");
        assert_eq!(red, kind_words("SET OF 2 GREEN ALARM CLOCKS"));
        assert_ne!(red, kind_words("RED WALL CLOCK"));
    }

    #[test]
    fn days_and_counts_read_as_spoken() {
        let first = NaiveDate::from_ymd_opt(2010, 12, 1).unwrap();
        assert_eq!(day(first), "1 December 2010");
        assert_eq!(counted(1, "order"), "1 order");
        assert_eq!(counted(0, "order"), "0 orders");
    }
}
