//! Where updates come from: a [`Source`] reads another system, and its [`Sink`] keeps what it brings in
//! the outbox, in one transaction with the position up to which it has read.
//!
//! That serves systems of both kinds, once [`Sink::commit`] has returned:
//!
//! | the system | the source |
//! |---|---|
//! | waits for acks: a queue | acks; what was not acked comes again |
//! | is read from where we say: a log, a change stream | goes on; its next run gets the position back |
//!
//! Either way a change may come twice, after a crash between the commit and the ack for example. So make
//! an event's id from its position (`redis:{stream}:{id}`, `pg:{lsn}:{n}`), never at random: what comes
//! again is then a duplicate, to the outbox and, for a day, to the edge.
//!
//! `origin-publisher publish` is one: its documents come from standard input ([`crate::publish`]).

use crate::{
    outbox::{Committed, Entry, Outbox, OutboxError, TopicUpdate, Way},
    shutdown::Shutdown,
};

/// Back-pressure: updates that may wait for their delivery to the edge that lacks most of them. Then no
/// more are taken from sources, so that an endless one does not fill the disk while an edge is away.
pub const MAX_WAITING: usize = 10_000;

/// Up to where a source has been read, in its own words: an offset, a resume token, a GTID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position(pub String);

/// Brings updates from another system.
pub trait Source: Send {
    /// Reads on from `from`, or from wherever the source begins where it is none, and commits to `sink`
    /// until the source ends or `shutdown` drains.
    ///
    /// # Errors
    /// [`SourceError`]; what was committed stays.
    fn run(
        self,
        from: Option<Position>,
        sink: Sink,
        shutdown: Shutdown,
    ) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// Why a source ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The outbox did not take what it brought.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The system that it reads failed.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// Runs `source` until it ends, from where the last run of a source named `name` committed last.
///
/// # Errors
/// [`SourceError`].
pub async fn run(
    name: &str,
    source: impl Source,
    outbox: &Outbox,
    shutdown: &Shutdown,
) -> Result<(), SourceError> {
    let from = outbox.position(name).await?.map(Position);
    let sink = Sink::new(name, outbox);
    source.run(from, sink, shutdown.clone()).await
}

/// Keeps what one source brings.
#[derive(Debug)]
pub struct Sink {
    source: String,
    outbox: Outbox,
    /// [`MAX_WAITING`]; a test has less.
    bound: usize,
}

impl Sink {
    fn new(source: &str, outbox: &Outbox) -> Self {
        Self {
            source: source.to_owned(),
            outbox: outbox.clone(),
            bound: MAX_WAITING,
        }
    }

    /// Keeps `changes` in this order, and that the source has been read up to `position`: all of it
    /// durable once this returns, or none. Waits while [`MAX_WAITING`] updates wait for their delivery. A
    /// source that cannot resume has no position. Says of each change whether it is new, or was kept
    /// before.
    ///
    /// # Errors
    /// [`OutboxError`], when it is not durable.
    pub async fn commit(
        &self,
        changes: Vec<TopicUpdate>,
        position: Option<Position>,
    ) -> Result<Vec<Committed>, OutboxError> {
        self.room().await?;
        let entries = changes.into_iter().map(Entry::from).collect();
        let position = position.map(|Position(at)| (self.source.clone(), at));
        self.outbox.commit_with(entries, position).await
    }

    async fn room(&self) -> Result<(), OutboxError> {
        let mut ends = self.outbox.ends();
        loop {
            ends.mark_unchanged();
            let mut most = 0;
            for (edge, way) in self.outbox.lanes() {
                if way == Way::Update {
                    most = self.outbox.pending(edge, way).await?.max(most);
                }
            }
            if most < self.bound as u64 {
                return Ok(());
            }
            // Fails only when the outbox is gone, which this sink itself keeps.
            let _ = ends.changed().await;
        }
    }
}

#[cfg(test)]
mod tests;
