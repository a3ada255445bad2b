//! The one alarm of a Durable Object, set for whatever is due first.

use std::cell::Cell;

use worker::State;

use crate::{http::error::Error, platform};

/// How long after its time an alarm that has not rung counts as lost, in milliseconds.
const LOST_AFTER_MS: u64 = 1_000;

/// The alarm, as far as this instance of its object knows. Times are in milliseconds since the Unix
/// epoch.
#[derive(Debug, Default)]
pub struct Alarm {
    /// For when it is set.
    set_for: Cell<Option<u64>>,
    /// For no time before this one may it be set.
    not_before: Cell<u64>,
}

impl Alarm {
    /// Sets the alarm for `at_ms`, unless it is set for then or sooner. Nothing is awaited before that,
    /// so it is stored together with whatever the same turn stores.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub async fn set(&self, state: &State, at_ms: u64) -> Result<(), Error> {
        let now_ms = platform::now_ms();
        let Some(at_ms) = self.plan(at_ms, now_ms) else {
            return Ok(());
        };
        let offset = i64::try_from(at_ms - now_ms).unwrap_or(i64::MAX);
        let set = state.storage().set_alarm(offset).await;
        if set.is_err() {
            self.set_for.set(None);
        }
        Ok(set?)
    }

    /// Notes that the alarm rings: the first that an object does then.
    pub fn rang(&self) {
        self.rang_at(platform::now_ms());
    }

    /// The platform takes an alarm that is set for the time of the one that is ringing, or before it, for
    /// that very one, and drops it when that one has ended.
    fn rang_at(&self, now_ms: u64) {
        self.set_for.set(None);
        self.not_before.set(now_ms + 1);
    }

    /// Returns for when to set it, if it is to be set.
    fn plan(&self, at_ms: u64, now_ms: u64) -> Option<u64> {
        let at_ms = at_ms.max(now_ms).max(self.not_before.get());
        let set_for = self.set_for.get();
        if set_for.is_some_and(|set_for| set_for <= at_ms && now_ms < set_for + LOST_AFTER_MS) {
            return None;
        }
        self.set_for.set(Some(at_ms));
        Some(at_ms)
    }
}

#[cfg(test)]
mod tests {
    use headstart_edge_rules::desk::{Desk, DeskTimes, Effect};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_earliest_time_wins() {
        let alarm = Alarm::default();
        assert_eq!(alarm.plan(500, 100), Some(500));
        assert_eq!(alarm.plan(600, 110), None);
        assert_eq!(alarm.plan(500, 110), None);
        assert_eq!(alarm.plan(400, 120), Some(400));
    }

    #[test]
    fn what_is_overdue_is_due_now() {
        assert_eq!(Alarm::default().plan(50, 100), Some(100));
    }

    #[test]
    fn an_alarm_that_rings_is_never_set_for_its_own_time() {
        let alarm = Alarm::default();
        assert_eq!(alarm.plan(100, 50), Some(100));
        alarm.rang_at(100);
        assert_eq!(alarm.plan(100, 100), Some(101));
        alarm.rang_at(101);
        assert_eq!(alarm.plan(90, 107), Some(107), "it has rung for 6 ms");
    }

    #[test]
    fn one_that_has_not_rung_for_a_second_is_set_again() {
        let alarm = Alarm::default();
        assert_eq!(alarm.plan(100, 50), Some(100));
        assert_eq!(alarm.plan(100, 100 + LOST_AFTER_MS - 1), None);
        let late = 100 + LOST_AFTER_MS;
        assert_eq!(alarm.plan(100, late), Some(late));
        assert_eq!(alarm.plan(late + 5, late), None);
    }

    #[test]
    fn a_desk_fails_its_logins_though_each_alarm_rings_in_the_very_millisecond_it_is_set_for() {
        let times = DeskTimes {
            lease_ms: 1_000,
            login_timeout_ms: 1_000,
            settle_ms: 1_000,
        };
        let (mut desk, alarm) = (Desk::new(times), Alarm::default());
        let arm = |desk: &Desk, now| alarm.plan(desk.next_deadline()?, now);
        // More than one tick deals with.
        for n in 0..2_000 {
            desk.enqueue(Uuid::from_u128(n), 0).unwrap();
        }
        let mut rings_at = arm(&desk, 0);
        let mut failed = vec![];
        while let Some(now) = rings_at.filter(|_| failed.len() < 2_000) {
            alarm.rang_at(now);
            let effects = desk.tick(now).into_iter();
            failed.extend(effects.filter(|effect| matches!(effect, Effect::Fail { .. })));
            // The platform drops one for the time of the one that rings.
            rings_at = arm(&desk, now).filter(|at| *at > now);
        }
        assert_eq!(failed.len(), 2_000);
    }
}
