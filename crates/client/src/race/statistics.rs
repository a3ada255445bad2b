//! Percentiles of a few durations.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// The spread of some durations, exact to three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// The shortest, in JSON as milliseconds.
    #[serde(rename = "min_ms", serialize_with = "as_ms")]
    pub min: Duration,
    /// Half of all are not longer.
    #[serde(rename = "p50_ms", serialize_with = "as_ms")]
    pub p50: Duration,
    /// 95 of 100 are not longer.
    #[serde(rename = "p95_ms", serialize_with = "as_ms")]
    pub p95: Duration,
    /// The longest.
    #[serde(rename = "max_ms", serialize_with = "as_ms")]
    pub max: Duration,
}

impl Percentiles {
    /// Returns the spread of `durations`; `None` of none.
    #[must_use]
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut histogram = Histogram::<u64>::new(3).ok()?;
        for duration in durations {
            let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            histogram.record(micros).ok()?;
        }
        let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Self {
            min: Duration::from_micros(histogram.min()),
            p50: at(0.5),
            p95: at(0.95),
            max: Duration::from_micros(histogram.max()),
        })
    }
}

/// Milliseconds with one decimal: finer is noise.
#[must_use]
pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Writes a duration as milliseconds.
///
/// # Errors
/// The serializer's own.
pub fn as_ms<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(ms(*duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_durations() {
        let spread = Percentiles::of((1..=100).map(Duration::from_millis)).unwrap();
        let near = |found: Duration, ms: u64| found.as_millis().abs_diff(u128::from(ms)) <= 1;
        assert!(near(spread.min, 1) && near(spread.p50, 50), "{spread:?}");
        assert!(near(spread.p95, 95) && near(spread.max, 100), "{spread:?}");
    }

    #[test]
    fn nothing_has_no_spread() {
        assert_eq!(Percentiles::of([]), None);
    }
}
