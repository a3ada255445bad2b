//! Countries: from the ISO code a login brings and the names a purchase history uses to one
//! name to show, so that the two can be compared.

/// How purchase histories of the UCI kind spell a country, its ISO 3166-1 alpha-2 codes, and
/// how a sentence names it ("sells in the Netherlands").
const COUNTRIES: [(&str, &[&str], &str); 40] = [
    ("Australia", &["AU"], "Australia"),
    ("Austria", &["AT"], "Austria"),
    ("Bahrain", &["BH"], "Bahrain"),
    ("Belgium", &["BE"], "Belgium"),
    ("Brazil", &["BR"], "Brazil"),
    ("Canada", &["CA"], "Canada"),
    ("Channel Islands", &["JE", "GG"], "the Channel Islands"),
    ("Cyprus", &["CY"], "Cyprus"),
    ("Czech Republic", &["CZ"], "the Czech Republic"),
    ("Denmark", &["DK"], "Denmark"),
    ("EIRE", &["IE"], "Ireland"),
    ("Finland", &["FI"], "Finland"),
    ("France", &["FR"], "France"),
    ("Germany", &["DE"], "Germany"),
    ("Greece", &["GR"], "Greece"),
    ("Hong Kong", &["HK"], "Hong Kong"),
    ("Iceland", &["IS"], "Iceland"),
    ("Israel", &["IL"], "Israel"),
    ("Italy", &["IT"], "Italy"),
    ("Japan", &["JP"], "Japan"),
    ("Korea", &["KR"], "Korea"),
    ("Lebanon", &["LB"], "Lebanon"),
    ("Lithuania", &["LT"], "Lithuania"),
    ("Malta", &["MT"], "Malta"),
    ("Netherlands", &["NL"], "the Netherlands"),
    ("Nigeria", &["NG"], "Nigeria"),
    ("Norway", &["NO"], "Norway"),
    ("Poland", &["PL"], "Poland"),
    ("Portugal", &["PT"], "Portugal"),
    ("RSA", &["ZA"], "South Africa"),
    ("Saudi Arabia", &["SA"], "Saudi Arabia"),
    ("Singapore", &["SG"], "Singapore"),
    ("Spain", &["ES"], "Spain"),
    ("Sweden", &["SE"], "Sweden"),
    ("Switzerland", &["CH"], "Switzerland"),
    ("Thailand", &["TH"], "Thailand"),
    ("USA", &["US"], "the United States"),
    ("United Arab Emirates", &["AE"], "the United Arab Emirates"),
    ("United Kingdom", &["GB"], "the United Kingdom"),
    ("West Indies", &["BB", "JM", "TT"], "the West Indies"),
];

/// What a history writes when it does not know the country.
const NO_COUNTRY: [&str; 2] = ["unspecified", "european community"];

/// Returns the country of a row of a history, as a sentence names it. A spelling not in the table stands for
/// itself; `None` when the history does not know.
#[must_use]
pub fn from_history(name: &str) -> Option<String> {
    let name = name.trim();
    if name.is_empty() || NO_COUNTRY.contains(&name.to_lowercase().as_str()) {
        return None;
    }
    let known = COUNTRIES
        .iter()
        .find(|(spelling, _, _)| spelling.eq_ignore_ascii_case(name));
    Some(known.map_or(name, |(_, _, shown)| shown).to_owned())
}

/// Returns the country of an ISO 3166-1 alpha-2 code, as a sentence names it. `None` for codes that no
/// history of this kind has a country for.
#[must_use]
pub fn from_iso(code: &str) -> Option<&'static str> {
    COUNTRIES
        .iter()
        .find(|(_, codes, _)| {
            codes
                .iter()
                .any(|iso| iso.eq_ignore_ascii_case(code.trim()))
        })
        .map(|(_, _, shown)| *shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_and_a_spelling_of_one_country_meet() {
        for (spelling, code) in [
            ("EIRE", "IE"),
            ("United Kingdom", "gb"),
            ("USA", "US"),
            ("RSA", "ZA"),
            ("Norway", "NO"),
        ] {
            assert_eq!(
                from_history(spelling).as_deref(),
                from_iso(code),
                "{spelling}"
            );
        }
    }

    #[test]
    fn an_unknown_country_is_none_and_a_new_one_is_itself() {
        assert_eq!(from_history("Unspecified"), None);
        assert_eq!(from_history(" "), None);
        assert_eq!(from_history("Atlantis").as_deref(), Some("Atlantis"));
        for code in ["", "XX", "T1", "Norway", "\u{0}"] {
            assert_eq!(from_iso(code), None, "{code}");
        }
    }
}
