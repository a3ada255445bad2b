//! The outbox: every settlement of a ticket and every update of a topic is durable here before anyone
//! is told of it, and stays until every configured edge has it in every way it is to have it.
//!
//! One `SQLite` file in WAL mode with `synchronous=FULL`: a commit that was answered survives a
//! `kill -9` and a power cut. One thread writes, by group commit: whatever waits for it is committed
//! at once, so that many logins share one flush of the disk. Reading has a connection of its own.
//!
//! | question | file |
//! |---|---|
//! | What is kept, and what is handed to a delivery? | [`entry`] |
//! | Which tables are there? | `schema.rs` |
//! | How is a group committed? | `writer.rs` |
//! | How do settlements and updates come in? | `commit.rs` |
//! | How are deliveries listed, read and ended? | `deliveries.rs` |
//! | Where are logins kept until they settle? | `journal.rs` |
//! | Up to where has a source been read? | `positions.rs` |
//! | What goes with time? | `purge.rs` |
//! | What goes where too much waits for an edge? | `shed.rs` |
//! | Does it fail, or is it damaged? | `health.rs` |
//! | Is a file whole, and what waits in it? | `verify.rs` |
//! | How is a second process kept out? | `lock.rs` |

mod commit;
mod deliveries;
pub mod entry;
mod health;
mod journal;
mod lock;
mod positions;
mod purge;
mod schema;
mod shed;
mod verify;
mod writer;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use headstart_protocol::{event::Event, ticket::Ticket};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rustix::fs::Access;
use tokio::sync::{broadcast, watch};

pub use entry::{
    Committed, DeliveryId, EdgeWays, Entry, NoUpdate, Pending, PendingEntry, Purged, Shed,
    TicketSettlement, TopicUpdate, Way,
};
use health::Health;
use lock::Lock;
pub use verify::{Verified, WaitingDeliveries};
use writer::Writer;

/// What is written to find out whether anything can be, in bytes: as much as a usual offer. A few bytes more
/// may fit into a file on a disk that is full.
const PROBE_BYTES: usize = 16 * 1024;

/// What is written so stands among the positions under this name, which no source has.
const PROBE: &str = "/probe";

/// Why the outbox cannot do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutboxError {
    /// Another process has it open.
    #[error("the outbox {0} is in use by another process; give each origin an outbox of its own")]
    InUse(String),
    /// The file or its folder cannot be made or opened.
    #[error("the outbox {path} cannot be opened: {reason}")]
    Open {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// The file was written by a newer version of this program.
    #[error("the outbox has schema version {found}, and this program knows only up to {known}")]
    Newer {
        /// Version in the file.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
    },
    /// Its file cannot be read as what it is. Nothing heals that.
    #[error(
        "the outbox is damaged ({0}): `origin-publisher outbox verify` says how; to begin with a new one, move the file away"
    )]
    Damaged(Arc<rusqlite::Error>),
    /// `SQLite` refused; a full disk, for example.
    #[error("the outbox failed: {0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// The writer has ended.
    #[error("the outbox is closed")]
    Closed,
}

impl From<rusqlite::Error> for OutboxError {
    fn from(error: rusqlite::Error) -> Self {
        let is_damage = match &error {
            // A row that cannot be what was written.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..) => true,
            error => matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
        };
        let error = Arc::new(error);
        if is_damage {
            Self::Damaged(error)
        } else {
            Self::Sqlite(error)
        }
    }
}

/// Announced offers that a lane may be behind; what it misses goes once it is committed.
const ANNOUNCED: usize = 256;

/// The outbox. Clones share it; the last one closes it.
#[derive(Debug, Clone)]
pub struct Outbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Which edges get what; fixed while the program runs.
    edges: Arc<[EdgeWays]>,
    writer: Writer,
    health: Arc<Health>,
    reader: Arc<Mutex<Connection>>,
    /// Counts up whenever there is something new to deliver.
    news: watch::Sender<u64>,
    /// Offers that are about to be committed.
    announced: broadcast::Sender<Arc<TicketSettlement>>,
    /// Counts up whenever deliveries have ended.
    ends: watch::Sender<u64>,
}

impl Outbox {
    /// Opens the outbox, makes it on first use, and brings its rows in line with `edges`: what was
    /// meant for an edge that is no longer configured is dropped, with a line in the log. An edge
    /// that is new gets what is committed from now on. The log has a line where the file is new or empty:
    /// whoever expected one with deliveries in it looks at the path.
    ///
    /// # Errors
    /// [`OutboxError`]; [`OutboxError::InUse`] while another process has it open.
    pub fn open(path: &Path, edges: Vec<EdgeWays>) -> Result<Self, OutboxError> {
        let is_new = std::fs::metadata(path).map_or(true, |file| file.len() == 0);
        let outbox = Self::open_with(path, edges, true)?;
        if is_new {
            tracing::info!(path = %path.display(), "the outbox is new");
        }
        Ok(outbox)
    }

