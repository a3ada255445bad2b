//! What the SQLite of every object has in common.

use serde::Deserialize;
use worker::SqlStorage;

use crate::http::error::Error;

/// Returns whether an object has stored anything: each creates all of its tables at once.
///
/// # Errors
/// [`Error::Platform`].
pub fn has_tables(sql: &SqlStorage) -> Result<bool, Error> {
    #[derive(Deserialize)]
    struct Row {
        tables: u32,
    }
    // The platform keeps tables of its own there.
    let ours = "SELECT count(*) AS tables FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'";
    let rows: Vec<Row> = sql.exec(ours, None)?.to_array()?;
    Ok(rows.first().is_some_and(|row| row.tables > 0))
}
