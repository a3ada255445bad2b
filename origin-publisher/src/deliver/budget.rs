//! Throttles calls of the KV API to its limit, for all edges together whose calls count together.
//!
//! The provider allows 1,200 requests in 5 minutes per user, over all its APIs, and blocks every
//! call for 5 minutes once that is exceeded. So a bucket of our own stays below it, and leaves a
//! reserve for whatever else uses the same account.

use std::{
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use tokio::time::Instant;

/// Requests at once, after a quiet time.
const BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Requests a second, for ever. With the burst that is at most 100 + 300 * 3 = 1,000 in any
/// 5 minutes: 200 below the limit.
const PER_SECOND: NonZeroU32 = NonZeroU32::new(3).unwrap();

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

/// The budget of one account. Share it among all that call with its token.
#[derive(Debug)]
pub struct Budget {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
    blocked_until: Mutex<Option<Instant>>,
}

impl Default for Budget {
    fn default() -> Self {
        let clock = TokioClock {
            start: Instant::now(),
        };
        let quota = Quota::per_second(PER_SECOND).allow_burst(BURST);
        Self {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            blocked_until: Mutex::new(None),
        }
    }
}

impl Budget {
    /// Waits until one more request may be made.
    pub async fn permit(&self) {
        loop {
            if let Some(until) = self.blocked_until() {
                tokio::time::sleep_until(until).await;
                continue;
            }
            match self.limiter.check() {
                Ok(()) => return,
                Err(not_until) => {
                    let wait = not_until.wait_time_from(self.clock.now());
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Makes no request for this long: the provider said so.
    pub fn block(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut blocked = self
            .blocked_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *blocked = Some(blocked.map_or(until, |known| known.max(until)));
    }

    fn blocked_until(&self) -> Option<Instant> {
        let mut blocked = self
            .blocked_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *blocked = blocked.filter(|until| *until > Instant::now());
        *blocked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
