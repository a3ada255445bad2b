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
//! | What does one subscriber do? | `subscriber.rs` |
//! | What did one subscriber get? | `tally.rs` |
//! | What came of it all? | [`report`] |
//! | How many connections can there be? | [`files`] |

pub mod files;
pub mod headstart;
pub mod payload;
mod publisher;
pub mod report;
pub mod schedule;
mod subscriber;
mod tally;
pub mod target;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

use self::{
    payload::Finder,
    report::Report,
    schedule::Schedule,
    subscriber::{Latencies, Slot},
    target::Target,
};
use crate::{http_client, subscribe::SubscribeError};

/// Connections that are being opened at a time: a server is to be measured, not to be stormed.
const OPENING: usize = 64;

/// How often it is looked how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a duplicate may come after everything has arrived.
const SETTLE: Duration = Duration::from_millis(500);

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// So many connections cannot be had.
    #[error(transparent)]
    Files(#[from] files::TooFew),
    /// The HTTP client cannot be built.
    #[error("the HTTP client: {0}")]
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
    /// How many updates, and when.
    pub schedule: Schedule,
    /// Bytes of an update's data.
    pub bytes: usize,
    /// How long connecting all may take.
    pub connect_patience: Duration,
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

/// What all subscribers share.
#[derive(Debug)]
struct Shared {
    target: Arc<dyn Target>,
    finder: Finder,
    /// What all times count from.
    epoch: Instant,
    /// Updates in all.
    total: u64,
    openings: Semaphore,
    /// Subscribers that have been connected once.
    connected: AtomicUsize,
    /// Subscribers that have everything.
    complete: AtomicUsize,
    /// Updates that have arrived.
    deliveries: AtomicU64,
    /// When the last one arrived, in microseconds.
    last_at: AtomicU64,
    latencies: Latencies,
}

impl Shared {
    /// Now, in microseconds since the epoch.
    fn now(&self) -> u64 {
        micros(self.epoch.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Measures `target`, and tells `watch` now and then how far it has come.
///
/// # Errors
/// [`LoadError`]. What is lost or doubled is no error but part of the report.
pub async fn run(
    plan: &Plan,
    target: Arc<dyn Target>,
    watch: impl Fn(Stage),
) -> Result<Report, LoadError> {
    files::make_room(plan.subscribers)?;
    let client = http_client::build()?;
    let finder = Finder::new();
    let shared = Arc::new(Shared {
        target,
        finder,
        epoch: Instant::now(),
        total: plan.schedule.total,
        openings: Semaphore::new(OPENING),
        connected: AtomicUsize::new(0),
        complete: AtomicUsize::new(0),
        deliveries: AtomicU64::new(0),
        last_at: AtomicU64::new(0),
        latencies: Latencies::new(),
    });
    let slots: Vec<Arc<Slot>> = (0..plan.subscribers).map(|_| Arc::default()).collect();
    let mut subscribers = JoinSet::new();
    for (number, slot) in slots.iter().enumerate() {
        let (shared, slot) = (Arc::clone(&shared), Arc::clone(slot));
        subscribers.spawn(async move { subscriber::run(&shared, &slot, number).await });
    }
    connect(plan, &shared, &mut subscribers, &watch).await?;
    let opened_in = shared.epoch.elapsed();

    let began = shared.now();
    {
        let mut publishing = pin!(publisher::publish(plan, &shared, &client));
        let mut looks = looks();
        loop {
            tokio::select! {
                published = &mut publishing => break published?,
                Some(Ok(error)) = subscribers.join_next() => return Err(error.into()),
                _ = looks.tick() => watch(Stage::Delivering(shared.deliveries.load(Ordering::Relaxed))),
            }
        }
    }
    deliver(plan, &shared, &mut subscribers, &watch).await?;
    // Whoever still listens is let go.
    subscribers.abort_all();
    let ended = shared.last_at.load(Ordering::Relaxed).max(began);
    Ok(Report::new(
        plan,
        shared.target.transport(),
        opened_in,
        Duration::from_micros(ended - began),
        slots.iter().map(|slot| slot.take()),
        &shared.latencies.all(),
    ))
}

/// Waits until every subscriber is connected.
async fn connect(
    plan: &Plan,
    shared: &Shared,
    subscribers: &mut JoinSet<SubscribeError>,
    watch: &impl Fn(Stage),
) -> Result<(), LoadError> {
    let deadline = Instant::now() + plan.connect_patience;
    let mut looks = looks();
    loop {
        let connected = shared.connected.load(Ordering::Relaxed);
        watch(Stage::Connecting(connected));
        if connected >= plan.subscribers {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(LoadError::NotConnected {
                connected,
                wanted: plan.subscribers,
                patience: plan.connect_patience,
            });
        }
        tokio::select! {
            Some(Ok(error)) = subscribers.join_next() => return Err(error.into()),
            _ = looks.tick() => {}
        }
    }
}

/// Waits until everything has arrived everywhere, or nothing arrives any more.
async fn deliver(
    plan: &Plan,
    shared: &Shared,
    subscribers: &mut JoinSet<SubscribeError>,
    watch: &impl Fn(Stage),
) -> Result<(), LoadError> {
    let (mut seen, mut seen_at) = (0, Instant::now());
    let mut looks = looks();
    loop {
        let deliveries = shared.deliveries.load(Ordering::Relaxed);
        watch(Stage::Delivering(deliveries));
        if deliveries != seen {
            (seen, seen_at) = (deliveries, Instant::now());
        }
        let is_complete = shared.complete.load(Ordering::Relaxed) >= plan.subscribers;
        let quiet = seen_at.elapsed();
        if quiet > plan.patience || (is_complete && quiet > SETTLE) {
            return Ok(());
        }
        tokio::select! {
            Some(Ok(error)) = subscribers.join_next() => return Err(error.into()),
            _ = looks.tick() => {}
        }
    }
}

fn looks() -> tokio::time::Interval {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

#[cfg(test)]
mod tests;
