//! Delivery: takes everything out of the outbox to every edge, in all ways at once. Each edge and
//! way has a task of its own, so one that is dead or slow delays no other.
//!
//! | question | file |
//! |---|---|
//! | How do settlements and updates reach an edge? | `events.rs` |
//! | What goes before it is durable? | `ahead.rs` |
//! | What is delivered next, in the order of its ticket or topic? | `queue.rs`, `order.rs` |
//! | How is a batch of events posted, and its report read? | `post.rs` |
//! | How many events go at a time, and what if they fail? | `pace.rs` |
//! | How does a lane back off? | `resume.rs` |
//! | How do offers reach KV? | [`kv`] |
//! | What does the KV API say and answer? | [`kv_api`] |
//! | Which of a refused batch is at fault? | `parts.rs` |
//! | How many go into one request? | `batch_size.rs` |
//! | How is the API throttled? | [`budget`] |
//! | How long does a server ask to be left alone? | `retry_after.rs` |
//! | How much does a server say is left? | [`rate_limit`] |

mod ahead;
mod batch_size;
pub mod budget;
mod events;
pub mod kv;
pub mod kv_api;
mod order;
mod pace;
mod parts;
mod post;
mod queue;
pub mod rate_limit;
mod resume;
mod retry_after;

use std::{collections::HashMap, sync::Arc, time::Duration};

use budget::Budget;
use events::EventLane;
use headstart_client::clock::now_ms;
use headstart_protocol::{keys::Key, report::Status};
use kv::KvLane;
use kv_api::KvApi;
use post::Poster;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::{
    config::{Config, EdgeConfig, Secrets, secrets::EdgeSecrets},
    metrics::Metrics,
    outbox::{EdgeWays, Outbox, OutboxError, Shed, Way},
    shutdown::Shutdown,
};

/// How often the outbox is purged, and looked at for too much that waits.
const PURGE_EVERY: Duration = Duration::from_secs(10);

/// How often a shutdown looks whether everything has been delivered.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What became of deliveries since the start.
#[derive(Debug, Default)]
pub struct Counters {
    delivered: Counter,
    retried: Counter,
    refused: Counter,
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
    fn of(metrics: &Metrics, edge: &str, way: Way) -> Self {
        let counter = |outcome| metrics.deliveries(edge, way, outcome);
        Self {
            delivered: counter("delivered"),
            retried: counter("retried"),
            refused: counter("refused"),
        }
    }

    /// Returns the counts now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            delivered: self.delivered.get(),
            retried: self.retried.get(),
            refused: self.refused.get(),
        }
    }

    fn add(&self, delivered: usize, retried: usize, refused: usize) {
        self.delivered.inc_by(delivered as u64);
        self.retried.inc_by(retried as u64);
        self.refused.inc_by(refused as u64);
    }
}

/// What became of one event at one edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The edge's name.
    pub edge: String,
    /// The topic of an update; the ticket of a settlement.
    pub subject: String,
    /// Id of the event.
    pub id: String,
    /// What became of it; never [`Status::Retry`].
    pub status: Status,
    /// Why, where the status does not say enough.
    pub reason: Option<String>,
}

/// An edge will take nothing until somebody changes something: it does not know the key, or is no edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeRefusal {
    /// The edge's name.
    pub edge: String,
    /// Why.
    pub reason: String,
}

/// Who wants to know what becomes of updates.
#[derive(Debug, Clone, Default)]
pub struct Listeners {
    /// Of each update at each edge; deliveries wait where it is full.
    pub outcomes: Option<mpsc::Sender<Outcome>>,
    /// Of edges that will take nothing.
    pub refused: Option<mpsc::Sender<EdgeRefusal>>,
}

/// The running deliveries.
#[derive(Debug)]
pub struct Delivery {
    outbox: Outbox,
    metrics: Metrics,
    lanes: Vec<Lane>,
    /// By the edge's name.
    recoveries: HashMap<String, watch::Sender<()>>,
    stalls: HashMap<String, watch::Sender<bool>>,
    tasks: TaskTracker,
}

/// One way to one edge.
#[derive(Debug)]
struct Lane {
    edge: String,
    way: Way,
    counters: Arc<Counters>,
}

