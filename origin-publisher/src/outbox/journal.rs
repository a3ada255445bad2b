//! Logins that came straight to this origin, until they settle.

use rusqlite::{Connection, params};

use super::schema::sql_int;

/// Keeps a login.
pub(super) fn keep(
    connection: &Connection,
    once: &str,
    event: &str,
    expires_at_ms: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO login (once, event, expires_at) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![once, event, sql_int(expires_at_ms)])?;
    Ok(())
}

/// Reads all logins.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT event FROM login ORDER BY once")?
        .query_map([], |row| row.get(0))?
        .collect()
}
