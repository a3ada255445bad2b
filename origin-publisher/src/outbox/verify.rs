//! Looks whether an outbox is whole, and what waits in it. Nothing is changed, and an origin may have it open.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use super::{OutboxError, schema};

/// Most of what is wrong that is told.
const MOST_PROBLEMS: u32 = 20;

/// What is in an outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Everything that is wrong with the file; nothing where it is whole.
    pub problems: Vec<String>,
    /// Version of its schema; 0 where nothing has been kept in it yet.
    pub schema: i64,
    /// Deliveries that wait, as far as they can be counted.
    pub deliveries: Vec<WaitingDeliveries>,
    /// Logins that have not settled.
    pub logins: u64,
}

/// Deliveries that wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WaitingDeliveries {
    /// The edge's name.
    pub edge: String,
    /// `event`, `kv` or `update`.
    pub way: String,
    /// How many.
    pub count: u64,
}

/// Verifies the outbox at `path`. What is damaged is told in [`Verified::problems`].
///
/// # Errors
/// [`OutboxError`], where there is none, or one of a newer program.
pub(super) fn verify(path: &Path) -> Result<Verified, OutboxError> {
    let failed = |reason: rusqlite::Error| OutboxError::Open {
        path: path.display().to_string(),
        reason: reason.to_string(),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    schema::prepare_reader(&connection)?;
    let mut verified = Verified {
        problems: Vec::new(),
        schema: 0,
        deliveries: Vec::new(),
        logins: 0,
    };
    match schema::version(&connection) {
        Ok(version) => verified.schema = version,
        Err(OutboxError::Damaged(error)) => verified.problems.push(error.to_string()),
        Err(error) => return Err(error),
    }
    if let Err(error) = check(&connection, &mut verified.problems) {
        verified.problems.push(error.to_string());
    }
    if verified.schema > 0
        && let Err(error) = count(&connection, &mut verified)
    {
        verified
            .problems
            .push(format!("what waits cannot be counted: {error}"));
    }
    Ok(verified)
}

fn check(connection: &Connection, problems: &mut Vec<String>) -> rusqlite::Result<()> {
    let sql = format!("PRAGMA integrity_check({MOST_PROBLEMS})");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let problem: String = row.get(0)?;
        if problem != "ok" {
            problems.push(problem);
        }
    }
    let sql = "SELECT count(*) FROM pragma_foreign_key_check";
    let orphans: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    if orphans > 0 {
        problems.push(format!("{orphans} deliveries have no entry"));
    }
    Ok(())
}

fn count(connection: &Connection, verified: &mut Verified) -> rusqlite::Result<()> {
    let sql = "SELECT edge, way, count(*) FROM delivery GROUP BY edge, way";
    verified.deliveries = connection
        .prepare(sql)?
        .query_map([], |row| {
            Ok(WaitingDeliveries {
                edge: row.get(0)?,
                way: row.get(1)?,
                count: row.get::<_, i64>(2)?.unsigned_abs(),
            })
        })?
        .collect::<Result<_, _>>()?;
    let sql = "SELECT count(*) FROM login";
    let logins: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    verified.logins = logins.unsigned_abs();
    // Whether all of an entry can be found.
    connection.query_row("SELECT count(done_at) FROM entry", [], |_| Ok(()))
}
