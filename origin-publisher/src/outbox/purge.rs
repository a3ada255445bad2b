//! What goes with time: what has expired, what was delivered some time ago, and free pages of the file.

use rusqlite::{Connection, params};

use super::{entry::Purged, schema::sql_int};

/// How long a delivered entry is remembered, in ms: longer than any lease of a login can come late.
/// (An update that comes again later than that is known to its topic at the edge, for a day.)
const REMEMBER_MS: u64 = 10 * 60 * 1000;

/// Most free pages that one purge gives back to the file system: 8 MB, some milliseconds of work.
const VACUUM_PAGES: u32 = 2048;

/// Most expired entries that one purge removes, so that it never holds up commits for long.
const PURGE_ROWS: u32 = 5_000;

pub(super) fn purge(connection: &Connection, now_ms: u64) -> rusqlite::Result<Purged> {
    let purged = Purged {
        undelivered: connection
            .prepare_cached(
                "DELETE FROM entry WHERE id IN
                 (SELECT id FROM entry WHERE done_at IS NULL AND expires_at <= ?1 LIMIT ?2)",
            )?
            .execute(params![sql_int(now_ms), PURGE_ROWS])?,
        unsettled: connection
            .prepare_cached("DELETE FROM login WHERE expires_at <= ?1")?
            .execute([sql_int(now_ms)])?,
        forgotten: connection
            .prepare_cached(
                "DELETE FROM entry WHERE id IN
                 (SELECT id FROM entry WHERE done_at IS NOT NULL AND done_at <= ?1 LIMIT ?2)",
            )?
            .execute(params![
                sql_int(now_ms.saturating_sub(REMEMBER_MS)),
                PURGE_ROWS
            ])?,
    };
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut pages = vacuum.query([])?;
    // Each step frees one page.
    while pages.next()?.is_some() {}
    Ok(purged)
}
