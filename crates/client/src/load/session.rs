//! Subscribers that are connected, and measured round by round: connecting thousands takes longer than
//! telling them, and servers that are compared should take turns.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{
    LoadError, Round, Stage, files, publisher,
    report::Report,
    shared::Shared,
    subscriber::{self, Slot},
    tally::Counts,
    target::Target,
};
use crate::{http_client, subscribe::SubscribeError};

/// How often it is looked how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long a duplicate may come after everything has arrived.
const SETTLE: Duration = Duration::from_millis(500);

/// Subscribers that are connected. Dropping it lets them go.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    client: reqwest::Client,
    slots: Vec<Arc<Slot>>,
    subscribers: JoinSet<SubscribeError>,
    opened_in: Duration,
}

impl Session {
    /// Connects so many subscribers to `target`, and tells `watch` now and then how far it has come.
    ///
    /// # Errors
    /// [`LoadError`], all but [`LoadError::Publish`].
    pub async fn connect(
        target: Arc<dyn Target>,
        subscribers: usize,
        patience: Duration,
        watch: impl Fn(Stage),
    ) -> Result<Self, LoadError> {
        files::make_room(subscribers)?;
        let mut session = Self {
            shared: Arc::new(Shared::new(target, subscribers)),
            client: http_client::build()?,
            slots: (0..subscribers).map(|_| Arc::default()).collect(),
            subscribers: JoinSet::new(),
            opened_in: Duration::ZERO,
        };
        for (number, slot) in session.slots.iter().enumerate() {
            let (shared, slot) = (Arc::clone(&session.shared), Arc::clone(slot));
            let run = async move { subscriber::run(&shared, &slot, number).await };
            session.subscribers.spawn(run);
        }
        session.connected(patience, watch).await?;
        session.opened_in = session.shared.epoch.elapsed();
        Ok(session)
    }

    /// Returns how many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.shared.subscribers
    }

    /// Publishes, and counts what arrives.
    ///
    /// # Errors
    /// [`LoadError::Subscribe`], [`LoadError::Publish`]. What is lost or doubled is part of the report.
    pub async fn measure(
        &mut self,
        round: &Round,
        watch: impl Fn(Stage),
    ) -> Result<Report, LoadError> {
        let shared = Arc::clone(&self.shared);
        let before = self.counts();
        let began = shared.now();
        {
            let mut publishing = pin!(async {
                publisher::publish(round, &shared, &self.client).await?;
                shared.delivered(round.patience).await;
                tokio::time::sleep(SETTLE).await;
                Ok::<_, LoadError>(())
            });
            let mut looks = looks();
            loop {
                let arrived = shared.deliveries.load(Ordering::Relaxed) - before.deliveries;
                watch(Stage::Delivering(arrived));
                tokio::select! {
                    published = &mut publishing => break published?,
                    Some(Ok(error)) = self.subscribers.join_next() => return Err(error.into()),
                    _ = looks.tick() => {}
                }
            }
        }
        let ended = shared.last_at.load(Ordering::Relaxed).max(began);
        Ok(Report::new(
            round,
            shared.target.transport(),
            shared.subscribers,
            self.opened_in,
            Duration::from_micros(ended - began),
            self.counts().since(before),
            &shared.latencies.take(),
        ))
    }

    fn counts(&self) -> Counts {
        let total = self.shared.total();
        let counts = self.slots.iter().map(|slot| slot.lock().counts(total));
        counts.sum()
    }

    /// Waits until every subscriber is connected.
    async fn connected(
        &mut self,
        patience: Duration,
        watch: impl Fn(Stage),
    ) -> Result<(), LoadError> {
        let wanted = self.shared.subscribers;
        let deadline = Instant::now() + patience;
        let mut looks = looks();
        loop {
            let connected = self.shared.connected.load(Ordering::Relaxed);
            watch(Stage::Connecting(connected));
            if connected >= wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(LoadError::NotConnected {
                    connected,
                    wanted,
                    patience,
                });
            }
            tokio::select! {
                Some(Ok(error)) = self.subscribers.join_next() => return Err(error.into()),
                _ = looks.tick() => {}
            }
        }
    }
}

fn looks() -> Interval {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}
