//! The one thread that writes, by group commit: whatever waits for it is executed in one transaction and answered
//! after that has been committed: one flush of the disk for the whole group.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, Savepoint, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{OutboxError, health::Health, lock::Lock};

/// Writes that may wait for the thread; more make their senders wait.
const QUEUE: usize = 1024;

/// Most writes in one group: bounds how long the first of a group waits for the last.
const MAX_GROUP: usize = 512;

/// Tells the sender what became of its write, given what became of the whole group.
type Answer = Box<dyn FnOnce(Result<(), OutboxError>) + Send>;

/// Executes one write inside the group's transaction; returns why it failed, where it did.
type Write = Box<dyn FnOnce(&mut Transaction<'_>) -> (Result<(), OutboxError>, Answer) + Send>;

/// A handle to the thread. Dropping it waits until everything queued is written.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` only while being dropped.
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which owns the connection and the lock.
    pub(super) fn start(
        connection: Connection,
        lock: Lock,
        health: Arc<Health>,
    ) -> std::io::Result<Self> {
        let (queue, writes) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || {
                write_until_closed(connection, writes, &health);
                drop(lock);
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Executes `work` in the next group; its result comes once that is durable. When `work` fails,
    /// nothing of it is kept, and the others of its group are not touched.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let (reply, result) = oneshot::channel();
        let write: Write = Box::new(move |transaction| {
            let worked = in_savepoint(transaction, work).map_err(OutboxError::from);
            let outcome = worked.as_ref().map(drop).map_err(Clone::clone);
            let answer: Answer = Box::new(move |committed| {
                // Whoever asked may be gone; the write stands all the same.
                let _ = reply.send(committed.and(worked));
            });
            (outcome, answer)
        });
        let queue = self.queue.as_ref().ok_or(OutboxError::Closed)?;
        queue.send(write).await.map_err(|_| OutboxError::Closed)?;
        result.await.map_err(|_| OutboxError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // It panics only if SQLite's wrapper does, and then has said so already.
            let _ = thread.join();
        }
    }
}

fn in_savepoint<T>(
    transaction: &mut Transaction<'_>,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    // Rolled back on drop unless committed.
    let savepoint: Savepoint<'_> = transaction.savepoint()?;
    let value = work(&savepoint)?;
    savepoint.commit()?;
    Ok(value)
}

fn write_until_closed(
    mut connection: Connection,
    mut writes: mpsc::Receiver<Write>,
    health: &Health,
) {
    let mut group = Vec::new();
    while writes.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        commit_group(&mut connection, &mut group, health);
    }
}

/// Commits a group and tells the senders, and before them how the outbox does.
fn commit_group(connection: &mut Connection, group: &mut Vec<Write>, health: &Health) {
    let mut answers = Vec::with_capacity(group.len());
    let changes = connection.total_changes();
    let committed = execute_group(connection, group, &mut answers);
    match &committed {
        // What changes nothing writes nothing, and so tells nothing.
        Ok(()) if connection.total_changes() == changes => {}
        Ok(()) => health.written(),
        Err(error) => health.failed(error),
    }
    // Those that were not even begun are dropped, and their senders see the outbox closed.
    group.clear();
    for answer in answers {
        answer(committed.clone());
    }
}

fn execute_group(
    connection: &mut Connection,
    group: &mut Vec<Write>,
    answers: &mut Vec<Answer>,
) -> Result<(), OutboxError> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for write in group.drain(..) {
        let (outcome, answer) = write(&mut transaction);
        answers.push(answer);
        // Some failures, as of a full disk, undo the whole transaction. What came after would be by itself.
        if transaction.is_autocommit() {
            return outcome.and(Err(OutboxError::Closed));
        }
    }
    transaction.commit()?;
    Ok(())
}
