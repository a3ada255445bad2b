//! How many logins have settled lately.

/// After this time something counts for a third of what it did, in milliseconds.
const FADES_MS: f64 = 1_000.0;

/// A rate that forgets what was long ago.
#[derive(Debug, Default)]
pub(super) struct Rate {
    count: f64,
    at: u64,
}

impl Rate {
    /// Notes that one more has settled.
    pub(super) fn note(&mut self, now: u64) {
        self.count = self.faded(now) + 1.0;
        self.at = now;
    }

    /// Returns how many settle in a millisecond.
    pub(super) fn per_ms(&self, now: u64) -> f64 {
        self.faded(now) / FADES_MS
    }

    fn faded(&self, now: u64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "what is that long ago counts for nothing"
        )]
        let passed = now.saturating_sub(self.at) as f64;
        self.count * (-passed / FADES_MS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let mut rate = Rate::default();
        for n in 0..5_000 {
            rate.note(n * 4);
        }
        let per_s = |rate: &Rate, now| rate.per_ms(now) * 1000.0;
        assert!((245.0..255.0).contains(&per_s(&rate, 20_000)));
        assert!(per_s(&rate, 30_000) < 1.0);
    }
}
