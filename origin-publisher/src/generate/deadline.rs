//! The moment at which a generation must end, and a switch to end it sooner.
//!
//! Cooperative: the pool gives up waiting by itself, the generator stops when it asks here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::GenerateError;

/// When to stop. Clones share the switch.
#[derive(Debug, Clone)]
pub struct Deadline {
    /// `None` only when the time-out is too large for the platform's clock.
    at: Option<Instant>,
    cancelled: Arc<AtomicBool>,
}

impl Deadline {
    /// Makes a deadline `timeout` from now.
    #[must_use]
    pub fn after(timeout: Duration) -> Self {
        Self {
            at: Instant::now().checked_add(timeout),
            cancelled: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Ends it now, for all clones: nobody waits for the result any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Returns whether the moment has come or someone cancelled.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.at.is_some_and(|at| Instant::now() >= at)
    }

    /// Fails once the deadline has passed, for `?` between two steps of work.
    ///
    /// # Errors
    /// [`GenerateError::TimedOut`] once the deadline has passed.
    pub fn check(&self) -> Result<(), GenerateError> {
        if self.has_passed() {
            Err(GenerateError::TimedOut)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_when_its_time_has_come() {
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::from_hours(1)).has_passed());
        assert!(!Deadline::after(Duration::MAX).has_passed());
    }

    #[test]
    fn cancelling_one_clone_ends_all() {
        let deadline = Deadline::after(Duration::from_hours(1));
        let clone = deadline.clone();
        assert_eq!(clone.check(), Ok(()));
        deadline.cancel();
        assert_eq!(clone.check(), Err(GenerateError::TimedOut));
    }
}
