//! Publishing updates by hand or from a script: each is durable before it is sent, and whoever publishes
//! waits until every edge has it. What an interrupted publisher leaves, the next one delivers.
//!
//! | question | file |
//! |---|---|
//! | Where are updates kept until they are delivered? | [`spool`] |
//! | How are lines read, and documents become updates? | [`document`] |
//! | How do they come into the outbox? | `source.rs` |
//! | What has become of which update? | [`progress`] |

pub mod document;
pub mod progress;
mod source;
pub mod spool;

use std::{collections::BTreeSet, path::PathBuf, pin::pin, time::Duration};

use headstart_client::clock::now_ms;
use headstart_protocol::{keys::Key, report::Status, topic::TopicName};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use self::{
    document::Document,
    progress::{Progress, Published},
    source::{Documents, Note},
    spool::Spool,
};
use crate::{
    config::EdgeConfig,
    deliver::{Delivery, EdgeRefusal, Listeners, Outcome},
    outbox::{EdgeWays, Outbox, OutboxError, Way},
    shutdown::Shutdown,
    sources::{self, MAX_WAITING, SourceError},
};

/// The name of the documents among sources.
const SOURCE: &str = "publish";

/// Notes of documents that the run has not heard yet.
const NOTES: usize = 1000;

/// How long deliveries may still take after an interruption, or after one of several edges has refused.
/// What is on its way to an edge that is well arrives within it.
const GRACE: Duration = Duration::from_millis(500);

/// How often it is looked whether something has expired.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why publishing ended early.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The outbox cannot be opened or failed.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The documents could not be kept.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
    /// An edge does not have everything yet.
    #[error(
        "{why}; {waiting} deliveries are still to be made: they are kept in {path}, and the next `publish` with the same outbox makes them"
    )]
    NotDelivered {
        /// Why it ended.
        why: Cut,
        /// How many deliveries, each of one update to one edge.
        waiting: u64,
        /// Where they are.
        path: PathBuf,
    },
}

/// Why publishing ended before everything was delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// It was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// Nothing was taken for so long.
    #[error("given up: nothing was taken for {} s", .0.as_secs_f64())]
    GivenUp(Duration),
    /// An edge will take nothing, however often it is tried.
    #[error("{}: {}", .0.edge, .0.reason)]
    Refused(EdgeRefusal),
}

/// What is published, and where.
#[derive(Debug)]
pub struct Plan {
    /// The edges, each with the key that it knows this origin by.
    pub edges: Vec<(EdgeConfig, Key)>,
    /// The origin's outbox; those for publishing lie beside it.
    pub outbox: PathBuf,
    /// Who publishes.
    pub source: String,
    /// The topic.
    pub topic: TopicName,
    /// How long an update is of use to anyone.
    pub ttl: Duration,
    /// How long nothing may be taken before it is given up; for ever, where absent.
    pub give_up: Option<Duration>,
}

/// What a publisher is told while it publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishEvent {
    /// An update has come to its end at every edge.
    Ended(Published),
    /// A document is no update, and was not kept.
    Refused {
        /// Which: its name, such as `line 7`.
        document: String,
        /// Why.
        reason: String,
    },
}

/// How many came to what end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Updates that every edge has.
    pub published: u64,
    /// Documents and updates that were refused, by some edge or before, or expired.
    pub refused: u64,
}

/// Publishes documents until there are no more or `stop` is done, and waits until all are delivered.
///
/// # Errors
/// [`PublishError`]; what was kept until then stays for the next publisher.
pub async fn publish(
    plan: &Plan,
    client: &reqwest::Client,
    documents: mpsc::Receiver<Document>,
    stop: impl Future<Output = ()>,
    tell: impl FnMut(PublishEvent),
) -> Result<Totals, PublishError> {
    let ways: Vec<EdgeWays> = plan
        .edges
        .iter()
        .map(|(edge, _)| EdgeWays {
            name: edge.name(),
            kv: false,
        })
        .collect();
    let spool = Spool::open(&plan.outbox, &ways).await?;
    let shutdown = Shutdown::default();
    let (send, outcomes) = mpsc::channel(MAX_WAITING);
    let (refused, refusals) = mpsc::channel(plan.edges.len());
    let mut listeners = Listeners {
        outcomes: Some(send),
        refused: Some(refused),
    };
    let own = Delivery::start_updates(&plan.edges, client, &spool.own, &listeners, &shutdown);
    listeners.outcomes = None;
    let earlier: Vec<Delivery> = spool
        .earlier
        .iter()
        .map(|outbox| Delivery::start_updates(&plan.edges, client, outbox, &listeners, &shutdown))
        .collect();
    drop(listeners);
    let (notes, heard) = mpsc::channel(NOTES);
    let source = Documents {
        plan,
        input: documents,
        notes,
    };
    let run = Run {
        plan,
        outbox: &spool.own,
        progress: Progress::new(ways.iter().map(|way| way.name.clone()).collect()),
        totals: Totals::default(),
        tell,
    };
    let signals = Signals {
        notes: heard,
        outcomes,
        refusals,
    };
    let source = sources::run(SOURCE, source, &spool.own, &shutdown);
    let flushed = async {
        own.flush(Duration::MAX).await?;
        for delivery in &earlier {
            delivery.flush(Duration::MAX).await?;
        }
        Ok(())
    };
    let result = run.finish(source, signals, stop, flushed, &shutdown).await;
    shutdown.end();
    own.ended().await;
    for delivery in &earlier {
        delivery.ended().await;
    }
    match result? {
        (totals, None) => Ok(totals),
        (_, Some(why)) => Err(PublishError::NotDelivered {
            why,
            waiting: spool.waiting(&ways).await?,
            path: spool.path,
        }),
    }
}

