//! How long an offer takes from the end of its generation to whoever waits for it, at low load, in round
//! trips to the same workerd.
//!
//! The origin runs in this program, with a generator that notes when it is done. So both ends are taken by
//! one clock, to the microsecond. What lies between is told by the offer's stamps, which have milliseconds:
//! their means over many logins are finer than that.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use headstart_client::{clock::now_ms, signing::signed_headers, subscribe::sse};
use headstart_protocol::{
    event::{Event, TYPE_OFFER_READY},
    login::LoginAccepted,
    stamps::{Point, Stamps},
};
use headstart_tests::keys::login_key;
use http::{Request, StatusCode, header::ACCEPT};
use http_body_util::Full;
use hyper::body::Bytes;
use origin_publisher::{
    config::{self, Environment, Secrets},
    generate::{Content, Deadline, GenerateError, Generator, LoginData, retail},
    serve::serve,
};
use tempfile::TempDir;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    http_pool::HttpPool,
    logins::percentile,
    origin,
    table::{self, ms},
    workerd::Workerd,
};

/// How long a generation takes at least: whoever logs in waits by then.
const GENERATION: Duration = Duration::from_millis(50);

/// Round trips that are measured before each login.
const PINGS: usize = 5;

/// Logins before any is measured.
const WARMING: usize = 20;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How an offer is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Sse,
    WebSocket,
}

/// An offer in hand.
#[derive(Debug)]
struct Arrival {
    at: Instant,
    at_ms: u64,
    stamps: Stamps,
}

impl Arrival {
    /// Takes the time, and reads what came: an event that carries an offer.
    fn of(event: &[u8]) -> anyhow::Result<Self> {
        let (at, at_ms) = (Instant::now(), now_ms());
        let event = Event::from_json(event)?;
        if event.kind != TYPE_OFFER_READY {
            bail!("{} instead of an offer", event.kind);
        }
        let stamps = Stamps::of_event(&event);
        Ok(Self { at, at_ms, stamps })
    }
}

/// What was measured by one way.
#[derive(Debug, Default)]
struct Measured {
    took: Vec<Duration>,
    /// Milliseconds of each part of the way, summed up over all logins.
    parts: [i64; PARTS.len()],
}

/// The parts of the way, by where each ends.
const PARTS: [&str; 4] = [
    "at the origin",
    "to the edge",
    "to the object",
    "to the user",
];

impl Measured {
    fn add(&mut self, took: Duration, arrival: &Arrival) -> anyhow::Result<()> {
        let points = [
            Point::Generated,
            Point::Published,
            Point::Received,
            Point::Delivered,
        ];
        let mut last = None;
        let ends = points.into_iter().map(|point| arrival.stamps.get(point));
        let mut spans = Vec::new();
        for end in ends.chain([Some(arrival.at_ms)]) {
            let end = i64::try_from(end.context("a stamp is missing")?)?;
            spans.extend(last.map(|last| end - last));
            last = Some(end);
        }
        for (sum, span) in self.parts.iter_mut().zip(spans) {
            *sum += span;
        }
        self.took.push(took);
        Ok(())
    }
}

/// Measures so many logins by each way, in turns, and prints.
pub async fn run(logins: usize) -> anyhow::Result<()> {
    let edge = Workerd::headstart(&[]).await?;
    let ends = Ends::default();
    let origin = InProcess::start(&edge, &ends)?;
    let http = HttpPool::new(edge.url())?;
    let mut pings = Vec::new();
    let mut measured = [Measured::default(), Measured::default()];
    for number in 0..WARMING + logins {
        for (way, measured) in [Way::Sse, Way::WebSocket].into_iter().zip(&mut measured) {
            let mut round_trips = Vec::new();
            for _ in 0..PINGS {
                round_trips.push(ping(&http).await?);
            }
            let user = format!("{way:?}-{number}");
            let arrived = timeout(PATIENCE, offer(&http, &edge, way, &user)).await??;
            if number >= WARMING {
                pings.extend(round_trips);
                let ended = ends.take(&user).context("an offer that nobody generated")?;
                measured.add(arrived.at.duration_since(ended), &arrived)?;
            }
        }
    }
    origin.stop().await?;
    print(&mut pings, &mut measured);
    Ok(())
}

/// One round trip to workerd that does nothing.
async fn ping(http: &HttpPool) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let answer = http
        .send(Request::get("/ping").body(Full::default())?)
        .await?;
    let status = answer.status();
    answer.rest().await?;
    let took = begun.elapsed();
    if !status.is_success() {
        bail!("{status} to a ping");
    }
    Ok(took)
}

