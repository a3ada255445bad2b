//! When which update is published.

use std::time::Duration;

/// What a group of updates waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Its time: so many updates are due a second, whether or not the server keeps up, and their times of
    /// publishing are when they are due: a slow server cannot make itself look better by holding up the
    /// publisher.
    PerSecond(f64),
    /// That the server has taken the group before.
    Taken,
    /// That the group before has arrived everywhere.
    Delivered,
}

/// How many updates, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// How many updates in all.
    pub total: u64,
    /// How many at once; at least 1.
    pub burst: u64,
    /// What a group waits for.
    pub pace: Pace,
}

impl Schedule {
    /// Returns when the update with this number is due, after the beginning; the beginning itself without a
    /// rate.
    #[must_use]
    pub fn at(&self, number: u64) -> Duration {
        let burst = self.burst.max(1);
        let first_of_group = number / burst * burst;
        match self.pace {
            #[expect(
                clippy::cast_precision_loss,
                reason = "there are not so many updates that a double cannot count them"
            )]
            Pace::PerSecond(rate) => {
                Duration::try_from_secs_f64(first_of_group as f64 / rate).unwrap_or(Duration::MAX)
            }
            Pace::Taken | Pace::Delivered => Duration::ZERO,
        }
    }

    /// Returns how many go now, when the next has the number `next`: with a rate all that are due, else a
    /// group; `most` at most.
    #[must_use]
    pub fn count(&self, next: u64, elapsed: Duration, most: u64) -> u64 {
        let burst = self.burst.max(1);
        let left = self.total.saturating_sub(next);
        let most = most.min(left);
        if !matches!(self.pace, Pace::PerSecond(_)) {
            return most.min(burst - next % burst);
        }
        (0..most)
            .take_while(|ahead| self.at(next + ahead) <= elapsed)
            .count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(burst: u64, pace: Pace) -> Schedule {
        Schedule {
            total: 100,
            burst,
            pace,
        }
    }

    #[test]
    fn with_a_rate_groups_are_due_at_fixed_times_and_what_is_late_goes_together() {
        let schedule = schedule(5, Pace::PerSecond(10.0));
        let ms = Duration::from_millis;
        let at: Vec<Duration> = [0, 4, 5, 10].map(|number| schedule.at(number)).to_vec();
        assert_eq!(at, [ms(0), ms(0), ms(500), ms(1000)]);
        assert_eq!(schedule.count(0, ms(0), 500), 5);
        assert_eq!(schedule.count(5, ms(499), 500), 0);
        assert_eq!(schedule.count(5, ms(1000), 500), 10);
        assert_eq!(schedule.count(5, ms(1000), 7), 7);
        assert_eq!(schedule.count(95, Duration::MAX, 500), 5);
    }

    #[test]
    fn without_a_rate_a_group_goes_whenever_it_can() {
        let schedule = schedule(30, Pace::Taken);
        assert_eq!(schedule.at(99), Duration::ZERO);
        let counts = [(0, 500), (0, 20), (20, 20), (90, 500)]
            .map(|(next, most)| schedule.count(next, Duration::ZERO, most));
        assert_eq!(counts, [30, 20, 10, 10]);
    }
}
