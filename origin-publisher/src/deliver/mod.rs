//! Delivery: takes settlements out of the outbox to every edge, in both ways at once. Each edge and
//! way has a task of its own, so one that is dead or slow delays no other.
//!
//! | question | file |
//! |---|---|
//! | How do events reach an edge? | [`edge`] |
//! | How do offers reach KV? | [`kv`] |
//! | What does the KV API say and answer? | [`kv_api`] |
//! | How many go into one request? | `batch_size.rs` |
//! | How are the API's limits kept? | [`budget`] |
//! | What is delivered next? | `queue.rs` |
//! | How long does a server ask to be left alone? | `retry_after.rs` |

mod batch_size;
pub mod budget;
pub mod edge;
pub mod kv;
pub mod kv_api;
mod queue;
mod retry_after;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio_util::task::TaskTracker;

use crate::{
    clock::now_ms,
    config::{Config, Secrets, secrets::EdgeSecrets},
    outbox::{EdgeWays, Outbox, OutboxError, Way},
    shutdown::Shutdown,
};
use budget::Budget;
use edge::EventLane;
use kv::KvLane;
use kv_api::KvApi;

/// How often the outbox is purged.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// How often a shutdown looks whether everything has been delivered.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What became of deliveries since the start.
#[derive(Debug, Default)]
pub struct Counters {
    delivered: AtomicU64,
    retried: AtomicU64,
    refused: AtomicU64,
}

/// [`Counters`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Taken by the other side.
    pub delivered: u64,
    /// Sent again after a failure.
    pub retried: u64,
    /// Refused for good, and dropped.
    pub refused: u64,
}

impl Counters {
    /// The counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            delivered: load(&self.delivered),
            retried: load(&self.retried),
            refused: load(&self.refused),
        }
    }

    fn add(&self, delivered: usize, retried: usize, refused: usize) {
        let add = |counter: &AtomicU64, count: usize| {
            counter.fetch_add(count as u64, Ordering::Relaxed);
        };
        add(&self.delivered, delivered);
        add(&self.retried, retried);
        add(&self.refused, refused);
    }
}

/// The running deliveries.
#[derive(Debug)]
pub struct Delivery {
    outbox: Outbox,
    lanes: Vec<Lane>,
    tasks: TaskTracker,
}

/// One way to one edge.
#[derive(Debug)]
struct Lane {
    edge: String,
    way: Way,
    counters: Arc<Counters>,
}

/// The edges of a configuration as the outbox needs to know them.
#[must_use]
pub fn ways(config: &Config) -> Vec<EdgeWays> {
    config
        .edges
        .iter()
        .map(|edge| EdgeWays {
            name: edge.name(),
            kv: edge.kv.is_some(),
        })
        .collect()
}

impl Delivery {
    /// Starts delivering everything that is in the outbox or comes into it.
    #[must_use]
    pub fn start(
        config: &Config,
        secrets: &Secrets,
        client: &reqwest::Client,
        outbox: &Outbox,
        shutdown: &Shutdown,
    ) -> Self {
        let mut delivery = Self {
            outbox: outbox.clone(),
            lanes: Vec::new(),
            tasks: TaskTracker::new(),
        };
        let mut budgets: HashMap<_, Arc<Budget>> = HashMap::new();
        for (edge, EdgeSecrets { key, api_token }) in config.edges.iter().zip(&secrets.edges) {
            let name = edge.name();
            let lane = EventLane {
                name: name.clone(),
                url: edge.at("/events"),
                key: key.value.current().clone(),
                ticket_keys: secrets.ticket.value.clone(),
                client: client.clone(),
                outbox: outbox.clone(),
                counters: delivery.lane(&name, Way::Event),
                shutdown: shutdown.clone(),
            };
            delivery.tasks.spawn(lane.run());
            if let (Some(kv), Some(token)) = (&edge.kv, api_token) {
                // The provider counts the calls of a user; the account is the closest we know.
                let account = (kv.api.clone(), kv.account_id.clone());
                let lane = KvLane {
                    name: name.clone(),
                    api: KvApi::new(client.clone(), kv, &token.value),
                    budget: Arc::clone(budgets.entry(account).or_default()),
                    ticket_keys: secrets.ticket.value.clone(),
                    outbox: outbox.clone(),
                    counters: delivery.lane(&name, Way::Kv),
                    shutdown: shutdown.clone(),
                };
                delivery.tasks.spawn(lane.run());
            }
        }
        delivery
            .tasks
            .spawn(purge(outbox.clone(), shutdown.clone()));
        delivery.tasks.close();
        delivery
    }

    fn lane(&mut self, edge: &str, way: Way) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.lanes.push(Lane {
            edge: edge.to_owned(),
            way,
            counters: Arc::clone(&counters),
        });
        counters
    }

    /// The counts of each edge and way.
    #[must_use]
    pub fn counts(&self) -> Vec<LaneCounts> {
        self.lanes
            .iter()
            .map(|lane| LaneCounts {
                edge: lane.edge.clone(),
                way: lane.way.name(),
                counts: lane.counters.counts(),
            })
            .collect()
    }

    /// Waits until everything in the outbox has been delivered, at most `patience`. True when it has.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn flush(&self, patience: Duration) -> Result<bool, OutboxError> {
        let delivered = async {
            loop {
                let mut pending = 0;
                for lane in &self.lanes {
                    pending += self.outbox.pending(&lane.edge, lane.way).await?;
                }
                if pending == 0 {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(patience, delivered).await {
            Ok(result) => result.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Waits until every task has ended, which each does once the shutdown is over.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }
}

/// The counts of one way to one edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneCounts {
    /// The edge's name.
    pub edge: String,
    /// `event` or `kv`.
    pub way: &'static str,
    /// What became of its deliveries.
    #[serde(flatten)]
    pub counts: Counts,
}

async fn purge(outbox: Outbox, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PURGE_EVERY) => {}
            () = shutdown.over() => return,
        }
        match outbox.purge(now_ms()).await {
            Ok(purged) if purged.undelivered + purged.unsettled > 0 => tracing::warn!(
                undelivered = purged.undelivered,
                unsettled = purged.unsettled,
                "dropped what has expired"
            ),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "the outbox was not purged"),
        }
    }
}

#[cfg(test)]
mod tests;
