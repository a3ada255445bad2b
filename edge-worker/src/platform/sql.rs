//! What the SQLite of every object has in common.

use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use worker::{SqlStorage, State};

use crate::http::error::Error;

#[wasm_bindgen]
extern "C" {
    /// What `worker` does not bind of `DurableObjectStorage`.
    type Storage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &Storage,
        work: &mut dyn FnMut() -> Result<(), JsValue>,
    ) -> Result<(), JsValue>;
}

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

/// Does `work`, whose writes are stored together or not at all: where it fails, none of them is.
///
/// # Errors
/// That of `work`; [`Error::Platform`].
pub fn transaction<T>(state: &State, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let failed = |error: JsValue| Error::platform("a transaction", &error);
    let storage: Storage = state.as_raw().storage().map_err(failed)?.unchecked_into();
    let mut work = Some(work);
    let mut result = None;
    let done = storage.transaction_sync(&mut || {
        // An exception is what rolls it back.
        match work.take().map(|work| work()) {
            Some(Err(error)) => {
                result = Some(Err(error));
                Err(JsValue::from_str("rolled back"))
            }
            worked => {
                result = worked;
                Ok(())
            }
        }
    });
    match (result, done) {
        (Some(Err(error)), _) => Err(error),
        (Some(Ok(value)), Ok(())) => Ok(value),
        (_, done) => Err(failed(done.err().unwrap_or_default())),
    }
}