/// Logs a user in and waits; gives when the offer was there.
async fn offer(http: &HttpPool, edge: &Workerd, way: Way, user: &str) -> anyhow::Result<Arrival> {
    let body = Bytes::from(format!(r#"{{"user":"{user}"}}"#));
    let headers = signed_headers(&body, &login_key());
    let mut request = Request::post("/login").body(Full::new(body))?;
    *request.headers_mut() = headers;
    let answer = http.send(request).await?;
    if answer.status() != StatusCode::ACCEPTED {
        bail!("{} to a login", answer.status());
    }
    let accepted: LoginAccepted = serde_json::from_slice(&answer.rest().await?)?;
    match way {
        Way::Sse => by_sse(http, &accepted.events).await,
        Way::WebSocket => by_websocket(edge, &accepted.ws).await,
    }
}

async fn by_sse(http: &HttpPool, path: &str) -> anyhow::Result<Arrival> {
    let request = Request::get(path).header(ACCEPT, "text/event-stream");
    let mut answer = http.send(request.body(Full::default())?).await?;
    let mut reader = sse::Reader::default();
    let mut arrived = None;
    while arrived.is_none() {
        let bytes = answer.next().await?.context("a stream ended early")?;
        reader.read(&bytes, |frame| {
            arrived = Some(Arrival::of(frame.data));
        })?;
    }
    answer.rest().await?;
    arrived.context("no offer")?
}

async fn by_websocket(edge: &Workerd, path: &str) -> anyhow::Result<Arrival> {
    let mut url = edge.url().join(path)?;
    url.set_scheme("ws").ok().context("a URL that is no HTTP")?;
    let (mut socket, _) = tokio_tungstenite::connect_async(url.as_str()).await?;
    let message = socket.next().await.context("a socket ended early")??;
    let arrival = Arrival::of(message.to_text()?.as_bytes());
    socket.close(None).await?;
    arrival
}

/// When the generation for a user ended.
#[derive(Debug, Clone, Default)]
struct Ends(Arc<Mutex<HashMap<String, Instant>>>);

impl Ends {
    fn note(&self, user: &str) {
        self.lock().insert(user.to_owned(), Instant::now());
    }

    fn take(&self, user: &str) -> Option<Instant> {
        self.lock().remove(user)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        // Nothing under this lock can leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Generates with another one, and notes when it was done.
struct Noting<G> {
    generator: G,
    ends: Ends,
}

impl<G: Generator> Generator for Noting<G> {
    fn generate(&self, login: &LoginData, deadline: &Deadline) -> Result<Content, GenerateError> {
        std::thread::sleep(GENERATION);
        let content = self.generator.generate(login, deadline);
        self.ends.note(&login.user);
        content
    }
}

/// An origin in this program.
#[derive(Debug)]
struct InProcess {
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<anyhow::Result<()>>,
    _folder: TempDir,
}

impl InProcess {
    fn start(edge: &Workerd, ends: &Ends) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("headstart-bench-")?;
        let environment: Environment = origin::variables(edge.url(), folder.path())
            .into_iter()
            .collect();
        // Empty, and so nothing but the variables.
        let file = folder.path().join("headstart.toml");
        fs::write(&file, "")?;
        let config = config::load(Some(&file), &environment, &[])?.config;
        let secrets = Secrets::read(&config, &environment)?;
        let generator = Noting {
            generator: retail::learn(&config.generate.retail)?,
            ends: ends.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(&config, &secrets, Arc::new(generator), stopped).await?;
            Ok(())
        });
        Ok(Self {
            stop,
            served,
            _folder: folder,
        })
    }

    async fn stop(self) -> anyhow::Result<()> {
        // It may have ended by itself, which then says why.
        let _ = self.stop.send(());
        self.served.await?
    }
}

fn print(pings: &mut [Duration], measured: &mut [Measured; 2]) {
    let logins = measured[0].took.len();
    let title = format!(
        "From the end of a generation to the offer in hand, {logins} logins by each way, one after the other; beside\n\
         it in round trips to the same workerd (GET /ping), in their p50."
    );
    let head = [
        "what",
        "p50 ms",
        "p99 ms",
        "p50 in\nround trips",
        "p99 in\nround trips",
    ];
    pings.sort_unstable();
    let unit = percentile(pings, 0.5).unwrap_or_default().as_secs_f64();
    let row = |what: &str, sorted: &[Duration]| {
        let times = [0.5, 0.99].map(|part| percentile(sorted, part).unwrap_or_default());
        let ratios = times.map(|time| format!("{:.1}", time.as_secs_f64() / unit));
        let times = times.map(exact);
        [&[what.to_owned()][..], &times, &ratios].concat()
    };
    let ways = ["SSE", "WebSocket"];
    let mut rows = vec![row("a round trip", pings)];
    for (way, measured) in ways.into_iter().zip(&mut *measured) {
        measured.took.sort_unstable();
        rows.push(row(way, &measured.took));
    }
    table::print(&title, 1, &head, rows);

    let title = "Where that time goes: ms by the stamps, means. The clock of a Worker stands still while it computes.";
    let head = ["way", PARTS[0], PARTS[1], PARTS[2], PARTS[3]];
    let rows = ways.into_iter().zip(&*measured).map(|(way, measured)| {
        #[expect(
            clippy::cast_precision_loss,
            reason = "sums of milliseconds are far below 2^52"
        )]
        let mean = |sum: i64| format!("{:.2}", sum as f64 / logins as f64);
        [&[way.to_owned()][..], &measured.parts.map(mean)].concat()
    });
    table::print(title, 1, &head, rows);
}

fn exact(time: Duration) -> String {
    if time < Duration::from_millis(10) {
        format!("{:.2}", time.as_secs_f64() * 1000.0)
    } else {
        ms(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_way_are_the_spans_between_stamps() {
        let event = br#"{"specversion":"1.0","id":"e","source":"/o","type":"dev.headstart.offer.ready","subject":"t",
            "generatedat":"1000","publishedat":"1003","receivedat":"1004","deliveredat":"1009","data":1}"#;
        let mut arrival = Arrival::of(event).unwrap();
        arrival.at_ms = 1011;
        let mut measured = Measured::default();
        for _ in 0..2 {
            measured.add(Duration::from_millis(11), &arrival).unwrap();
        }
        assert_eq!(measured.parts, [6, 2, 10, 4]);
        arrival.stamps = Stamps::default();
        assert!(measured.add(Duration::ZERO, &arrival).is_err());
        let failed = String::from_utf8_lossy(event).replace("ready", "failed");
        assert!(Arrival::of(failed.as_bytes()).is_err());
    }
}
