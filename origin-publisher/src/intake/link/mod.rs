//! The link: the origin connects *out* to an edge, and logins are leased to it. No inbound port.
//!
//! An edge has one or more desks, and there is one link to each. The first welcome tells how many.
//!
//! | question | file |
//! |---|---|
//! | Which links are there, and when are they opened again? | this one |
//! | How is a link opened? | `handshake.rs` |
//! | What is said over an open link? | `conversation.rs` |
//! | What becomes of a lease? | `lease.rs` |

mod conversation;
mod handshake;
mod lease;

use std::{sync::Arc, time::Duration};

use conversation::{Desk, Ended};
use headstart_client::backoff::Backoff;
use headstart_protocol::keys::Key;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{config::EdgeConfig, pipeline::Pipeline, shutdown::Shutdown};

/// Shortest and longest wait before a link is opened again; jitter adds up to as much again. Short, since
/// logins wait for it, and deliveries too: see [`Links::recovery`].
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(1500));

/// Most desks that an edge is believed to have; more would be a mistake, and cost a socket each.
const MAX_DESKS: u32 = 1024;

/// All that the links to one edge share.
#[derive(Debug)]
pub struct Links {
    /// The edge.
    pub edge: EdgeConfig,
    /// Signs the handshakes.
    pub key: Key,
    /// This origin's name, for the edge's logs.
    pub origin: String,
    /// Names this run of the origin, unlike every other.
    pub instance: String,
    /// How many leases the origin can hold over all links to this edge.
    pub capacity: usize,
    /// Settles what is leased.
    pub pipeline: Pipeline,
    /// Told when the edge welcomes a link, and so is well.
    pub recovery: watch::Sender<()>,
    /// Whether the edge has taken no settlements for long: no logins are taken from it then.
    pub stalled: watch::Receiver<bool>,
    /// Ends the links.
    pub shutdown: Shutdown,
}

impl Links {
    /// Returns whether logins are taken: what comes of them can be kept, and delivered.
    fn takes_logins(&self) -> bool {
        !self.pipeline.breaker().is_tripped() && !*self.stalled.borrow()
    }

    /// Waits until logins are taken, or are not.
    async fn turns(&self, takes_logins: bool) {
        let breaker = self.pipeline.breaker();
        let mut stalled = self.stalled.clone();
        loop {
            let is_tripped = breaker.is_tripped();
            if takes_logins != (is_tripped || *stalled.borrow_and_update()) {
                return;
            }
            tokio::select! {
                () = breaker.turns(!is_tripped) => {}
                Ok(()) = stalled.changed() => {}
            }
        }
    }
}

/// Keeps a link to every desk of the edge until the shutdown; returns once all have ended.
pub async fn keep(links: Links) {
    let links = Arc::new(links);
    let (desks, mut news) = watch::channel(1_u32);
    let tracker = TaskTracker::new();
    let mut opened = 0;
    // Counted from the start: that there is none yet shows, too.
    drop(links.pipeline.metrics().link_open(links.edge.name()));
    loop {
        let wanted = (*news.borrow_and_update()).min(MAX_DESKS);
        while opened < wanted {
            tracker.spawn(keep_one(Arc::clone(&links), opened, desks.clone()));
            opened += 1;
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { break },
            () = links.shutdown.drained() => break,
        }
    }
    tracker.close();
    tracker.wait().await;
}

/// Keeps the link to one desk.
async fn keep_one(links: Arc<Links>, number: u32, desks: watch::Sender<u32>) {
    let edge = links.edge.name();
    let mut desk = Desk::new(number);
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let mut announced = desks.subscribe();
    loop {
        let connected = tokio::select! {
            connected = handshake::open(&links, number) => connected,
            () = links.shutdown.drained() => break,
        };
        let reason = match connected {
            Ok(socket) => match conversation::hold(&links, &mut desk, socket, &desks).await {
                Ended::Drained => break,
                Ended::Lost { welcomed, reason } => {
                    if welcomed {
                        backoff.after_success();
                    }
                    reason
                }
            },
            Err(error) => error.to_string(),
        };
        if links.shutdown.is_draining() {
            break;
        }
        if *announced.borrow_and_update() <= number {
            tracing::info!(edge, desk = number, "the edge no longer has this desk");
            tokio::select! {
                again = announced.wait_for(|desks| *desks > number) => if again.is_err() { break },
                () = links.shutdown.drained() => break,
            }
        }
        let wait = backoff.after_failure();
        tracing::warn!(
            edge,
            desk = number,
            reason,
            retry_in_ms = headstart_client::clock::whole_ms(wait),
            "no link"
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = links.shutdown.drained() => break,
        }
    }
    desk.finish(&links.shutdown).await;
}

#[cfg(test)]
mod tests;
