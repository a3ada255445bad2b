//! How many offers a second an origin brings into KV, within what the provider allows.
//!
//! The origin's own parts run as they do in `origin-publisher serve`, from the generation on: pipeline,
//! outbox on disk, both deliveries. Edge and provider are fakes in this program: the provider's API cannot be
//! had here, and a local one has no limits. It counts, and refuses what the provider would refuse.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::{post, put},
};
use headstart_client::{clock::now_ms, http_client};
use headstart_protocol::{
    limits::{MAX_KV_BULK_BYTES, MAX_KV_BULK_PAIRS, MIN_KV_TTL_SECONDS},
    login::LoginData,
    report::{EventResult, PublishReport, Status},
};
use headstart_tests::keys::{fresh_ticket, origin_key, ticket_key};
use origin_publisher::{
    config::{self, Config, Environment, Secrets},
    deliver::{self, Delivery},
    generate::{
        Content, Deadline, GenerateError, Generator,
        pool::{Pool, PoolSize},
    },
    metrics::Metrics,
    outbox::Outbox,
    pipeline::{Job, Pipeline},
    shutdown::Shutdown,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

use crate::{table, usage::Process};

/// Calls that the provider takes in [`WINDOW`].
const MAX_CALLS: usize = 1200;

/// The provider's window.
const WINDOW: Duration = Duration::from_mins(5);

/// How long the fake takes for a bulk write.
const BULK_TIME: Duration = Duration::from_millis(500);

/// Logins in work at the same time.
const LOGINS: usize = 512;

/// Offers that are committed and not in KV: logins wait above that, so that what is measured can be
/// sustained.
const MAX_BACKLOG: u64 = 40_000;

/// Until an origin's budget and batches have grown to what is needed.
const WARM_UP: Duration = Duration::from_secs(20);

/// What an offer has, in bytes.
const SIZES: [usize; 2] = [1024, 4096];

/// Measures each size for so long.
pub async fn run(time: Duration) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for size in SIZES {
        rows.push(measure(size, time).await?);
    }
    table::print(
        &format!(
            "KV: offers that one origin generates, commits and brings into one edge's KV; the provider takes\n\
             {MAX_CALLS} calls in 5 minutes. Sustained for {} s.",
            time.as_secs()
        ),
        1,
        &[
            "bytes each",
            "offers/s",
            "as events/s",
            "calls in 5 min",
            "offers a call",
            "MB a call",
            "MB/s",
            "µs each",
            "busy",
        ],
        rows,
    );
    Ok(())
}

