//! How the logins of one step ended.

use std::{collections::BTreeMap, ops::Range, time::Duration};

/// How a login ended for whoever waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With the offer.
    Offer,
    /// It was refused as it should be where there is too much: 503 with `Retry-After`.
    Refused,
    /// It was accepted, and told that there is no offer.
    Failed,
    /// It was accepted, and nothing came.
    Lost,
    /// It had another answer, or none.
    Other(String),
}

/// One login. Times count from the beginning of its step.
#[derive(Debug, Clone)]
pub struct Visit {
    /// When it was to begin: whoever is late to send it is part of what is measured.
    pub due: Duration,
    pub ended: Duration,
    pub ending: Ending,
}

/// How all of a step ended.
#[derive(Debug, Default)]
pub struct Tally {
    /// How long each offer took, in growing order. From the logins that were due in the window.
    offers: Vec<Duration>,
    /// How long each refusal took, in growing order.
    refusals: Vec<Duration>,
    /// How many logins were due in the window.
    pub due: usize,
    pub failed: usize,
    /// Of the whole step: the warm-up loses none either.
    pub lost: usize,
    pub others: BTreeMap<String, usize>,
    /// Offers that came in the window, whenever their logins were due, a second.
    pub offers_per_second: f64,
}

impl Tally {
    /// Counts what was due, or came, in a window of a step.
    pub fn of(visits: &[Visit], window: &Range<Duration>) -> Self {
        let mut tally = Self::default();
        let mut came = 0_u32;
        for visit in visits {
            if visit.ending == Ending::Offer && window.contains(&visit.ended) {
                came += 1;
            }
            if visit.ending == Ending::Lost {
                tally.lost += 1;
            }
            if !window.contains(&visit.due) {
                continue;
            }
            tally.due += 1;
            let took = visit.ended.saturating_sub(visit.due);
            match &visit.ending {
                Ending::Offer => tally.offers.push(took),
                Ending::Refused => tally.refusals.push(took),
                Ending::Failed => tally.failed += 1,
                Ending::Lost => {}
                Ending::Other(what) => *tally.others.entry(what.clone()).or_default() += 1,
            }
        }
        tally.offers.sort_unstable();
        tally.refusals.sort_unstable();
        let seconds = window.end.saturating_sub(window.start).as_secs_f64();
        tally.offers_per_second = f64::from(came) / seconds;
        tally
    }

    /// The time within which this part of those who got an offer had it.
    pub fn offer_within(&self, part: f64) -> Option<Duration> {
        percentile(&self.offers, part)
    }

    /// The time within which this part of the refusals came.
    pub fn refusal_within(&self, part: f64) -> Option<Duration> {
        percentile(&self.refusals, part)
    }

    pub fn refused(&self) -> usize {
        self.refusals.len()
    }

    /// Whether this part of all logins had their offer within `limit`: one that was refused had none.
    pub fn keeps(&self, part: f64, limit: Duration) -> bool {
        let in_time = self.offers.partition_point(|took| *took < limit);
        self.due > 0 && in_time >= rank(self.due, part)
    }
}

/// The value at or below which this part of the values lies (the nearest rank); `sorted` grows.
pub fn percentile(sorted: &[Duration], part: f64) -> Option<Duration> {
    sorted
        .get(rank(sorted.len(), part).checked_sub(1)?)
        .copied()
}

/// How many of `count` are this part of them, rounded up.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of logins are far below 2^52"
)]
fn rank(count: usize, part: f64) -> usize {
    (count as f64 * part).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn visit(due: u64, ended: u64, ending: Ending) -> Visit {
        Visit {
            due: ms(due),
            ended: ms(ended),
            ending,
        }
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let hundred: Vec<Duration> = (1..=100).map(ms).collect();
        assert_eq!(percentile(&hundred, 0.5), Some(ms(50)));
        assert_eq!(percentile(&hundred, 0.99), Some(ms(99)));
        assert_eq!(percentile(&hundred, 1.0), Some(ms(100)));
        assert_eq!(percentile(&hundred[..3], 0.5), Some(ms(2)));
        assert_eq!(percentile(&hundred[..1], 0.99), Some(ms(1)));
        assert_eq!(percentile(&[], 0.99), None);
    }

    #[test]
    fn only_what_was_due_in_the_window_is_timed_and_everything_lost_counts() {
        let visits = [
            visit(100, 1_500, Ending::Offer),
            visit(1_000, 1_030, Ending::Offer),
            visit(1_900, 1_910, Ending::Offer),
            visit(1_950, 3_500, Ending::Offer),
            visit(1_200, 1_204, Ending::Refused),
            visit(1_300, 1_310, Ending::Failed),
            visit(1_400, 1_401, Ending::Other("500".to_owned())),
            visit(0, 60_000, Ending::Lost),
            visit(3_000, 3_001, Ending::Offer),
        ];
        let tally = Tally::of(&visits, &(ms(1_000)..ms(3_000)));
        assert_eq!(tally.due, 6);
        assert_eq!(tally.offers, [ms(10), ms(30), ms(1_550)]);
        assert_eq!(tally.refusal_within(0.99), Some(ms(4)));
        assert_eq!((tally.failed, tally.lost, tally.refused()), (1, 1, 1));
        assert_eq!(tally.others, BTreeMap::from([("500".to_owned(), 1)]));
        // Three came in these two seconds, one of them for a login of the warm-up.
        assert!((tally.offers_per_second - 1.5).abs() < 1e-9);
    }

    #[test]
    fn a_limit_is_kept_only_where_enough_of_all_logins_had_their_offer_in_time() {
        let tally = |in_time: usize, late: usize, refused: usize| {
            let mut visits = vec![visit(0, 249, Ending::Offer); in_time];
            visits.extend(vec![visit(0, 250, Ending::Offer); late]);
            visits.extend(vec![visit(0, 1, Ending::Refused); refused]);
            Tally::of(&visits, &(ms(0)..ms(1_000)))
        };
        let keeps = |tally: Tally| tally.keeps(0.99, ms(250));
        assert!(keeps(tally(99, 1, 0)));
        assert!(!keeps(tally(98, 2, 0)));
        assert!(keeps(tally(99, 0, 1)));
        assert!(!keeps(tally(98, 0, 2)));
        assert!(!keeps(tally(0, 0, 0)));
    }
}
