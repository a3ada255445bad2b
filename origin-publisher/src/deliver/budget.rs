//! Throttles calls of the KV API to its limit, for all edges together whose calls count together.
//!
//! The provider allows 1,200 requests in 5 minutes per user, over all its APIs, and blocks every
//! call for 5 minutes once that is exceeded. So a bucket of our own stays below it, and leaves a
//! reserve for whatever else uses the same account. Several origins share an account: each has its share
//! of the bucket, and heeds what the provider says is left.
//!
//! A bucket begins empty: an origin that starts again and again never calls more often than its share.

use std::{
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::rate_limit::Left;
use crate::config::Share;
use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

/// Requests at once, after a quiet time, of all origins.
const BURST: f64 = 100.0;

/// How far apart requests are for ever, of all origins. With the burst that is at most
/// 100 + 300 * 3 = 1,000 in any 5 minutes: 200 below the limit.
const EVERY: Duration = Duration::from_nanos(1_000_000_000 / 3);

/// How long the provider blocks every call of a user who exceeded the limit.
pub const PROVIDER_BLOCK: Duration = Duration::from_mins(5);

/// Tokio's clock, so that tests can pause it.
#[derive(Debug, Clone)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.start.elapsed())
    }
}

/// This origin's budget of one account. Share it among all that call with its token.
#[derive(Debug)]
pub struct Budget {
    share: Share,
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
    pace: Mutex<Pace>,
}

/// What the provider asks for, beyond its limit.
#[derive(Debug)]
struct Pace {
    /// No request goes before.
    not_before: Instant,
    /// So far apart requests go, until then.
    apart: Duration,
    until: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Share::ALL)
    }
}

impl Budget {
    /// Makes the budget of an origin with this share of its account's. It begins empty.
    #[must_use]
    pub fn new(share: Share) -> Self {
        let clock = TokioClock {
            start: Instant::now(),
        };
        let burst = whole(BURST * share.get());
        let every = EVERY.div_f64(share.get());
        let quota = Quota::with_period(every)
            .unwrap_or(Quota::per_second(NonZeroU32::MIN))
            .allow_burst(burst);
        let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
        // It would begin full; so many are there.
        let _ = limiter.check_n(burst);
        Self {
            share,
            limiter,
            pace: Mutex::new(Pace {
                not_before: clock.start,
                apart: Duration::ZERO,
                until: clock.start,
            }),
            clock,
        }
    }

    /// Waits until one more request may be made.
    pub async fn permit(&self) {
        while let Err(until) = self.take() {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Takes a request out of the budget, or tells when there may be one.
    fn take(&self) -> Result<(), Instant> {
        let mut pace = self.pace();
        let now = Instant::now();
        if now < pace.not_before {
            return Err(pace.not_before);
        }
        self.limiter
            .check()
            .map_err(|not_until| now + not_until.wait_time_from(self.clock.now()))?;
        if now < pace.until {
            pace.not_before = now + pace.apart;
        }
        Ok(())
    }

    /// Spreads this origin's share of what the provider says is left over the time that it is to last. Where
    /// the provider has several rules, the one that asks for most counts.
    pub fn heed(&self, left: &[Left]) {
        let of_rule = |left: &Left| {
            let mine = f64::from(left.requests) * self.share.get();
            (left.reset.div_f64(mine.max(1.0)), left.reset)
        };
        let Some((apart, reset)) = left.iter().map(of_rule).max() else {
            return;
        };
        let now = Instant::now();
        let mut pace = self.pace();
        pace.apart = apart;
        pace.until = now + reset;
        pace.not_before = pace.not_before.max(now + apart);
    }

    /// Makes no request for this long: the provider said so.
    pub fn block(&self, wait: Duration) {
        let mut pace = self.pace();
        pace.not_before = pace.not_before.max(Instant::now() + wait);
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Nothing under this lock can leave it half changed.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a number without its fraction, and at least 1.
fn whole(number: f64) -> NonZeroU32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the burst is neither"
    )]
    let number = number as u32;
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::VecDeque, rc::Rc};

    use super::*;

    /// The provider: counts the calls of all, and blocks all once there are too many.
    #[derive(Default)]
    struct Provider {
        calls: VecDeque<Instant>,
        blocked_until: Option<Instant>,
        blocks: u32,
    }

    const LIMIT: usize = 1200;
    const WINDOW: Duration = Duration::from_mins(5);

    impl Provider {
        /// Takes a call. Tells what is left, or that it is refused.
        fn call(&mut self) -> Result<Left, ()> {
            let now = Instant::now();
            if self.blocked_until.is_some_and(|until| now < until) {
                return Err(());
            }
            while self.calls.front().is_some_and(|at| *at + WINDOW <= now) {
                self.calls.pop_front();
            }
            if self.calls.len() == LIMIT {
                self.blocked_until = Some(now + PROVIDER_BLOCK);
                self.blocks += 1;
                return Err(());
            }
            self.calls.push_back(now);
            let oldest = self.calls.front().copied().unwrap_or(now);
            Ok(Left {
                requests: u32::try_from(LIMIT - self.calls.len()).unwrap(),
                reset: oldest + WINDOW - now,
            })
        }
    }