async fn measure(size: usize, time: Duration) -> anyhow::Result<Vec<String>> {
    let provider = Arc::new(Provider::default());
    let url = serve(Arc::clone(&provider)).await?;
    let folder = tempfile::tempdir()?;
    let (config, secrets) = configuration(&url, &folder.path().join("outbox.sqlite3"))?;
    let outbox = Outbox::open(&config.outbox.path, deliver::ways(&config))?;
    let pool_size = PoolSize {
        threads: 1,
        queue: LOGINS,
    };
    let pipeline = Pipeline::new(
        Pool::start(Arc::new(Fixed(size)), pool_size, Arc::new(now_ms))?,
        outbox.clone(),
        config.origin.source(),
        secrets.ticket.value.clone(),
        config.tickets.times(),
        config.generate.timeout(),
        Metrics::default(),
    );
    let (client, shutdown) = (http_client::build()?, Shutdown::default());
    let delivery = Delivery::start(
        &config,
        &secrets,
        &client,
        &outbox,
        pipeline.metrics(),
        &shutdown,
    );
    let settled = Arc::new(AtomicU64::new(0));
    let mut logins = JoinSet::new();
    let intake = Shutdown::default();
    for _ in 0..LOGINS {
        let (pipeline, provider, intake) =
            (pipeline.clone(), Arc::clone(&provider), intake.clone());
        logins.spawn(log_in(pipeline, provider, Arc::clone(&settled), intake));
    }

    tokio::time::sleep(WARM_UP).await;
    let (before, busy, begun) = (provider.seen(), Process::own().busy()?, Instant::now());
    tokio::time::sleep(time).await;
    let (after, took) = (provider.seen(), begun.elapsed().as_secs_f64());
    let busy = (Process::own().busy()?.saturating_sub(busy)).as_secs_f64() / took;
    intake.drain();
    logins.join_all().await;
    pipeline.close();
    delivery.flush(Duration::from_mins(1)).await?;
    shutdown.end();
    delivery.ended().await;
    let (all, settled) = (provider.seen(), settled.load(Ordering::Relaxed));
    ensure!(
        all.refused == 0,
        "the provider refused {} calls",
        all.refused
    );
    ensure!(
        all.offers == settled && all.events == settled,
        "of {settled} offers {} are in KV and {} at the edge",
        all.offers,
        all.events
    );

    let [offers, events, calls, bytes] = [
        after.offers - before.offers,
        after.events - before.events,
        after.calls - before.calls,
        after.bytes - before.bytes,
    ]
    .map(float);
    let megabytes = bytes / 1e6;
    Ok(vec![
        table::count(float(size as u64)),
        table::count(offers / took),
        table::count(events / took),
        table::count(calls / took * WINDOW.as_secs_f64()),
        table::count(offers / calls),
        format!("{:.1}", megabytes / calls),
        format!("{:.1}", megabytes / took),
        table::micros(Duration::from_secs_f64(busy * took / offers)),
        format!("{:.0} %", busy * 100.0),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Logs in again and again, until the intake drains.
async fn log_in(
    pipeline: Pipeline,
    provider: Arc<Provider>,
    settled: Arc<AtomicU64>,
    intake: Shutdown,
) {
    while !intake.is_draining() {
        let in_kv = provider.seen().offers;
        if settled.load(Ordering::Relaxed) > in_kv + MAX_BACKLOG {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        }
        let job = Job {
            ticket: fresh_ticket(),
            login: LoginData::default(),
            login_at_ms: Some(now_ms()),
            timeout: Duration::from_secs(10),
        };
        if pipeline.settle(job).await.is_ok() {
            settled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn configuration(url: &str, outbox: &std::path::Path) -> anyhow::Result<(Config, Secrets)> {
    let outbox = outbox.display().to_string();
    let environment: Environment = [
        ("HEADSTART_TICKET_KEY", ticket_key().expose().as_str()),
        ("HEADSTART_ORIGIN_KEY", origin_key().expose().as_str()),
        ("HEADSTART_API_TOKEN", "token"),
        ("HEADSTART_OUTBOX_PATH", outbox.as_str()),
        ("HEADSTART_EDGES_0_NAME", "edge"),
        ("HEADSTART_EDGES_0_URL", url),
        ("HEADSTART_EDGES_0_KV_API", url),
        ("HEADSTART_EDGES_0_KV_ACCOUNT_ID", "account"),
        ("HEADSTART_EDGES_0_KV_NAMESPACE_ID", "namespace"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let config = config::load(None, &environment, &[])?.config;
    let secrets = Secrets::read(&config, &environment)?;
    Ok((config, secrets))
}

/// Makes offers of this many bytes, at no cost.
#[derive(Debug)]
struct Fixed(usize);

impl Generator for Fixed {
    fn generate(&self, _: &LoginData, _: &Deadline) -> Result<Content, GenerateError> {
        Ok(Content {
            media_type: "application/json".to_owned(),
            bytes: json!("x".repeat(self.0 - 2)).to_string().into_bytes(),
        })
    }
}

/// A fake of edge and provider.
#[derive(Debug, Default)]
struct Provider(Mutex<Ledger>);

#[derive(Debug, Default)]
struct Ledger {
    /// When calls came, in the last five minutes.
    calls: VecDeque<Instant>,
    seen: Seen,
}

/// What has come.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    calls: u64,
    refused: u64,
    offers: u64,
    bytes: u64,
    events: u64,
}

/// What the fake looks at of a pair.
#[derive(Deserialize)]
struct Pair<'a> {
    #[serde(borrow, rename = "key")]
    _key: &'a str,
    expiration_ttl: u64,
}

/// What the fake looks at of an event.
#[derive(Deserialize)]
struct Id {
    id: String,
}

impl Provider {
    fn seen(&self) -> Seen {
        self.lock().seen
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call, unless there were too many.
    fn call(&self) -> bool {
        let (mut ledger, now) = (self.lock(), Instant::now());
        while ledger.calls.front().is_some_and(|at| *at + WINDOW <= now) {
            ledger.calls.pop_front();
        }
        ledger.seen.calls += 1;
        ledger.calls.push_back(now);
        ledger.calls.len() <= MAX_CALLS
    }
}

/// Serves both, and returns where.
async fn serve(provider: Arc<Provider>) -> anyhow::Result<String> {
    let routes = Router::new()
        .route(
            "/accounts/account/storage/kv/namespaces/namespace/bulk",
            put(bulk),
        )
        .route("/events", post(events))
        .layer(DefaultBodyLimit::max(MAX_KV_BULK_BYTES))
        .with_state(provider);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}

async fn bulk(State(provider): State<Arc<Provider>>, body: Bytes) -> (StatusCode, Json<Value>) {
    let pairs: Vec<Pair<'_>> = serde_json::from_slice(&body).unwrap_or_default();
    let is_allowed = (1..=MAX_KV_BULK_PAIRS).contains(&pairs.len())
        && pairs
            .iter()
            .all(|pair| pair.expiration_ttl >= MIN_KV_TTL_SECONDS);
    let status = match (provider.call(), is_allowed) {
        (true, true) => StatusCode::OK,
        (true, false) => StatusCode::BAD_REQUEST,
        (false, _) => StatusCode::TOO_MANY_REQUESTS,
    };
    if status != StatusCode::OK {
        provider.lock().seen.refused += 1;
        return (status, Json(json!({ "success": false, "errors": [] })));
    }
    let count = pairs.len() as u64;
    tokio::time::sleep(BULK_TIME).await;
    let mut ledger = provider.lock();
    ledger.seen.offers += count;
    ledger.seen.bytes += body.len() as u64;
    let result = json!({ "successful_key_count": count, "unsuccessful_keys": [] });
    (
        status,
        Json(json!({ "success": true, "errors": [], "result": result })),
    )
}

async fn events(State(provider): State<Arc<Provider>>, body: Bytes) -> Json<PublishReport> {
    let events: Vec<Id> = serde_json::from_slice(&body).unwrap_or_default();
    provider.lock().seen.events += events.len() as u64;
    let results = events.into_iter().map(|event| EventResult {
        id: event.id,
        status: Status::Accepted,
        reason: None,
    });
    Json(PublishReport {
        results: results.collect(),
    })
}
