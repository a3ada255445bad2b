//! What came of a measurement.

use std::{fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Round, tally::Counts};
use crate::{
    race::statistics::{as_ms, ms},
    subscribe::transport::Transport,
};

/// The result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How updates travelled.
    pub transport: Transport,
    /// Subscribers.
    pub subscribers: usize,
    /// Updates published.
    pub updates: u64,
    /// Bytes of an update's data.
    pub bytes: usize,
    /// How long it took to connect all, in JSON as milliseconds.
    #[serde(rename = "opened_in_ms", serialize_with = "as_ms")]
    pub opened_in: Duration,
    /// Updates that arrived at a subscriber, all of them together.
    pub deliveries: u64,
    /// From the first publishing to the last arrival, in JSON as milliseconds.
    #[serde(rename = "took_ms", serialize_with = "as_ms")]
    pub took: Duration,
    /// Deliveries a second, over that time.
    pub deliveries_per_second: f64,
    /// From publishing to arrival; none where nothing arrived.
    pub latency: Option<Latency>,
    /// Updates that did not arrive, of all subscribers together.
    pub losses: u64,
    /// Updates that arrived once more.
    pub duplicates: u64,
    /// Updates that arrived after a later one.
    pub disordered: u64,
    /// Connections that were opened again.
    pub reconnects: u64,
}

/// From publishing to arrival, by one clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// Half of all took no longer; in JSON as milliseconds, as all of these.
    #[serde(rename = "p50_ms", serialize_with = "as_ms")]
    pub p50: Duration,
    /// 90 of 100 took no longer.
    #[serde(rename = "p90_ms", serialize_with = "as_ms")]
    pub p90: Duration,
    /// 99 of 100 took no longer.
    #[serde(rename = "p99_ms", serialize_with = "as_ms")]
    pub p99: Duration,
    /// The longest.
    #[serde(rename = "max_ms", serialize_with = "as_ms")]
    pub max: Duration,
}

impl Latency {
    fn of(micros: &Histogram<u64>) -> Option<Self> {
        // A bucket's lowest value: its highest may be longer than anything took.
        let lowest = |value| Duration::from_micros(micros.lowest_equivalent(value));
        let at = |quantile| lowest(micros.value_at_quantile(quantile));
        (!micros.is_empty()).then(|| Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: lowest(micros.max()),
        })
    }
}

impl Report {
    pub(super) fn new(
        round: &Round,
        transport: Transport,
        subscribers: usize,
        opened_in: Duration,
        took: Duration,
        counts: Counts,
        micros: &Histogram<u64>,
    ) -> Self {
        let mut report = Self {
            transport,
            subscribers,
            updates: round.schedule.total,
            bytes: round.bytes,
            opened_in,
            deliveries: counts.deliveries,
            took,
            deliveries_per_second: 0.0,
            latency: Latency::of(micros),
            losses: counts.losses,
            duplicates: counts.duplicates,
            disordered: counts.disordered,
            reconnects: counts.reconnects,
        };
        if !took.is_zero() {
            #[expect(
                clippy::cast_precision_loss,
                reason = "there are not so many deliveries that a double cannot count them"
            )]
            let deliveries = report.deliveries as f64;
            report.deliveries_per_second = (deliveries / took.as_secs_f64()).round();
        }
        report
    }

    /// Returns whether every subscriber got every update once and in order.
    #[must_use]
    pub fn is_faultless(&self) -> bool {
        self.losses == 0 && self.duplicates == 0 && self.disordered == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Sse => "SSE",
            Transport::Ws => "WebSocket",
        };
        writeln!(
            f,
            "{} subscribers by {transport}, connected in {:.1} s; {} updates of {} bytes",
            self.subscribers,
            self.opened_in.as_secs_f64(),
            self.updates,
            self.bytes,
        )?;
        writeln!(
            f,
            "{} deliveries in {:.1} s, {} a second",
            self.deliveries,
            self.took.as_secs_f64(),
            self.deliveries_per_second,
        )?;
        if let Some(latency) = &self.latency {
            writeln!(
                f,
                "from publishing to delivery, ms: p50 {}, p90 {}, p99 {}, max {}",
                ms(latency.p50),
                ms(latency.p90),
                ms(latency.p99),
                ms(latency.max),
            )?;
        }
        write!(
            f,
            "losses {}, duplicates {}, out of order {}, reconnects {}",
            self.losses, self.duplicates, self.disordered, self.reconnects
        )
    }
}