    /// Runs an origin with `share` and three edges of one account, each of which writes once a second, and
    /// that crashes after each of `lives`, in turn. `heeds` what the provider says is left, or not.
    async fn origin(provider: Rc<RefCell<Provider>>, share: Share, lives: [u64; 3], heeds: bool) {
        for life in lives.into_iter().cycle() {
            let budget = Budget::new(share);
            let edge = async || {
                loop {
                    let next_at = Instant::now() + Duration::from_secs(1);
                    budget.permit().await;
                    let answer = provider.borrow_mut().call();
                    match answer {
                        Ok(left) if heeds => budget.heed(&[left]),
                        Ok(_) => {}
                        Err(()) => budget.block(PROVIDER_BLOCK),
                    }
                    tokio::time::sleep_until(next_at).await;
                }
            };
            let edges = async { tokio::join!(edge(), edge(), edge()) };
            let _ = tokio::time::timeout(Duration::from_secs(life), edges).await;
        }
    }

    /// Runs five origins for two hours. Returns how often the provider blocked, and the calls it counts.
    async fn five(share: Share, heeds: bool) -> (u32, usize) {
        let provider = Rc::new(RefCell::new(Provider::default()));
        let origin = |lives| origin(Rc::clone(&provider), share, lives, heeds);
        let all = async {
            tokio::join!(
                origin([100_000; 3]),
                origin([2, 2, 2]),
                origin([1, 5, 30]),
                origin([120, 1, 1]),
                origin([600, 3, 40]),
            )
        };
        let _ = tokio::time::timeout(Duration::from_hours(2), all).await;
        let provider = provider.borrow();
        (provider.blocks, provider.calls.len())
    }

    #[tokio::test(start_paused = true)]
    async fn origins_that_share_an_account_and_crash_again_and_again_are_never_blocked() {
        let fifth = Share::try_from(0.2).unwrap();
        let (blocks, calls) = five(fifth, false).await;
        assert_eq!(blocks, 0);
        assert!(calls > 600, "the budget is also used: {calls}");
        assert_eq!(five(fifth, true).await.0, 0);
        assert_ne!(five(Share::ALL, false).await.0, 0, "it can be too much");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_spread_over_the_time_that_it_is_to_last() {
        for (requests, reset, wait) in [(20, 30, 3), (1000, 300, 0), (1, 7, 7), (0, 9, 9)] {
            let budget = Budget::new(Share::try_from(0.5).unwrap());
            tokio::time::sleep(Duration::from_mins(5)).await;
            let start = Instant::now();
            let reset = Duration::from_secs(reset);
            budget.heed(&[Left { requests, reset }]);
            budget.permit().await;
            assert_eq!(start.elapsed().as_secs(), wait, "{requests}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_spread_over_all_edges_together() {
        let budget = Budget::default();
        tokio::time::sleep(Duration::from_mins(5)).await;
        let reset = Duration::from_secs(30);
        budget.heed(&[Left {
            requests: 10,
            reset,
        }]);
        let start = Instant::now();
        tokio::join!(budget.permit(), budget.permit(), budget.permit());
        assert_eq!(start.elapsed(), Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_begins_empty_and_fills() {
        let (budget, start) = (Budget::default(), Instant::now());
        budget.permit().await;
        assert!(start.elapsed() >= Duration::from_millis(333));
        tokio::time::sleep(Duration::from_mins(1)).await;
        let start = Instant::now();
        for _ in 0..100 {
            budget.permit().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn no_five_minutes_see_more_than_the_limit_less_the_reserve() {
        let budget = Budget::default();
        let start = Instant::now();
        let mut made = Vec::new();
        while start.elapsed() < Duration::from_mins(15) {
            budget.permit().await;
            made.push(start.elapsed());
        }
        for (index, at) in made.iter().enumerate() {
            let end = *at + Duration::from_mins(5);
            let window = made[index..]
                .iter()
                .take_while(|other| **other < end)
                .count();
            assert!(window <= 1001, "{window} requests from {at:?}");
        }
        assert!(
            made.len() >= 2700,
            "the budget is also used: {}",
            made.len()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_holds_everyone_back_until_its_end() {
        let budget = Budget::default();
        let start = Instant::now();
        budget.block(Duration::from_secs(7));
        budget.block(Duration::from_secs(3));
        budget.permit().await;
        assert_eq!(start.elapsed(), Duration::from_secs(7));
    }
}