    /// Opens the outbox as [`Outbox::open`] does, but leaves what is meant for other edges where it is:
    /// whoever opens it for those next delivers it.
    ///
    /// # Errors
    /// [`OutboxError`]; [`OutboxError::InUse`] while another process has it open.
    pub fn open_keeping(path: &Path, edges: Vec<EdgeWays>) -> Result<Self, OutboxError> {
        Self::open_with(path, edges, false)
    }

    /// Whether an outbox could be opened at `path`, as far as can be told without opening or making one.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub fn check(path: &Path) -> Result<(), OutboxError> {
        let failed = |file: &Path, reason: String| OutboxError::Open {
            path: path.display().to_string(),
            reason: format!("{}: {reason}", file.display()),
        };
        let writable = |file: &Path, access: Access| {
            rustix::fs::access(file, access).map_err(|error| failed(file, error.to_string()))
        };
        if path.exists() {
            writable(path, Access::READ_OK | Access::WRITE_OK)?;
            let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
                .map_err(|error| failed(path, error.to_string()))?;
            return schema::check(&connection);
        }
        // The nearest folder that is there; those below it would be made.
        let folder = path.ancestors().skip(1).find(|folder| folder.exists());
        let folder = folder.unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(failed(folder, "is not a folder".to_owned()));
        }
        writable(folder, Access::WRITE_OK | Access::EXEC_OK)
    }

    /// Looks whether the outbox at `path` is whole, and what waits in it, without changing anything.
    ///
    /// # Errors
    /// [`OutboxError`], where there is none, or one of a newer program.
    pub fn verify(path: &Path) -> Result<Verified, OutboxError> {
        verify::verify(path)
    }

    fn open_with(
        path: &Path,
        edges: Vec<EdgeWays>,
        drop_others: bool,
    ) -> Result<Self, OutboxError> {
        let failed = |reason: String| OutboxError::Open {
            path: path.display().to_string(),
            reason,
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        }
        // However the file is called, it has one lock.
        let path = &lock::real_path(path).map_err(|error| failed(error.to_string()))?;
        let lock = Lock::acquire(path)?;
        let mut connection = Connection::open(path).map_err(|error| failed(error.to_string()))?;
        schema::prepare(&mut connection)?;
        if drop_others {
            for (edge, rows) in deliveries::keep_only(&mut connection, &edges)? {
                tracing::warn!(
                    edge,
                    rows,
                    "dropped deliveries that are no longer configured"
                );
            }
        }
        let reader = Connection::open(path)?;
        schema::prepare_reader(&reader)?;
        let health = Arc::new(Health::of(path.clone()));
        Ok(Self {
            inner: Arc::new(Inner {
                edges: edges.into(),
                writer: Writer::start(connection, lock, Arc::clone(&health))
                    .map_err(|error| failed(error.to_string()))?,
                health,
                reader: Arc::new(Mutex::new(reader)),
                news: watch::Sender::new(0),
                announced: broadcast::Sender::new(ANNOUNCED),
                ends: watch::Sender::new(0),
            }),
        })
    }

    /// Tells of an offer that is about to be committed: its event may go at once, since the first settlement
    /// of a ticket wins at the edge. Only once it is durable may anybody take its login for done.
    pub fn announce(&self, entry: &TicketSettlement) {
        let announced = &self.inner.announced;
        if announced.receiver_count() > 0 && entry::may_go_ahead(&entry.settlement) {
            // The last of who listens may just have gone.
            let _ = announced.send(Arc::new(entry.clone()));
        }
    }

    /// Returns what is [announced](Self::announce) from now on.
    #[must_use]
    pub fn announced(&self) -> broadcast::Receiver<Arc<TicketSettlement>> {
        self.inner.announced.subscribe()
    }

    /// Returns whether anybody hears what is announced.
    #[cfg(test)]
    pub(crate) fn is_listened_to(&self) -> bool {
        self.inner.announced.receiver_count() > 0
    }

    /// Keeps an entry, durable once this returns. With a settlement the journalled login of its ticket
    /// is forgotten. A ticket settles once: the second settlement is not kept; nor is an update that
    /// is here already.
    ///
    /// # Errors
    /// [`OutboxError`], when it is not durable.
    pub async fn commit(&self, entry: impl Into<Entry>) -> Result<Committed, OutboxError> {
        let committed = self.commit_all(vec![entry.into()]).await?;
        committed.first().copied().ok_or(OutboxError::Closed)
    }

    /// Keeps entries in this order, all of them durable once this returns, or none.
    ///
    /// # Errors
    /// [`OutboxError`], when they are not durable.
    pub async fn commit_all(&self, entries: Vec<Entry>) -> Result<Vec<Committed>, OutboxError> {
        self.commit_with(entries, None).await
    }

    /// Keeps entries as [`Outbox::commit_all`] does, and with them, as the name of a source and its
    /// position, up to where the source that brought them has been read.
    ///
    /// # Errors
    /// [`OutboxError`], when they are not durable; nor is the position then.
    pub async fn commit_with(
        &self,
        entries: Vec<Entry>,
        position: Option<(String, String)>,
    ) -> Result<Vec<Committed>, OutboxError> {
        let edges = Arc::clone(&self.inner.edges);
        let committed = self
            .write(move |connection| {
                if let Some((source, at)) = position {
                    positions::write(connection, &source, &at)?;
                }
                entries
                    .iter()
                    .map(|entry| commit::commit(connection, entry, &edges))
                    .collect()
            })
            .await?;
        self.inner.news.send_modify(|count| *count += 1);
        Ok(committed)
    }

    /// Returns up to where the source of this name has been read, as it was last committed.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn position(&self, source: &str) -> Result<Option<String>, OutboxError> {
        let source = source.to_owned();
        self.query(move |connection| positions::read(connection, &source))
            .await
    }

    /// Returns whether the ticket's settlement is here, delivered or not.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn has_settled(&self, ticket: &Ticket) -> Result<bool, OutboxError> {
        let once = entry::once(ticket);
        self.query(move |connection| commit::has_settled(connection, &once))
            .await
    }

    /// Keeps a login that came straight to this origin, durable once this returns, until its ticket
    /// settles or expires.
    ///
    /// # Errors
    /// [`OutboxError`], when it is not durable.
    pub async fn journal_login(
        &self,
        ticket: &Ticket,
        login: &Event,
        expires_at_ms: u64,
    ) -> Result<(), OutboxError> {
        let (once, event) = (entry::once(ticket), login.to_json());
        self.write(move |connection| journal::keep(connection, &once, &event, expires_at_ms))
            .await
    }

    /// Returns every journalled login that has not settled: what an earlier run took and did not finish.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn journalled_logins(&self) -> Result<Vec<Event>, OutboxError> {
        let texts = self.query(journal::read).await?;
        Ok(texts
            .iter()
            .filter_map(|text| Event::from_json(text.as_bytes()).ok())
            .collect())
    }

    /// Lists the next deliveries in one way to one edge after the delivery `after`, in the order of their
    /// commits, each with its subject only: `limit` at most.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn list(
        &self,
        edge: &str,
        way: Way,
        after: DeliveryId,
        limit: usize,
    ) -> Result<Vec<(DeliveryId, String)>, OutboxError> {
        let edge = edge.to_owned();
        self.query(move |connection| deliveries::list(connection, &edge, way, after, limit))
            .await
    }

    /// Reads these deliveries, as far as they are still there, in this order. The bytes that they will
    /// have in a batch are at most `bytes` in all; the first is read whatever its size.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn read(
        &self,
        edge: &str,
        way: Way,
        ids: Vec<DeliveryId>,
        bytes: usize,
    ) -> Result<Vec<Pending>, OutboxError> {
        let edge = edge.to_owned();
        self.query(move |connection| deliveries::read(connection, &edge, way, &ids, bytes))
            .await
    }

    /// Removes deliveries that are done. When content that had to be positioned first has been, its
    /// event is now to be delivered.
    ///
    /// # Errors
    /// [`OutboxError`]; the deliveries then remain, and are made again after a restart.
    pub async fn delivered(&self, done: Vec<DeliveryId>) -> Result<(), OutboxError> {
        self.finish(done, true).await
    }

    /// Removes deliveries that the other side will never take. Where content could not be positioned
    /// and is too large for its event, the event will tell of a failure instead.
    ///
    /// # Errors
    /// [`OutboxError`]; the deliveries then remain.
    pub async fn refused(&self, refused: Vec<DeliveryId>) -> Result<(), OutboxError> {
        self.finish(refused, false).await
    }

    async fn finish(&self, ids: Vec<DeliveryId>, positioned: bool) -> Result<(), OutboxError> {
        if ids.is_empty() {
            return Ok(());
        }
        let now_ms = headstart_client::clock::now_ms();
        let more = self
            .write(move |connection| deliveries::finish(connection, &ids, positioned, now_ms))
            .await?;
        self.inner.ends.send_modify(|count| *count += 1);
        if more {
            self.inner.news.send_modify(|count| *count += 1);
        }
        Ok(())
    }

    /// Drops what has expired, forgets what was delivered some time ago, and gives free pages
    /// back to the file system. Goes on until nothing of it is left, however much comes meanwhile: in
    /// writes of bounded length, between which others come.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn purge(&self, now_ms: u64) -> Result<Purged, OutboxError> {
        let mut purged = Purged::default();
        loop {
            let batch = self
                .write(move |connection| purge::purge(connection, now_ms))
                .await?;
            if batch.undelivered > 0 {
                self.inner.ends.send_modify(|count| *count += 1);
            }
            purged += batch;
            if !purge::is_more(batch) {
                return Ok(purged);
            }
        }
    }

    /// Drops deliveries to each edge for which more than `most` bytes wait, the oldest first, until no more
    /// than that wait for it. Returns what was dropped, by the edge's name. No other edge loses anything by
    /// it. An event that carried an offer stays without it, and tells that there is none: only where such
    /// events alone are too many do they go, too.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn shed(&self, most: u64, now_ms: u64) -> Result<Vec<(String, Shed)>, OutboxError> {
        let mut dropped = Vec::new();
        for (edge, bytes) in self.waiting_bytes().await? {
            let mut excess = bytes.saturating_sub(most);
            if excess == 0 {
                continue;
            }
            let mut sum = Shed::default();
            for which in [shed::Which::Carrying, shed::Which::Empty] {
                let (mut after, mut is_last) = (0, false);
                while excess > 0 && !is_last {
                    let name = edge.clone();
                    let write = self.write(move |connection| {
                        shed::shed(connection, &name, which, after, excess, now_ms)
                    });
                    let batch = write.await?;
                    excess = excess.saturating_sub(batch.freed);
                    (after, is_last) = (batch.last, batch.is_last);
                    sum += batch.shed;
                    self.inner.ends.send_modify(|count| *count += 1);
                    if batch.more {
                        self.inner.news.send_modify(|count| *count += 1);
                    }
                }
            }
            dropped.push((edge, sum));
        }
        Ok(dropped)
    }

    /// Returns the bytes that wait for each edge that any wait for: what its deliveries carry, and what the
    /// outbox needs for each. An offer that waits as an event and for KV counts twice.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn waiting_bytes(&self) -> Result<Vec<(String, u64)>, OutboxError> {
        self.query(deliveries::waiting_bytes).await
    }

    /// Returns how many deliveries of one way to one edge are still to be made.
    ///
    /// # Errors
    /// [`OutboxError`].
    pub async fn pending(&self, edge: &str, way: Way) -> Result<u64, OutboxError> {
        let edge = edge.to_owned();
        self.query(move |connection| deliveries::pending(connection, &edge, way))
            .await
    }

    /// Returns every way to every edge that it keeps deliveries for.
    pub fn lanes(&self) -> impl Iterator<Item = (&str, Way)> {
        self.inner.edges.iter().flat_map(|edge| {
            let kv = edge.kv.then_some(Way::Kv);
            let ways = [Way::Event, Way::Update].into_iter().chain(kv);
            ways.map(|way| (edge.name.as_str(), way))
        })
    }

    /// Changes whenever there may be something new to deliver.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }

    /// Changes whenever deliveries have ended, by themselves or because they had expired.
    #[must_use]
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.inner.ends.subscribe()
    }

    /// Returns why it fails, as on a full disk: nothing has been written since.
    #[must_use]
    pub fn failure(&self) -> Option<OutboxError> {
        self.inner.health.failure()
    }

    /// Tries whether it can be written: nobody else may try, once it is known to fail.
    ///
    /// # Errors
    /// [`OutboxError`], when it cannot.
    pub async fn probe(&self) -> Result<(), OutboxError> {
        // What is removed within the same commit is not written at all.
        for bytes in [PROBE_BYTES, 0] {
            self.write(move |connection| positions::write(connection, PROBE, &"x".repeat(bytes)))
                .await?;
        }
        Ok(())
    }

    /// Returns how many bytes of its disk are free for this program.
    ///
    /// # Errors
    /// What the system says.
    pub async fn free_bytes(&self) -> std::io::Result<u64> {
        let path = self.inner.health.path().to_owned();
        tokio::task::spawn_blocking(move || {
            let disk = rustix::fs::statvfs(&path)?;
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
        })
        .await?
    }

    /// Waits until its file is found to be damaged: nothing that is in it or comes into it is safe then.
    pub async fn damaged(&self) -> OutboxError {
        self.inner.health.damaged().await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let written = self.inner.writer.write(work).await;
        written.inspect_err(|error| self.inner.health.failed(error))
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let reader = Arc::clone(&self.inner.reader);
        tokio::task::spawn_blocking(move || {
            // A query that panicked leaves the connection usable: it only reads.
            let connection = reader.lock().unwrap_or_else(PoisonError::into_inner);
            query(&connection)
        })
        .await
        .map_err(|_| OutboxError::Closed)?
        .map_err(OutboxError::from)
        .inspect_err(|error| self.inner.health.failed(error))
    }
}

#[cfg(test)]
mod tests;
