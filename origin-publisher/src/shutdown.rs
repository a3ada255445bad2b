//! Shutdown in two steps, shared by everything that runs: take nothing new, then stop.

use tokio_util::sync::CancellationToken;

/// Tells everything that runs how far the shutdown has come. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    over: CancellationToken,
}

impl Shutdown {
    /// Begins to drain: from now on nothing new is taken; what is held is finished.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends: from now on what is not finished is handed back.
    pub fn end(&self) {
        self.draining.cancel();
        self.over.cancel();
    }

    /// Returns whether nothing new is to be taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Returns whether all is to stop.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits until nothing new is to be taken.
    pub async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// Waits until all is to stop.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }
}
