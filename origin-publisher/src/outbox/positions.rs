//! Up to where each source of updates has been read.

use rusqlite::{Connection, OptionalExtension};

/// Keeps the position of a source.
pub(super) fn write(connection: &Connection, source: &str, at: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO position (source, at) VALUES (?1, ?2)
             ON CONFLICT (source) DO UPDATE SET at = excluded.at",
        )?
        .execute([source, at])?;
    Ok(())
}

/// Reads the position of a source.
pub(super) fn read(connection: &Connection, source: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT at FROM position WHERE source = ?1")?
        .query_row([source], |row| row.get(0))
        .optional()
}
