//! Wires the parts together, and ends them in order: take nothing new, finish what is held, deliver
//! what is quickly delivered, stop.

use std::{sync::Arc, time::Duration};

use headstart_client::{clock::now_ms, http_client};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::{
    config::{Config, Secrets},
    deliver::{self, Delivery},
    generate::{
        Generator,
        pool::{Pool, PoolSize},
    },
    intake::{
        link::{self, Links},
        listener::{self, Listener},
        unfinished,
    },
    metrics::Metrics,
    outbox::{Outbox, OutboxError},
    pipeline::Pipeline,
    shutdown::Shutdown,
};

/// How long a shutdown waits for deliveries, at most, once the grace is over or nothing is held any more;
/// what is not delivered by then stays in the outbox. Long enough for one more flush to KV, which comes at
/// most a second after the one before.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// Why the origin cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is nobody to serve.
    #[error("no edge is configured: add [[edges]] to the file, or give --edge-url")]
    NoEdge,
    /// The threads of the pool cannot be had.
    #[error("the generator's threads: {0}")]
    Pool(std::io::Error),
    /// The outbox cannot be opened or failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
    /// The address cannot be listened on.
    #[error("listening on {addr}: {reason}")]
    Listen {
        /// The address.
        addr: std::net::SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
}

/// Runs an origin that generates with `generator` until `stop` is done, and then at most the configured
/// grace and three seconds longer.
///
/// # Errors
/// [`ServeError`], when it cannot start, or its outbox is found to be damaged.
pub async fn serve(
    config: &Config,
    secrets: &Secrets,
    generator: Arc<dyn Generator>,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let first_edge = config.edges.first().ok_or(ServeError::NoEdge)?;
    let client = http_client::build()?;
    let outbox = Outbox::open(&config.outbox.path, deliver::ways(config))?;
    let socket = match config.listen.addr {
        Some(addr) => Some(
            TcpListener::bind(addr)
                .await
                .map_err(|reason| ServeError::Listen { addr, reason })?,
        ),
        None => None,
    };
    let size = PoolSize {
        threads: config.generate.threads(),
        queue: config.generate.queue,
    };
    let pool = Pool::start(generator, size, Arc::new(now_ms)).map_err(ServeError::Pool)?;
    let capacity = size.threads + size.queue;
    // What is not finished is handed back before what was finished is delivered.
    let (shutdown, deliveries) = (Shutdown::default(), Shutdown::default());
    let pipeline = Pipeline::new(
        pool,
        outbox.clone(),
        config.origin.source(),
        secrets.ticket.value.clone(),
        config.tickets.times(),
        config.generate.timeout(),
        Metrics::default(),
    );
    pipeline.breaker().watch_disk(config.outbox.min_free_bytes);

    let mut delivery = Delivery::start(
        config,
        secrets,
        &client,
        &outbox,
        pipeline.metrics(),
        &deliveries,
    );
    let intake = TaskTracker::new();
    let instance = Uuid::now_v7().to_string();
    for (edge, edge_secrets) in config.edges.iter().zip(&secrets.edges) {
        intake.spawn(link::keep(Links {
            edge: edge.clone(),
            key: edge_secrets.key.value.current().clone(),
            origin: config.origin.name.clone(),
            instance: instance.clone(),
            capacity: capacity.div_ceil(config.edges.len()),
            pipeline: pipeline.clone(),
            recovery: delivery.recovery(&edge.name()),
            stalled: delivery.stalled(&edge.name()).subscribe(),
            shutdown: shutdown.clone(),
        }));
    }
    if let Some(socket) = socket {
        let listener = Listener::new(
            pipeline.clone(),
            config.listen.auth,
            secrets.login.as_ref().map(|found| found.value.clone()),
            first_edge.at(""),
            config.origin.name.clone(),
            shutdown.clone(),
        );
        announce(config, &socket);
        intake.spawn(listen(listener, socket));
    }
    let (early, early_shutdown) = (pipeline.clone(), shutdown.clone());
    intake.spawn(async move {
        if let Err(error) = unfinished::finish(&early, &early_shutdown).await {
            tracing::error!(%error, "the journal cannot be read");
        }
    });
    intake.close();
    tracing::info!(
        origin = config.origin.name,
        edges = config.edges.len(),
        "ready"
    );

    let damaged = tokio::select! {
        () = stop => None,
        error = outbox.damaged() => Some(error),
    };
    end(
        config.origin.grace(),
        &shutdown,
        &pipeline,
        &intake,
        &delivery,
        &deliveries,
    )
    .await;
    damaged.map_or(Ok(()), |error| Err(error.into()))
}

