//! The tables of the outbox and the settings of its connections. `user_version` names the schema.

use std::time::Duration;

use headstart_protocol::limits::MAX_INLINE_OFFER_BYTES;
use rusqlite::Connection;

use super::OutboxError;

/// The newest schema.
const VERSION: i64 = 4;

/// What a delivery costs beside what it carries, about, in bytes: its rows and their indexes.
pub(super) const ROW_BYTES: i64 = 300;

/// How long a reader waits for a checkpoint to finish. Only our own connections meet here.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The write-ahead log is cut back to this after a burst, in bytes.
const WAL_BYTES: i64 = 16 * 1024 * 1024;

/// `entry` holds a settlement of a ticket, or an update of a topic with its whole event as content.
/// The content goes once all deliveries are made, the row some time later, so that a late second
/// settlement of the ticket, or the update once more, is still known for what it is.
/// `delivery` holds what is still to be made. Ids only grow (AUTOINCREMENT), so "everything after
/// the last one seen" misses nothing.
/// `login` holds logins that came straight to the origin, until they settle.
const TABLES: &str = "
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        once TEXT NOT NULL UNIQUE,
        subject TEXT NOT NULL,
        kind TEXT NOT NULL,
        event_id TEXT NOT NULL,
        source TEXT NOT NULL,
        media_type TEXT,
        content BLOB,
        content_bytes INTEGER NOT NULL,
        stamps TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        done_at INTEGER
    ) STRICT;
    CREATE INDEX entry_by_expiry ON entry(expires_at) WHERE done_at IS NULL;
    CREATE INDEX entry_by_end ON entry(done_at) WHERE done_at IS NOT NULL;

    CREATE TABLE delivery (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        entry INTEGER NOT NULL REFERENCES entry(id) ON DELETE CASCADE,
        edge TEXT NOT NULL,
        way TEXT NOT NULL,
        unpositioned INTEGER NOT NULL DEFAULT 0,
        UNIQUE (entry, edge, way)
    ) STRICT;
    CREATE INDEX delivery_by_way ON delivery(edge, way, id);

    CREATE TABLE login (
        once TEXT PRIMARY KEY,
        event TEXT NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX login_by_expiry ON login(expires_at);
";

/// Up to where each source of updates has been read, since schema 3.
const POSITIONS: &str = "
    CREATE TABLE position (
        source TEXT PRIMARY KEY,
        at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// What each delivery carries, in bytes, since schema 4: so that what waits for an edge is added up from an
/// index alone, and its oldest deliveries can go where that is too much.
const BYTES: &str = "
    ALTER TABLE delivery ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    DROP INDEX delivery_by_way;
    CREATE INDEX delivery_by_way ON delivery(edge, way, id, bytes);
";

/// Weighs the deliveries of a file in which none has been. An event carries no offer that is too large for
/// it, and a failure's reason counts as nothing.
const WEIGH: &str = "
    UPDATE delivery SET bytes = ?1 +
        (SELECT iif(way = 'event' AND (media_type IS NULL OR content_bytes > ?2), 0, content_bytes)
         FROM entry WHERE entry.id = delivery.entry);
";

/// From schema 1, which had only settlements.
const SUBJECTS: &str = "ALTER TABLE entry RENAME COLUMN ticket TO subject;";

/// Sets the writer's connection up, makes the tables on first use, and brings those of an older
/// program up to date.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), OutboxError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Before the first table: it cannot be switched on later without rewriting the file.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // NORMAL would lose the last commits when the power goes.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.set_prepared_statement_cache_capacity(32);
    let changes: &[&str] = match version(connection)? {
        0 => &[TABLES, POSITIONS, BYTES],
        1 => &[SUBJECTS, POSITIONS, BYTES],
        2 => &[POSITIONS, BYTES],
        3 => &[BYTES],
        _ => return Ok(()),
    };
    // All or nothing, the version too: whatever interrupts it, the next start finds one or the other.
    let transaction = connection.transaction()?;
    for change in changes {
        transaction.execute_batch(change)?;
    }
    transaction.execute(WEIGH, [ROW_BYTES, sql_int(MAX_INLINE_OFFER_BYTES)])?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Returns the version of a file that this program knows.
pub(super) fn version(connection: &Connection) -> Result<i64, OutboxError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if (0..=VERSION).contains(&found) {
        Ok(found)
    } else {
        Err(OutboxError::Newer {
            found,
            known: VERSION,
        })
    }
}

/// Whether a file is an outbox of a version that this program knows, or empty.
pub(super) fn check(connection: &Connection) -> Result<(), OutboxError> {
    version(connection).map(drop)
}

/// Sets the reader's connection up.
pub(super) fn prepare_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(())
}

/// Converts to what `SQLite` has, signed integers only; times and sizes never come near the limit.
pub(super) fn sql_int(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
