//! How long an offer takes from the end of its generation to whoever waits for it, at low load, in round
//! trips to the same workerd.
//!
//! The origin runs in this program, with a generator that notes when it is done. So both ends are taken by
//! one clock, to the microsecond.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use headstart_client::{signing::signed_headers, subscribe::sse};
use headstart_protocol::login::LoginAccepted;
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

/// Measures so many logins by each way, in turns, and prints.
pub async fn run(logins: usize) -> anyhow::Result<()> {
    let edge = Workerd::headstart(&[]).await?;
    let ends = Ends::default();
    let origin = InProcess::start(&edge, &ends)?;
    let http = HttpPool::new(edge.url())?;
    let mut pings = Vec::new();
    let mut took = [Vec::new(), Vec::new()];
    for number in 0..WARMING + logins {
        for (way, took) in [Way::Sse, Way::WebSocket].into_iter().zip(&mut took) {
            let mut round_trips = Vec::new();
            for _ in 0..PINGS {
                round_trips.push(ping(&http).await?);
            }
            let user = format!("{way:?}-{number}");
            let arrived = timeout(PATIENCE, offer(&http, &edge, way, &user)).await??;
            if number >= WARMING {
                pings.extend(round_trips);
                let ended = ends.take(&user).context("an offer that nobody generated")?;
                took.push(arrived.duration_since(ended));
            }
        }
    }
    origin.stop().await?;
    print(&mut pings, &mut took);
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
async fn offer(http: &HttpPool, edge: &Workerd, way: Way, user: &str) -> anyhow::Result<Instant> {
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

async fn by_sse(http: &HttpPool, path: &str) -> anyhow::Result<Instant> {
    let request = Request::get(path).header(ACCEPT, "text/event-stream");
    let mut answer = http.send(request.body(Full::default())?).await?;
    let mut reader = sse::Reader::default();
    let mut arrived = None;
    while arrived.is_none() {
        let bytes = answer.next().await?.context("a stream ended early")?;
        reader.read(&bytes, |frame| {
            arrived = (frame.event == b"offer").then(Instant::now);
        })?;
    }
    answer.rest().await?;
    arrived.context("no offer")
}

async fn by_websocket(edge: &Workerd, path: &str) -> anyhow::Result<Instant> {
    let mut url = edge.url().join(path)?;
    url.set_scheme("ws").ok().context("a URL that is no HTTP")?;
    let (mut socket, _) = tokio_tungstenite::connect_async(url.as_str()).await?;
    let message = socket.next().await.context("a socket ended early")??;
    let arrived = Instant::now();
    if !message.to_text()?.contains("offer.ready") {
        bail!("no offer: {message}");
    }
    socket.close(None).await?;
    Ok(arrived)
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

fn print(pings: &mut [Duration], took: &mut [Vec<Duration>; 2]) {
    let title = format!(
        "From the end of a generation to the offer in hand, {} logins by each way, one after the other; beside\n\
         it in round trips to the same workerd (GET /ping), in their p50.",
        took[0].len()
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
    let mut rows = vec![row("a round trip", pings)];
    for (what, took) in ["SSE", "WebSocket"].into_iter().zip(took) {
        took.sort_unstable();
        rows.push(row(what, took));
    }
    table::print(&title, 1, &head, rows);
}

fn exact(time: Duration) -> String {
    if time < Duration::from_millis(10) {
        format!("{:.2}", time.as_secs_f64() * 1000.0)
    } else {
        ms(time)
    }
}