/// Returns the edges of a configuration as the outbox needs to know them.
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
        metrics: &Metrics,
        shutdown: &Shutdown,
    ) -> Self {
        let mut delivery = Self::of(outbox, metrics.clone());
        let mut budgets: HashMap<_, Arc<Budget>> = HashMap::new();
        for (edge, EdgeSecrets { key, api_token }) in config.edges.iter().zip(&secrets.edges) {
            let name = edge.name();
            let key = key.value.current();
            let recovered = delivery.recovery(&name).subscribe();
            let lane = EventLane {
                poster: delivery.poster(edge, key, client, Way::Event, Listeners::default()),
                way: Way::Event,
                ticket_keys: Some(secrets.ticket.value.clone()),
                recovered: recovered.clone(),
                stalled: delivery.stalled(&name),
                shutdown: shutdown.clone(),
            };
            delivery.tasks.spawn(lane.run());
            let lane = EventLane {
                poster: delivery.poster(edge, key, client, Way::Update, Listeners::default()),
                way: Way::Update,
                ticket_keys: None,
                recovered: recovered.clone(),
                stalled: watch::Sender::new(false),
                shutdown: shutdown.clone(),
            };
            delivery.tasks.spawn(lane.run());
            if let (Some(kv), Some(token)) = (&edge.kv, api_token) {
                // The provider counts the calls of a user; the account is the closest we know.
                let account = (kv.api.clone(), kv.account_id.clone());
                let lane = KvLane {
                    name: name.clone(),
                    api: KvApi::new(client.clone(), kv, &token.value),
                    budget: Arc::clone(
                        budgets
                            .entry(account)
                            .or_insert_with(|| Arc::new(Budget::new(config.kv.share))),
                    ),
                    ticket_keys: secrets.ticket.value.clone(),
                    outbox: outbox.clone(),
                    counters: delivery.lane(&name, Way::Kv),
                    metrics: metrics.clone(),
                    recovered,
                    shutdown: shutdown.clone(),
                };
                delivery.tasks.spawn(lane.run());
            }
        }
        delivery.purging(Some(config.outbox.max_bytes_per_edge), shutdown)
    }

    /// Starts delivering the updates, and nothing else, that are in the outbox or come into it: to
    /// these edges, each with the key that it knows this origin by.
    #[must_use]
    pub fn start_updates(
        edges: &[(EdgeConfig, Key)],
        client: &reqwest::Client,
        outbox: &Outbox,
        listeners: &Listeners,
        shutdown: &Shutdown,
    ) -> Self {
        let mut delivery = Self::of(outbox, Metrics::default());
        for (edge, key) in edges {
            let lane = EventLane {
                poster: delivery.poster(edge, key, client, Way::Update, listeners.clone()),
                way: Way::Update,
                ticket_keys: None,
                recovered: delivery.recovery(&edge.name()).subscribe(),
                stalled: watch::Sender::new(false),
                shutdown: shutdown.clone(),
            };
            delivery.tasks.spawn(lane.run());
        }
        // Whoever publishes by hand would rather wait than lose an update.
        delivery.purging(None, shutdown)
    }

    fn of(outbox: &Outbox, metrics: Metrics) -> Self {
        Self {
            outbox: outbox.clone(),
            metrics,
            lanes: Vec::new(),
            recoveries: HashMap::new(),
            stalls: HashMap::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Keeps the outbox small, and at most `most` bytes in it for each edge.
    fn purging(self, most: Option<u64>, shutdown: &Shutdown) -> Self {
        let (outbox, metrics, shutdown) =
            (self.outbox.clone(), self.metrics.clone(), shutdown.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = purge(outbox, most, metrics) => {}
                () = shutdown.over() => {}
            }
        });
        self.tasks.close();
        self
    }

    fn poster(
        &mut self,
        edge: &EdgeConfig,
        key: &Key,
        client: &reqwest::Client,
        way: Way,
        listeners: Listeners,
    ) -> Poster {
        let name = edge.name();
        Poster {
            url: edge.at("/events"),
            key: key.clone(),
            client: client.clone(),
            outbox: self.outbox.clone(),
            counters: self.lane(&name, way),
            listeners,
            name,
        }
    }

    fn lane(&mut self, edge: &str, way: Way) -> Arc<Counters> {
        let counters = Arc::new(Counters::of(&self.metrics, edge, way));
        self.lanes.push(Lane {
            edge: edge.to_owned(),
            way,
            counters: Arc::clone(&counters),
        });
        counters
    }

    /// Returns what is to be told whenever an edge is known to be well again, such as by the welcome of its
    /// link: what waits for it then goes at once.
    pub fn recovery(&mut self, edge: &str) -> watch::Sender<()> {
        let recovery = self.recoveries.entry(edge.to_owned()).or_default();
        recovery.clone()
    }

    /// Returns what tells whether an edge has taken no settlements for long: none is to be made for it then.
    pub fn stalled(&mut self, edge: &str) -> watch::Sender<bool> {
        let stalled = self.stalls.entry(edge.to_owned());
        stalled.or_insert_with(|| watch::Sender::new(false)).clone()
    }

    /// Returns the counts of each edge and way.
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
    /// `event`, `kv` or `update`.
    pub way: &'static str,
    /// What became of its deliveries.
    #[serde(flatten)]
    pub counts: Counts,
}

async fn purge(outbox: Outbox, most: Option<u64>, metrics: Metrics) {
    loop {
        tokio::time::sleep(PURGE_EVERY).await;
        if outbox.failure().is_some()
            && let Err(error) = outbox.probe().await
        {
            tracing::debug!(%error, "the outbox still fails");
        }
        match outbox.purge(now_ms()).await {
            Ok(purged) if purged.undelivered + purged.unsettled > 0 => tracing::warn!(
                undelivered = purged.undelivered,
                unsettled = purged.unsettled,
                "dropped what has expired"
            ),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the outbox was not purged"),
        }
        if let Some(most) = most
            && let Err(error) = shed(&outbox, most, &metrics).await
        {
            tracing::debug!(%error, "the outbox was not kept to its bound");
        }
    }
}

/// Keeps the outbox to its bound.
async fn shed(outbox: &Outbox, most: u64, metrics: &Metrics) -> Result<(), OutboxError> {
    for (edge, Shed { event, kv, update }) in outbox.shed(most, now_ms()).await? {
        tracing::error!(
            edge,
            event,
            kv,
            update,
            max_bytes = most,
            "too much waits for the edge: its oldest deliveries are dropped"
        );
        for (way, count) in [(Way::Event, event), (Way::Kv, kv), (Way::Update, update)] {
            metrics
                .deliveries(&edge, way, "dropped")
                .inc_by(count as u64);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
