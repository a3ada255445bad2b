//! The edges that tests share, because starting one takes seconds. Each test brings tickets of its own.

use std::{ops::Deref, thread};

use tokio::sync::OnceCell;

use crate::{edge::Edge, edge_config::EdgeConfig};

/// How long a ticket counts as young at the shared edges, in seconds: short, so that reading from KV
/// can be awaited.
pub const YOUNG_SECONDS: u64 = 2;

static EDGE: OnceCell<Edge> = OnceCell::const_new();

/// The edge that most tests use: logins must be signed; no origin is linked to it.
pub async fn edge() -> Shared {
    Shared::of(&EDGE, || {
        EdgeConfig::default().var("TICKET_YOUNG_SECONDS", YOUNG_SECONDS)
    })
    .await
}

/// An edge on loan. Shows what the edge logged meanwhile if the test fails.
#[derive(Debug)]
pub struct Shared {
    edge: &'static Edge,
    log_from: u64,
}

impl Shared {
    async fn of(cell: &'static OnceCell<Edge>, config: impl FnOnce() -> EdgeConfig) -> Self {
        let edge = cell.get_or_init(async || Edge::start(config()).await).await;
        Self {
            edge,
            log_from: edge.process().log_len(),
        }
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
            self.edge.process().show_log(self.log_from);
        }
    }
}
