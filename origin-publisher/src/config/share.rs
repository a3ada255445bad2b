//! A share of something: above 0, at most 1.

use serde::{Deserialize, Serialize};

/// A share; the default is all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// It is a number, and so equal to itself.
impl Eq for Share {}

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1.0);

    /// Returns it as a number above 0, at most 1.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::ALL
    }
}

impl TryFrom<f64> for Share {
    type Error = &'static str;

    fn try_from(share: f64) -> Result<Self, Self::Error> {
        // Less would be a call in hours.
        if (0.001..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err("must be 0.001 to 1")
        }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_of_one_and_not_nothing() {
        assert_eq!(Share::try_from(0.2).map(Share::get), Ok(0.2));
        assert_eq!(Share::try_from(1.0), Ok(Share::ALL));
        for none in [0.0, -0.5, 1.01, f64::NAN, f64::INFINITY] {
            assert!(Share::try_from(none).is_err(), "{none}");
        }
    }
}
