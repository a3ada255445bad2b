//! What is counted and measured, for `GET /metrics` at the listener, in the
//! [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) format that Prometheus reads.
//! docs/program.md lists it.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    generate::pool::PoolStatus,
    outbox::{Outbox, OutboxError, Way},
};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The bounds of the buckets for the time of a generation, in seconds.
const GENERATION_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// Labels with these names.
macro_rules! labels {
    ($name:ident { $($label:ident: $kind:ty),+ }) => {
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        struct $name { $($label: $kind),+ }
    };
}

labels!(From { from: &'static str });
labels!(Outcome { outcome: &'static str });
labels!(OfEdge { edge: String });
labels!(OfLane { edge: String, lane: &'static str });
labels!(OfDelivery { edge: String, lane: &'static str, outcome: &'static str });
labels!(OfCall { edge: String, outcome: &'static str });

/// Everything that is counted. Clones share it.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    logins: Family<From, Counter>,
    settlements: Family<Outcome, Counter>,
    generation: Histogram,
    generating: Gauge,
    queued: Gauge,
    outbox: Family<OfLane, Gauge>,
    outbox_bytes: Family<OfEdge, Gauge>,
    deliveries: Family<OfDelivery, Counter>,
    kv_calls: Family<OfCall, Counter>,
    links: Family<OfEdge, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("headstart"),
            logins: Family::default(),
            settlements: Family::default(),
            generation: Histogram::new(GENERATION_BUCKETS),
            generating: Gauge::default(),
            queued: Gauge::default(),
            outbox: Family::default(),
            outbox_bytes: Family::default(),
            deliveries: Family::default(),
            kv_calls: Family::default(),
            links: Family::default(),
        };
        let registry = &mut inner.registry;
        registry.register("logins", "Logins taken", inner.logins.clone());
        registry.register("settlements", "Tickets settled", inner.settlements.clone());
        registry.register(
            "generation_seconds",
            "Time that a generation took, without its wait in the queue",
            inner.generation.clone(),
        );
        registry.register(
            "generating",
            "Generations in work",
            inner.generating.clone(),
        );
        registry.register(
            "queued",
            "Logins that wait for a generation",
            inner.queued.clone(),
        );
        registry.register(
            "outbox_rows",
            "Deliveries that are still to be made",
            inner.outbox.clone(),
        );
        registry.register(
            "outbox_bytes",
            "Bytes that wait for their delivery to the edge",
            inner.outbox_bytes.clone(),
        );
        registry.register(
            "deliveries",
            "What became of deliveries",
            inner.deliveries.clone(),
        );
        registry.register("kv_calls", "Calls of the KV API", inner.kv_calls.clone());
        registry.register(
            "links_open",
            "Open links to the edge's desks",
            inner.links.clone(),
        );
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Counts a login that was taken: from a `link` or from the `listener`.
    pub fn login_from(&self, from: &'static str) {
        self.inner.logins.get_or_create(&From { from }).inc();
    }

    /// Counts a ticket that has settled, as `ready` or `failed`.
    pub fn settled(&self, outcome: &'static str) {
        self.inner
            .settlements
            .get_or_create(&Outcome { outcome })
            .inc();
    }

    /// Observes the time of a generation that has ended.
    pub fn generated(&self, took: Duration) {
        self.inner.generation.observe(took.as_secs_f64());
    }

    /// Counts a call of an edge's KV API that came to this `outcome`.
    pub fn kv_called(&self, edge: &str, outcome: &'static str) {
        let call = OfCall {
            edge: edge.to_owned(),
            outcome,
        };
        self.inner.kv_calls.get_or_create(&call).inc();
    }

    /// Counts a link to an edge as open until the result is dropped.
    #[must_use]
    pub fn link_open(&self, edge: String) -> OpenLink {
        let links = self.inner.links.get_or_create_owned(&OfEdge { edge });
        links.inc();
        OpenLink(links)
    }

    /// Returns the counter of deliveries in one way to one edge that come to this `outcome`.
    #[must_use]
    pub fn deliveries(&self, edge: &str, way: Way, outcome: &'static str) -> Counter {
        self.inner.deliveries.get_or_create_owned(&OfDelivery {
            edge: edge.to_owned(),
            lane: way.name(),
            outcome,
        })
    }

    /// Returns everything as text, with how it stands with `outbox` and `pool`.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn text(&self, outbox: &Outbox, pool: PoolStatus) -> Result<String, OutboxError> {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.inner.generating.set(gauge(pool.running));
        self.inner.queued.set(gauge(pool.queued));
        for (edge, way) in outbox.lanes() {
            let rows = outbox.pending(edge, way).await?;
            let lane = OfLane {
                edge: edge.to_owned(),
                lane: way.name(),
            };
            let rows = i64::try_from(rows).unwrap_or(i64::MAX);
            self.inner.outbox.get_or_create(&lane).set(rows);
        }
        let waiting: HashMap<String, u64> = outbox.waiting_bytes().await?.into_iter().collect();
        for (edge, _) in outbox.lanes() {
            let bytes = waiting.get(edge).copied().unwrap_or_default();
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            let edge = edge.to_owned();
            self.inner
                .outbox_bytes
                .get_or_create(&OfEdge { edge })
                .set(bytes);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut text, &self.inner.registry);
        Ok(text)
    }
}

/// An open link.
#[derive(Debug)]
pub struct OpenLink(Gauge);

impl Drop for OpenLink {
    fn drop(&mut self) {
        self.0.dec();
    }
}
