//! What goes where too much waits for an edge: the oldest of its deliveries, and nothing of any other edge.

use rusqlite::{Connection, params};

use super::{
    deliveries::{self, DROPPED},
    entry::{DeliveryId, Shed, Way},
    schema::{ROW_BYTES, sql_int},
};

/// Most deliveries that one write drops, so that it never holds up commits for long.
const MOST: usize = 1000;

/// What one write dropped.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) shed: Shed,
    /// The last that it looked at.
    pub(super) last: DeliveryId,
    /// Bytes that no longer wait.
    pub(super) freed: u64,
    /// It dropped fewer than it might: there are no more.
    pub(super) is_last: bool,
    /// It made others due.
    pub(super) more: bool,
}

/// Which deliveries are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that carry something. An event stays, without its offer: it tells that there is none.
    Carrying,
    /// Those that carry nothing, which are all that is left.
    Empty,
}

/// Drops deliveries to an edge that come after the delivery `after`, the oldest first, until `excess` bytes
/// wait no longer.
pub(super) fn shed(
    connection: &Connection,
    edge: &str,
    which: Which,
    after: DeliveryId,
    excess: u64,
    now_ms: u64,
) -> rusqlite::Result<Batch> {
    // By its ids alone: an index would find them faster, and put them in the order of their ways.
    let found: Vec<(DeliveryId, i64, String, i64)> = connection
        .prepare_cached(
            "SELECT id, entry, way, bytes FROM delivery NOT INDEXED
             WHERE id > ?1 AND edge = ?2 AND (bytes > ?3) = ?4 ORDER BY id LIMIT ?5",
        )?
        .query_map(
            params![
                after,
                edge,
                ROW_BYTES,
                which == Which::Carrying,
                sql_int(MOST)
            ],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?
        .collect::<Result<_, _>>()?;
    let mut batch = Batch {
        shed: Shed::default(),
        last: after,
        freed: 0,
        is_last: found.len() < MOST,
        more: false,
    };
    for (id, entry, way, bytes) in found {
        if batch.freed >= excess {
            break;
        }
        batch.last = id;
        if way == Way::Event.name() && which == Which::Carrying {
            connection
                .prepare_cached("UPDATE delivery SET unpositioned = ?2, bytes = ?3 WHERE id = ?1")?
                .execute(params![id, DROPPED, ROW_BYTES])?;
            batch.freed += (bytes - ROW_BYTES).unsigned_abs();
        } else {
            let is_event_due = deliveries::finish(connection, &[id], false, now_ms)?;
            let left = if is_event_due { ROW_BYTES } else { 0 };
            batch.freed += (bytes - left).unsigned_abs();
            batch.more |= is_event_due;
        }
        deliveries::free_content(connection, entry)?;
        match way.as_str() {
            "event" => batch.shed.event += 1,
            "kv" => batch.shed.kv += 1,
            _ => batch.shed.update += 1,
        }
    }
    Ok(batch)
}
