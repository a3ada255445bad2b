//! What goes with time: what has expired, what was delivered some time ago, and free pages of the file.

use rusqlite::{Connection, params};

use super::{entry::Purged, schema::sql_int};

/// How long a delivered entry is remembered, in ms: longer than any lease of a login can come late.
/// (An update that comes again later than that is known to its topic at the edge, for a day.)
const REMEMBER_MS: u64 = 10 * 60 * 1000;

/// Most free pages that one write gives back to the file system: 8 MB, some milliseconds of work.
const VACUUM_PAGES: u32 = 2048;

/// Most rows of each kind that one write removes, so that it never holds up commits for long.
const MOST: usize = 5_000;

/// Whether there may be more to be purged than was purged in one write.
pub(super) fn is_more(purged: Purged) -> bool {
    [purged.undelivered, purged.unsettled, purged.forgotten].contains(&MOST)
}

/// Removes what is to go, as far as one write may.
pub(super) fn purge(connection: &Connection, now_ms: u64) -> rusqlite::Result<Purged> {
    let most = sql_int(MOST);
    let purged = Purged {
        undelivered: connection
            .prepare_cached(
                "DELETE FROM entry WHERE id IN
                 (SELECT id FROM entry WHERE done_at IS NULL AND expires_at <= ?1 LIMIT ?2)",
            )?
            .execute(params![sql_int(now_ms), most])?,
        unsettled: connection
            .prepare_cached(
                "DELETE FROM login WHERE once IN
                 (SELECT once FROM login WHERE expires_at <= ?1 LIMIT ?2)",
            )?
            .execute(params![sql_int(now_ms), most])?,
        forgotten: connection
            .prepare_cached(
                "DELETE FROM entry WHERE id IN
                 (SELECT id FROM entry WHERE done_at IS NOT NULL AND done_at <= ?1 LIMIT ?2)",
            )?
            .execute(params![sql_int(now_ms.saturating_sub(REMEMBER_MS)), most])?,
    };
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut pages = vacuum.query([])?;
    // Each step frees one page.
    while pages.next()?.is_some() {}
    Ok(purged)
}
