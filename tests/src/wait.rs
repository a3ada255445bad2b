//! Waiting: for a condition, never for a time. Every wait says what it waited for when it fails.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How long anything may take before a test fails: far above what it takes on an idle machine,
/// because the machine is shared and noisy.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The same for whatever has much to do.
pub const LONG: Duration = Duration::from_mins(2);

/// How often a condition is looked at that cannot call back.
const POLL: Duration = Duration::from_millis(50);

/// Awaits `future`.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    within_time(PATIENCE, what, future).await
}

/// Awaits `future` for at most `patience`.
pub async fn within_time<T>(patience: Duration, what: &str, future: impl Future<Output = T>) -> T {
    let value = tokio::time::timeout(patience, future).await;
    value.unwrap_or_else(|_| panic!("waited {patience:?} in vain for {what}"))
}

/// Asks `probe` again and again until it gives a value.
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(POLL).await;
        }
    })
    .await
}

/// Asks `probe` again and again until it gives a value, blocking this thread.
pub fn until_blocking<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain for {what}"
        );
        std::thread::sleep(POLL);
    }
}