async fn end(
    grace: Duration,
    shutdown: &Shutdown,
    pipeline: &Pipeline,
    intake: &TaskTracker,
    delivery: &Delivery,
    deliveries: &Shutdown,
) {
    tracing::info!(grace_s = grace.as_secs(), "going: nothing new is taken");
    shutdown.drain();
    if tokio::time::timeout(grace, intake.wait()).await.is_err() {
        tracing::warn!("the grace is over: what is not finished is handed back");
    }
    shutdown.end();
    pipeline.close();
    // Not of the grace: what was finished in its last moment is delivered, too.
    let (flushed, ()) = tokio::join!(delivery.flush(FLUSH_PATIENCE), intake.wait());
    match flushed {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("not everything is delivered yet; the rest stays in the outbox");
        }
        Err(error) => tracing::error!(%error, "the outbox"),
    }
    deliveries.end();
    delivery.ended().await;
    for lane in delivery.counts() {
        tracing::info!(
            edge = lane.edge,
            way = lane.way,
            delivered = lane.counts.delivered,
            retried = lane.counts.retried,
            refused = lane.counts.refused,
            "gone"
        );
    }
}

fn announce(config: &Config, socket: &TcpListener) {
    // The port that was given, where 0 was asked for.
    let addr = socket
        .local_addr()
        .map_or_else(|_| String::new(), |addr| addr.to_string());
    tracing::info!(addr, auth = ?config.listen.auth, "listening");
    if config.listen.auth == crate::config::Auth::Open {
        tracing::warn!("anyone who reaches the listener may log in as anyone (listen.auth = open)");
    }
}

async fn listen(listener: Listener, socket: TcpListener) {
    listener::serve(listener.clone(), socket).await;
    listener.settled().await;
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{
        event::Event,
        report::{EventResult, PublishReport, Status},
    };
    use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

    use super::*;
    use crate::{
        config::{self, Environment},
        outbox::Way,
        testing::{self, key, offer},
    };

    /// An edge that takes every event, each batch after a moment.
    async fn slow_edge() -> MockServer {
        let server = MockServer::start().await;
        let take = |request: &Request| {
            let batch = Event::batch_from_json(&request.body).unwrap();
            let taken = batch.into_iter().map(|event| EventResult {
                id: event.unwrap().id,
                status: Status::Accepted,
                reason: None,
            });
            let results = taken.collect();
            ResponseTemplate::new(200)
                .set_delay(Duration::from_millis(300))
                .set_body_json(PublishReport { results })
        };
        Mock::given(any()).respond_with(take).mount(&server).await;
        server
    }

    #[tokio::test]
    async fn after_the_grace_what_is_held_is_handed_back_and_then_what_was_finished_is_delivered() {
        let edge = slow_edge().await;
        let environment: Environment = [
            ("HEADSTART_TICKET_KEY", key(1).expose()),
            ("HEADSTART_ORIGIN_KEY", key(2).expose()),
            ("HEADSTART_EDGES_0_NAME", "edge".to_owned()),
            ("HEADSTART_EDGES_0_URL", edge.uri()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        let config = config::load(None, &environment, &[]).unwrap().config;
        let secrets = Secrets::read(&config, &environment).unwrap();
        let (outbox, _folder) = testing::outbox(false);
        let pipeline = testing::pipeline(&outbox, 1, Duration::from_secs(1));
        let client = http_client::build().unwrap();
        let (shutdown, deliveries) = (Shutdown::default(), Shutdown::default());
        let metrics = pipeline.metrics();
        let delivery = Delivery::start(&config, &secrets, &client, &outbox, metrics, &deliveries);
        let intake = TaskTracker::new();
        let (held, kept) = (shutdown.clone(), outbox.clone());
        let held = intake.spawn(async move {
            held.over().await;
            kept.pending("edge", Way::Event).await.unwrap()
        });
        intake.close();
        outbox.commit(offer(b"1")).await.unwrap();
        let grace = Duration::ZERO;
        end(grace, &shutdown, &pipeline, &intake, &delivery, &deliveries).await;
        assert_eq!(held.await.unwrap(), 1, "handed back first");
        assert_eq!(outbox.pending("edge", Way::Event).await.unwrap(), 0);
    }
}
