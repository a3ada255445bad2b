//! In which part of the world a relay is, and which one a subscriber is sent to.

use serde::{Deserialize, Serialize};

/// The platform's regions, named as its location hints are
/// ([data location](https://developers.cloudflare.com/durable-objects/reference/data-location/)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// Western North America.
    Wnam,
    /// Eastern North America.
    Enam,
    /// South America.
    Sam,
    /// Western Europe.
    Weur,
    /// Eastern Europe.
    Eeur,
    /// Asia and the Pacific.
    Apac,
    /// Oceania.
    Oc,
    /// Africa.
    Afr,
    /// The Middle East.
    Me,
}

/// West of this longitude is western North America: the Rocky Mountains' plains.
const NORTH_AMERICA_PARTS_AT: f64 = -100.0;

/// East of this longitude is eastern Europe: past Berlin and Prague, before Vienna and Stockholm.
const EUROPE_PARTS_AT: f64 = 15.0;

/// The countries of the continent Asia that the Middle East's region is nearest to.
const MIDDLE_EAST: [&str; 15] = [
    "AE", "BH", "CY", "IL", "IQ", "IR", "JO", "KW", "LB", "OM", "PS", "QA", "SA", "SY", "YE",
];

impl Region {
    /// Every region.
    pub const ALL: [Self; 9] = [
        Self::Wnam,
        Self::Enam,
        Self::Sam,
        Self::Weur,
        Self::Eeur,
        Self::Apac,
        Self::Oc,
        Self::Afr,
        Self::Me,
    ];

    /// Returns the location hint.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Wnam => "wnam",
            Self::Enam => "enam",
            Self::Sam => "sam",
            Self::Weur => "weur",
            Self::Eeur => "eeur",
            Self::Apac => "apac",
            Self::Oc => "oc",
            Self::Afr => "afr",
            Self::Me => "me",
        }
    }

    /// Reads a location hint; `None` for anything else.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|region| region.code() == code)
    }

    /// Returns the region nearest to a client, by what the platform says of a request in `request.cf`: the
    /// `continent` in two letters, the `country` in two letters (ISO 3166-1) and the `longitude` in degrees
    /// east. Empty texts and `None` where it says nothing, as of Tor; that is taken for eastern North
    /// America, which most of the world's cables reach.
    #[must_use]
    pub fn of_client(continent: &str, country: &str, longitude: Option<f64>) -> Self {
        let east_of = |line: f64| longitude.is_some_and(|longitude| longitude > line);
        let west_of = |line: f64| longitude.is_some_and(|longitude| longitude < line);
        match continent {
            "NA" if west_of(NORTH_AMERICA_PARTS_AT) => Self::Wnam,
            "SA" | "AN" => Self::Sam,
            "EU" if east_of(EUROPE_PARTS_AT) => Self::Eeur,
            "EU" => Self::Weur,
            "AS" if country == "TR" => Self::Eeur,
            "AS" if MIDDLE_EAST.contains(&country) => Self::Me,
            "AS" => Self::Apac,
            "OC" => Self::Oc,
            "AF" => Self::Afr,
            _ => Self::Enam,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_as_it_was_written() {
        for region in Region::ALL {
            assert_eq!(Region::parse(region.code()), Some(region));
            let json = format!("\"{}\"", region.code());
            assert_eq!(serde_json::to_string(&region).unwrap(), json);
        }
        assert_eq!(Region::parse("many"), None);
    }

    #[test]
    fn cities_are_in_the_region_one_expects() {
        for (city, continent, country, longitude, region) in [
            ("Seattle", "NA", "US", Some(-122.3), Region::Wnam),
            ("Chicago", "NA", "US", Some(-87.6), Region::Enam),
            ("somewhere in Canada", "NA", "CA", None, Region::Enam),
            ("Lima", "SA", "PE", Some(-77.0), Region::Sam),
            ("London", "EU", "GB", Some(-0.1), Region::Weur),
            ("Berlin", "EU", "DE", Some(13.4), Region::Weur),
            ("Warsaw", "EU", "PL", Some(21.0), Region::Eeur),
            ("Istanbul", "AS", "TR", Some(29.0), Region::Eeur),
            ("Dubai", "AS", "AE", Some(55.3), Region::Me),
            ("Tokyo", "AS", "JP", Some(139.7), Region::Apac),
            ("Sydney", "OC", "AU", Some(151.2), Region::Oc),
            ("Lagos", "AF", "NG", Some(3.4), Region::Afr),
            ("Tor", "T1", "T1", None, Region::Enam),
            ("nowhere", "", "", Some(f64::NAN), Region::Enam),
        ] {
            assert_eq!(
                Region::of_client(continent, country, longitude),
                region,
                "{city}"
            );
        }
    }
}