/// What a run hears of.
struct Signals {
    notes: mpsc::Receiver<Note>,
    outcomes: mpsc::Receiver<Outcome>,
    refusals: mpsc::Receiver<EdgeRefusal>,
}

/// One run of a publisher.
struct Run<'a, T> {
    plan: &'a Plan,
    outbox: &'a Outbox,
    progress: Progress,
    totals: Totals,
    tell: T,
}

impl<T: FnMut(PublishEvent)> Run<'_, T> {
    /// Ends when everything has been delivered, also what earlier publishers left; else says why not.
    async fn finish(
        mut self,
        source: impl Future<Output = Result<(), SourceError>>,
        mut signals: Signals,
        stop: impl Future<Output = ()>,
        flushed: impl Future<Output = Result<(), OutboxError>>,
        shutdown: &Shutdown,
    ) -> Result<(Totals, Option<Cut>), PublishError> {
        let (mut source, mut stop, mut flushed) = (pin!(source), pin!(stop), pin!(flushed));
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What will end it, and when.
        let mut ending: Option<(Instant, Cut)> = None;
        let mut refused = BTreeSet::new();
        let mut moved_at = Instant::now();
        let (mut reading, mut running) = (true, true);
        loop {
            let all_ended = !reading && self.progress.waiting() == 0;
            let ends_at = ending.as_ref().map(|(at, _)| *at);
            tokio::select! {
                biased;
                () = &mut stop, if ending.is_none() => {
                    tracing::info!(waiting = self.progress.waiting(), "going: no more is read");
                    ending = Some((Instant::now() + GRACE, Cut::Interrupted));
                }
                Some(refusal) = signals.refusals.recv() => {
                    refused.insert(refusal.edge.clone());
                    if refused.len() == self.plan.edges.len() {
                        return Ok((self.totals, Some(Cut::Refused(refusal))));
                    }
                    ending.get_or_insert((Instant::now() + GRACE, Cut::Refused(refusal)));
                }
                // Before what edges say: of each update there is a note before it can be delivered.
                note = signals.notes.recv(), if reading => match note {
                    Some(note) => {
                        if self.progress.waiting() == 0 {
                            moved_at = Instant::now();
                        }
                        self.note(note);
                    }
                    None => reading = false,
                },
                Some(outcome) = signals.outcomes.recv() => {
                    moved_at = Instant::now();
                    // An earlier publisher may have left the same id for another topic.
                    if outcome.subject == self.plan.topic.as_str() {
                        let ended = self.progress.record(outcome);
                        self.ended(ended);
                    }
                }
                ended = &mut source, if running => {
                    ended?;
                    running = false;
                }
                done = &mut flushed, if all_ended => {
                    done?;
                    return Ok((self.totals, None));
                }
                () = async { if let Some(at) = ends_at { sleep_until(at).await } }, if ends_at.is_some() => {
                    return Ok((self.totals, ending.map(|(_, why)| why)));
                }
                _ = looks.tick() => {
                    self.look(&signals.outcomes).await?;
                    let is_idle = reading && self.progress.waiting() == 0;
                    if let Some(limit) = self.plan.give_up
                        && !is_idle
                        && moved_at.elapsed() >= limit
                    {
                        return Ok((self.totals, Some(Cut::GivenUp(limit))));
                    }
                }
            }
            if ending.is_some() {
                shutdown.drain();
            }
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Begun { id, expires_at_ms } => self.progress.begin(&id, expires_at_ms),
            Note::Known(id) => {
                let ended = self.progress.duplicate(&id);
                self.ended(ended);
            }
            Note::Refused { document, reason } => {
                self.totals.refused += 1;
                (self.tell)(PublishEvent::Refused { document, reason });
            }
        }
    }

    /// Ends what has expired: it is in the outbox no more, and no edge has said anything of it.
    async fn look(&mut self, outcomes: &mpsc::Receiver<Outcome>) -> Result<(), OutboxError> {
        if self.progress.waiting() == 0 {
            return Ok(());
        }
        for (edge, _) in &self.plan.edges {
            if self.outbox.pending(&edge.name(), Way::Update).await? > 0 {
                return Ok(());
            }
        }
        // An outcome may be on its way from the outbox to here.
        if outcomes.is_empty() && self.progress.is_quiet() {
            for ended in self.progress.expired(now_ms()) {
                self.ended(Some(ended));
            }
        }
        Ok(())
    }

    fn ended(&mut self, ended: Option<Published>) {
        let Some(ended) = ended else { return };
        if ended.has_status(Status::Rejected) {
            self.totals.refused += 1;
        } else {
            self.totals.published += 1;
        }
        (self.tell)(PublishEvent::Ended(ended));
    }
}

#[cfg(test)]
mod tests;
