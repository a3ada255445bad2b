//! Which rates are tried, one after the other, until the highest one that is kept up with is known.

/// Steps in a row that fail until no higher one is tried: one alone may have been the machine's fault.
const FAILURES: usize = 2;

/// A climb over growing rates, then some steps between the highest that passed and the lowest above it
/// that failed.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// Those that are left, in growing order.
    rates: std::vec::IntoIter<u32>,
    /// How many steps between are left.
    between: usize,
    failures_in_a_row: usize,
    passed: Vec<u32>,
    failed: Vec<u32>,
}

impl Ladder {
    /// A ladder of `rates`, which grow, with at most `between` steps between two of them.
    pub fn new(rates: Vec<u32>, between: usize) -> Self {
        Self {
            rates: rates.into_iter(),
            between,
            failures_in_a_row: 0,
            passed: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// The rate of the next step; `None` where no other is to be tried.
    pub fn next(&mut self) -> Option<u32> {
        if self.failures_in_a_row < FAILURES
            && let Some(rate) = self.rates.next()
        {
            return Some(rate);
        }
        self.between = self.between.checked_sub(1)?;
        let best = self.best()?;
        let failed = self.failed.iter().copied().filter(|rate| *rate > best);
        let middle = u32::midpoint(best, failed.min()?);
        // Whatever is not well apart from both is the same rate.
        (middle > best + best / 20).then_some(middle)
    }

    /// Takes down how a step went.
    pub fn record(&mut self, rate: u32, passed: bool) {
        if passed {
            self.failures_in_a_row = 0;
            self.passed.push(rate);
        } else {
            self.failures_in_a_row += 1;
            self.failed.push(rate);
        }
    }

    /// The highest rate that passed.
    pub fn best(&self) -> Option<u32> {
        self.passed.iter().copied().max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates that are tried at a server that keeps up with those that `passes` names, and the best.
    fn climb(
        rates: &[u32],
        between: usize,
        passes: impl Fn(u32) -> bool,
    ) -> (Vec<u32>, Option<u32>) {
        let mut ladder = Ladder::new(rates.to_vec(), between);
        let mut tried = Vec::new();
        while let Some(rate) = ladder.next() {
            tried.push(rate);
            ladder.record(rate, passes(rate));
        }
        (tried, ladder.best())
    }

    #[test]
    fn two_failures_in_a_row_end_the_climb() {
        let rates = [50, 100, 200, 400, 800];
        assert_eq!(
            climb(&rates, 0, |rate| rate < 100),
            (vec![50, 100, 200], Some(50))
        );
        // Some that failed by chance do not, nor are they the next one above the best.
        let chance = |rate| [50, 200, 800].contains(&rate);
        assert_eq!(climb(&rates, 2, chance), (rates.to_vec(), Some(800)));
        let (tried, best) = climb(&rates, 1, |rate| [50, 200].contains(&rate));
        assert_eq!(tried, [50, 100, 200, 400, 800, 300]);
        assert_eq!(best, Some(200));
        assert_eq!(climb(&rates, 3, |_| false), (vec![50, 100], None));
    }

    #[test]
    fn steps_between_halve_what_is_not_known() {
        let (tried, best) = climb(&[100, 200, 400, 800], 2, |rate| rate <= 260);
        assert_eq!(tried, [100, 200, 400, 800, 300, 250]);
        assert_eq!(best, Some(250));
        // Nothing is known above the last.
        assert_eq!(climb(&[100, 200], 2, |_| true), (vec![100, 200], Some(200)));
        // What is as good as the same is not tried.
        assert_eq!(
            climb(&[100, 104, 110], 2, |rate| rate <= 100).0,
            [100, 104, 110]
        );
    }
}
