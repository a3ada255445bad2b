//! The edges that tests share, because starting one takes seconds. Each test brings tickets of its own.

use std::{ops::Deref, thread};

use tokio::sync::OnceCell;

use crate::{
    edge::Edge,
    edge_config::EdgeConfig,
    origin::{Origin, OriginConfig},
};

/// How long a ticket counts as young at the shared edges, in seconds: short, so that reading from KV
/// can be awaited.
pub const YOUNG_SECONDS: u64 = 2;

/// How long tickets live at the shared edges, in seconds: as `wrangler.toml` says.
pub const TTL_SECONDS: u64 = 3600;

/// The page that may call the shared edge from a browser.
pub const PAGE: &str = "https://shop.example";

/// How many logins the open edge takes from one client in a minute.
pub const OPEN_LIMIT: u32 = 5;

/// How many bytes of updates a topic remembers at the shared edge: more than go into one answer.
pub const HISTORY_BYTES: usize = 8 * 1024 * 1024;

/// How many updates a topic remembers at the forgetful edge.
pub const FORGETFUL_COUNT: u64 = 10;

/// How many bytes of updates a topic remembers at the forgetful edge.
pub const FORGETFUL_BYTES: usize = 100_000;

/// For how long a topic remembers an update at the forgetful edge, in seconds: long enough for a busy
/// machine to ask for one before that.
pub const FORGETFUL_SECONDS: u64 = 15;

/// How many updates a topic remembers at the brief edge.
pub const BRIEF_COUNT: u64 = 10;

/// How many subscribers of a topic are at its root at the relaying edge, before newcomers are sent to
/// relays.
pub const RELAY_THRESHOLD: usize = 2;

/// How many subscribers a relay takes at the relaying edge.
pub const RELAY_CAPACITY: usize = 5;

/// How many updates a topic remembers at the relaying edge: more than a relay, which has 256.
pub const RELAYED_HISTORY: u64 = 600;

static EDGE: OnceCell<Edge> = OnceCell::const_new();
static OPEN_EDGE: OnceCell<Edge> = OnceCell::const_new();
static FORGETFUL_EDGE: OnceCell<Edge> = OnceCell::const_new();
static BRIEF_EDGE: OnceCell<Edge> = OnceCell::const_new();
static RELAYING_EDGE: OnceCell<Edge> = OnceCell::const_new();
static SHOP: OnceCell<(Edge, Origin)> = OnceCell::const_new();

/// The edge that most tests use: logins must be signed, and no origin takes them, which it notices
/// soon.
pub async fn edge() -> Shared {
    Shared::of(&EDGE, || {
        EdgeConfig::default()
            .var("TICKET_YOUNG_SECONDS", YOUNG_SECONDS)
            .var("TICKET_TTL_SECONDS", TTL_SECONDS)
            .var("CORS_ORIGINS", PAGE)
            .var("LOGIN_DESKS", 2)
            .var("LOGIN_TIMEOUT_SECONDS", 2)
            .var("HISTORY_BYTES", HISTORY_BYTES)
            .var("PRESENCE", "on")
    })
    .await
}

/// An edge that lets anyone log in, a few times a minute, from any page, and whose streams end soon.
pub async fn open_edge() -> Shared {
    Shared::of(&OPEN_EDGE, || {
        EdgeConfig::default()
            .var("LOGIN_AUTH", "open")
            .var("CORS_ORIGINS", "*")
            .var("STREAM_LIFE_SECONDS", 1)
            .logins_per_minute(OPEN_LIMIT)
    })
    .await
}

/// An edge whose topics remember little, and that does not tell who follows them.
pub async fn forgetful_edge() -> Shared {
    Shared::of(&FORGETFUL_EDGE, || {
        EdgeConfig::default()
            .var("HISTORY_COUNT", FORGETFUL_COUNT)
            .var("HISTORY_BYTES", FORGETFUL_BYTES)
            .var("HISTORY_SECONDS", FORGETFUL_SECONDS)
            .var("PRESENCE", "off")
    })
    .await
}

/// An edge whose topics remember few updates, for as long as `wrangler.toml` says.
pub async fn brief_edge() -> Shared {
    Shared::of(&BRIEF_EDGE, || {
        EdgeConfig::default().var("HISTORY_COUNT", BRIEF_COUNT)
    })
    .await
}

/// An edge whose topics go to relays when they have a few subscribers.
pub async fn relaying_edge() -> Shared {
    Shared::of(&RELAYING_EDGE, || {
        relaying()
            .var("HISTORY_COUNT", RELAYED_HISTORY)
            .var("HISTORY_BYTES", HISTORY_BYTES)
            .var("CORS_ORIGINS", PAGE)
    })
    .await
}

/// The settings of an edge whose topics go to relays when they have a few subscribers.
#[must_use]
pub fn relaying() -> EdgeConfig {
    EdgeConfig::default()
        .var("RELAY_THRESHOLD", RELAY_THRESHOLD)
        .var("RELAY_CAPACITY", RELAY_CAPACITY)
        .var("PRESENCE", "on")
}

/// An edge with an origin that knows customers, and listens itself too.
pub async fn shop() -> Shared {
    let (edge, origin) = SHOP
        .get_or_init(async || {
            let config = EdgeConfig::default().var("TICKET_YOUNG_SECONDS", YOUNG_SECONDS);
            let edge = Edge::start(config).await;
            let origin = Origin::start(OriginConfig::new("shop").edge(&edge));
            origin.logged("linked", 1).await;
            (edge, origin)
        })
        .await;
    Shared::new(edge, Some(origin))
}

/// An edge on loan, with its origin where it has one. Shows what they logged meanwhile if the test
/// fails.
#[derive(Debug)]
pub struct Shared {
    edge: &'static Edge,
    origin: Option<&'static Origin>,
    edge_log_from: u64,
    origin_log_from: u64,
}

impl Shared {
    async fn of(cell: &'static OnceCell<Edge>, config: impl FnOnce() -> EdgeConfig) -> Self {
        let edge = cell.get_or_init(async || Edge::start(config()).await).await;
        Self::new(edge, None)
    }

    fn new(edge: &'static Edge, origin: Option<&'static Origin>) -> Self {
        Self {
            edge,
            origin,
            edge_log_from: edge.process().log_len(),
            origin_log_from: origin.map_or(0, |origin| origin.running().log_len()),
        }
    }

    /// The edge's origin.
    #[must_use]
    pub fn origin(&self) -> &'static Origin {
        self.origin.expect("this edge has an origin")
    }
}

impl Deref for Shared {
    type Target = Edge;

    fn deref(&self) -> &Edge {
        self.edge
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if thread::panicking() {
            self.edge.process().show_log(self.edge_log_from);
            if let Some(origin) = self.origin {
                origin.running().show_log(self.origin_log_from);
            }
        }
    }
}
