//! One server that is measured, with its subscribers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use headstart_client::{
    load::{report::Report, session::Session},
    subscribe::transport::Transport,
};

use crate::{
    server::{Kind, Server},
    usage::Process,
    wire::Noting,
    workload::{DATA_BYTES, Effort, Pattern},
};

/// Subscribers of the warm-up.
const WARMING: usize = 20;

/// Deliveries of the warm-up: enough for compilers and caches to have settled.
const WARMING_DELIVERIES: u64 = 4_000;

/// How long connecting all may take.
const CONNECT_PATIENCE: Duration = Duration::from_mins(3);

/// A server, warm, with subscribers once they are connected.
#[derive(Debug)]
pub struct Subject {
    pub kind: Kind,
    server: Server,
    transport: Transport,
    /// Bytes of an update's data, as it is published here.
    data_bytes: usize,
    session: Option<Session>,
}

/// What one round brought.
#[derive(Debug, Clone, Copy, Default)]
pub struct Measurement {
    pub deliveries_per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// How long the server's process ran for each delivery.
    pub busy_each: Duration,
    /// How much of the time the server's process ran; more than 1 where it has several threads.
    pub busy: f64,
    /// As [`Self::busy`], of this program, which counts.
    pub own_busy: f64,
}

impl Subject {
    /// Starts a server and warms it up.
    pub async fn start(
        kind: Kind,
        transport: Transport,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let server = Server::start(kind, settings).await?;
        Ok(Self {
            kind,
            server,
            transport,
            data_bytes: DATA_BYTES,
            session: None,
        })
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Warms it up, and gives the bytes of an update on its way to a subscriber.
    pub async fn warm_up(&self) -> anyhow::Result<usize> {
        let noting = Arc::new(Noting::new(self.server.target(self.transport)?));
        let target = Arc::clone(&noting);
        let mut session = Session::connect(target, WARMING, CONNECT_PATIENCE, |_| ()).await?;
        let round = Pattern::Single.round(WARMING_DELIVERIES, WARMING, self.data_bytes);
        faultless(self.kind, session.measure(&round, |_| ()).await?)?;
        Ok(noting.longest())
    }

    /// Publishes updates so much longer from now on.
    pub fn pad(&mut self, bytes: usize) {
        self.data_bytes += bytes;
    }

    /// Connects subscribers, and gives how much more memory the server has for each.
    pub async fn connect(&mut self, subscribers: usize) -> anyhow::Result<f64> {
        let process = self.server.process();
        let before = process.resident()?;
        let target = self.server.target(self.transport)?;
        let session = Session::connect(target, subscribers, CONNECT_PATIENCE, |_| ()).await;
        self.session = Some(session.with_context(|| self.kind.to_string())?);
        #[expect(
            clippy::cast_precision_loss,
            reason = "memory and subscribers are far below 2^52"
        )]
        let each = process.resident()?.saturating_sub(before) as f64 / subscribers as f64;
        Ok(each)
    }

    /// Publishes one round, and measures how it gets to the subscribers.
    pub async fn measure(
        &mut self,
        pattern: Pattern,
        effort: &Effort,
    ) -> anyhow::Result<Measurement> {
        let session = self.session.as_mut().context("nobody is connected")?;
        let subscribers = session.subscribers();
        let round = pattern.round(pattern.deliveries(effort), subscribers, self.data_bytes);
        let (server, own) = (self.server.process(), Process::own());
        let before = (server.busy()?, own.busy()?);
        let report = session.measure(&round, |_| ()).await;
        let report = faultless(self.kind, report.with_context(|| self.kind.to_string())?)?;
        let busy = server.busy()?.saturating_sub(before.0);
        let own_busy = own.busy()?.saturating_sub(before.1);
        let latency = report.latency.context("nothing was delivered")?;
        let deliveries = u32::try_from(report.deliveries)?;
        Ok(Measurement {
            deliveries_per_second: report.deliveries_per_second,
            p50: latency.p50,
            p99: latency.p99,
            busy_each: busy / deliveries,
            busy: busy.as_secs_f64() / report.took.as_secs_f64(),
            own_busy: own_busy.as_secs_f64() / report.took.as_secs_f64(),
        })
    }
}

/// A server that loses or doubles updates is fast for nothing.
fn faultless(kind: Kind, report: Report) -> anyhow::Result<Report> {
    if !report.is_faultless() || report.reconnects > 0 {
        bail!("{kind} is at fault:\n{report}");
    }
    Ok(report)
}
