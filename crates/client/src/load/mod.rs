//! Measures a server that tells many subscribers: connects them all, publishes, and counts what arrives
//! where and how soon. Everything is in one process, so there is one clock.
//!
//! Which server it is, is a [`Target`]: how to subscribe there and how to publish. Ours is
//! [`headstart`]; others are measured by an implementation of their own.
//!
//! | question | file |
//! |---|---|
//! | How is a server spoken to? | [`target`], [`headstart`] |
//! | What does an update carry, and how is it found in what arrives? | [`payload`] |
//! | When is what published? | [`schedule`], `publisher.rs` |
//! | How are connected subscribers measured more than once? | [`session`] |
//! | What does one subscriber do? | `subscriber.rs` |
//! | What do all of them share? | `shared.rs`, `latencies.rs` |
//! | What did one subscriber get? | `tally.rs` |
//! | What came of it all? | [`report`] |
//! | How many connections can there be? | [`files`] |

pub mod files;
pub mod headstart;
mod latencies;
pub mod payload;
mod publisher;
pub mod report;
pub mod schedule;
pub mod session;
mod shared;
mod subscriber;
mod tally;
pub mod target;

use std::{sync::Arc, time::Duration};

use self::{report::Report, schedule::Schedule, session::Session, target::Target};
use crate::subscribe::SubscribeError;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// So many connections cannot be had.
    #[error(transparent)]
    Files(#[from] files::TooFew),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
    /// The server refuses subscribers.
    #[error("subscribing: {0}")]
    Subscribe(#[from] SubscribeError),
    /// Not all subscribers could be connected.
    #[error("only {connected} of {wanted} subscribers were connected within {} s", .patience.as_secs())]
    NotConnected {
        /// Those that were.
        connected: usize,
        /// How many there were to be.
        wanted: usize,
        /// How long it was tried.
        patience: Duration,
    },
    /// The server does not take updates.
    #[error("publishing: {0}")]
    Publish(String),
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many subscribers.
    pub subscribers: usize,
    /// How long connecting all may take.
    pub connect_patience: Duration,
    /// What is published.
    pub round: Round,
}

/// What is published while subscribers are connected.
#[derive(Debug, Clone)]
pub struct Round {
    /// How many updates, and when.
    pub schedule: Schedule,
    /// Bytes of an update's data.
    pub bytes: usize,
    /// How long nothing may arrive until what is missing counts as lost.
    pub patience: Duration,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// So many subscribers are connected.
    Connecting(usize),
    /// So many updates have arrived at a subscriber, all of them together.
    Delivering(u64),
}

/// Measures `target` once, and tells `watch` now and then how far it has come.
///
/// # Errors
/// [`LoadError`]. What is lost or doubled is no error but part of the report.
pub async fn run(
    plan: &Plan,
    target: Arc<dyn Target>,
    watch: impl Fn(Stage),
) -> Result<Report, LoadError> {
    let patience = plan.connect_patience;
    let mut session = Session::connect(target, plan.subscribers, patience, &watch).await?;
    session.measure(&plan.round, &watch).await
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
