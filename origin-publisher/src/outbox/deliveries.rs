//! The statements for deliveries: how they are seen, and how they end.

use headstart_protocol::{
    event::{TYPE_OFFER_FAILED, TYPE_OFFER_READY, TYPE_UPDATE},
    limits::MAX_INLINE_OFFER_BYTES,
    settlement::{Attributes, Content, Outcome, Settlement},
};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};

use super::{
    entry::{DeliveryId, EdgeWays, Pending, PendingEntry, Way},
    schema::{ROW_BYTES, sql_int},
};

/// `unpositioned` of an event whose content is too large for it and could not be positioned.
const UNPOSITIONED: i64 = 1;

/// `unpositioned` of an event whose content was dropped, since too much waits for its edge.
pub(super) const DROPPED: i64 = 2;

/// What whoever waits for a dropped offer is told.
const DROPPED_REASON: &str = "the offer could not be delivered in time";

/// Lists the next deliveries in one way to one edge, in the order of their commits, each with its subject
/// only.
pub(super) fn list(
    connection: &Connection,
    edge: &str,
    way: Way,
    after: DeliveryId,
    limit: usize,
) -> rusqlite::Result<Vec<(DeliveryId, String)>> {
    connection
        .prepare_cached(
            "SELECT d.id, e.subject FROM delivery d JOIN entry e ON e.id = d.entry
             WHERE d.edge = ?1 AND d.way = ?2 AND d.id > ?3 ORDER BY d.id LIMIT ?4",
        )?
        .query_map(params![edge, way.name(), after, sql_int(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect()
}

/// Reads these deliveries, as far as they are still there, in this order, up to so many bytes; the first
/// is read whatever its size.
pub(super) fn read(
    connection: &Connection,
    edge: &str,
    way: Way,
    ids: &[DeliveryId],
    bytes: usize,
) -> rusqlite::Result<Vec<Pending>> {
    // An event never carries content that is positioned first, so it need not be read for one.
    let mut select = connection.prepare_cached(&format!(
        "SELECT d.id, e.subject, e.kind, e.event_id, e.source, e.media_type,
                CASE WHEN d.way = 'event' AND e.content_bytes > {MAX_INLINE_OFFER_BYTES}
                     THEN NULL ELSE e.content END AS content,
                e.stamps, e.expires_at, d.unpositioned
         FROM delivery d JOIN entry e ON e.id = d.entry
         WHERE d.edge = ?1 AND d.way = ?2 AND d.id = ?3"
    ))?;
    let mut found = Vec::new();
    let mut room = bytes;
    for id in ids {
        let pending = select
            .query_row(params![edge, way.name(), id], read_pending)
            .optional()?;
        let Some(pending) = pending else { continue };
        let size = pending.travelling_bytes();
        if !found.is_empty() && size > room {
            break;
        }
        room = room.saturating_sub(size);
        found.push(pending);
    }
    Ok(found)
}

fn read_pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    let kind: String = row.get("kind")?;
    let content: Option<Vec<u8>> = row.get("content")?;
    let text = |content: Option<Vec<u8>>| {
        String::from_utf8_lossy(&content.unwrap_or_default()).into_owned()
    };
    let entry = match kind.as_str() {
        TYPE_UPDATE => PendingEntry::Update {
            event_id: row.get("event_id")?,
            json: text(content),
        },
        TYPE_OFFER_READY => {
            let outcome = if row.get::<_, i64>("unpositioned")? == DROPPED {
                Outcome::Failed {
                    reason: DROPPED_REASON.to_owned(),
                }
            } else {
                Outcome::Ready {
                    media_type: row.get("media_type")?,
                    content: content.map_or(Content::Positioned, Content::Inline),
                }
            };
            read_settlement(row, outcome)?
        }
        TYPE_OFFER_FAILED => {
            let reason = text(content);
            read_settlement(row, Outcome::Failed { reason })?
        }
        _ => return Err(unreadable(2, "the kind of an entry is not known")),
    };
    Ok(Pending {
        id: row.get("id")?,
        subject: row.get("subject")?,
        expires_at_ms: row.get::<_, i64>("expires_at")?.unsigned_abs(),
        entry,
    })
}

fn read_settlement(row: &Row<'_>, outcome: Outcome) -> rusqlite::Result<PendingEntry> {
    let stamps: String = row.get("stamps")?;
    Ok(PendingEntry::Settlement {
        settlement: Settlement {
            event_id: row.get("event_id")?,
            source: row.get("source")?,
            attributes: Attributes::default(),
            stamps: serde_json::from_str(&stamps)
                .map_err(|_| unreadable(7, "the stamps of an entry cannot be read"))?,
            outcome,
        },
        unpositioned: row.get::<_, i64>("unpositioned")? == UNPOSITIONED,
    })
}

fn unreadable(column: usize, why: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why.into())
}

/// Ends deliveries. True when that made others due.
pub(super) fn finish(
    connection: &Connection,
    ids: &[DeliveryId],
    positioned: bool,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    let mut delete = connection
        .prepare_cached("DELETE FROM delivery WHERE id = ?1 RETURNING entry, edge, way")?;
    let mut more = false;
    for id in ids {
        let ended: Option<(i64, String, String)> = delete
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((entry, edge, way)) = ended else {
            continue;
        };
        if way == Way::Kv.name() {
            more |= event_after_kv(connection, entry, &edge, positioned)?;
        }
        end_if_delivered(connection, entry, now_ms)?;
    }
    Ok(more)
}

/// Makes the event due that had to wait until its content was positioned.
fn event_after_kv(
    connection: &Connection,
    entry: i64,
    edge: &str,
    positioned: bool,
) -> rusqlite::Result<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO delivery (entry, edge, way, bytes, unpositioned)
             SELECT id, ?2, ?3, ?4, ?5 FROM entry WHERE id = ?1 AND content_bytes > ?6",
        )?
        .execute(params![
            entry,
            edge,
            Way::Event.name(),
            ROW_BYTES,
            if positioned { 0 } else { UNPOSITIONED },
            sql_int(MAX_INLINE_OFFER_BYTES)
        ])?;
    if inserted > 0 {
        free_content(connection, entry)?;
    }
    Ok(inserted > 0)
}

/// Frees the content of an offer that none of its deliveries carries any more.
pub(super) fn free_content(connection: &Connection, entry: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE entry SET content = NULL
             WHERE id = ?1 AND media_type IS NOT NULL AND content_bytes > 0
               AND NOT EXISTS (SELECT 1 FROM delivery WHERE entry = ?1 AND bytes > ?2)",
        )?
        .execute(params![entry, ROW_BYTES])?;
    Ok(())
}

/// Adds up, for each edge that anything waits for, the bytes of its deliveries.
pub(super) fn waiting_bytes(connection: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    connection
        .prepare_cached("SELECT edge, sum(bytes) FROM delivery GROUP BY edge")?
        .query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
        })?
        .collect()
}

/// Marks an entry as done once it has no delivery any more.
pub(super) fn end_if_delivered(
    connection: &Connection,
    entry: i64,
    now_ms: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE entry SET content = NULL, done_at = ?2
             WHERE id = ?1 AND done_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM delivery WHERE entry = ?1)",
        )?
        .execute(params![entry, sql_int(now_ms)])?;
    Ok(())
}

/// Counts the deliveries in one way to one edge.
pub(super) fn pending(connection: &Connection, edge: &str, way: Way) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT count(*) FROM delivery WHERE edge = ?1 AND way = ?2")?
        .query_row(params![edge, way.name()], |row| row.get::<_, i64>(0))
        .map(i64::unsigned_abs)
}

/// Drops deliveries that `edges` no longer has, and tells how many of which edge.
pub(super) fn keep_only(
    connection: &mut Connection,
    edges: &[EdgeWays],
) -> rusqlite::Result<Vec<(String, usize)>> {
    let transaction = connection.transaction()?;
    let found: Vec<(String, String)> = transaction
        .prepare("SELECT DISTINCT edge, way FROM delivery")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let mut dropped = Vec::new();
    let now_ms = headstart_client::clock::now_ms();
    for (edge, way) in found {
        let known = edges.iter().find(|known| known.name == edge);
        let is_kv = way == Way::Kv.name();
        if known.is_some_and(|known| known.kv || !is_kv) {
            continue;
        }
        let ids: Vec<DeliveryId> = transaction
            .prepare("SELECT id FROM delivery WHERE edge = ?1 AND way = ?2")?
            .query_map([&edge, &way], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let count = ids.len();
        // Large content of an edge that lost its KV cannot be delivered, and its user is told so.
        finish(&transaction, &ids, false, now_ms)?;
        dropped.push((edge, count));
    }
    // Ending a KV delivery may have made an event due for an edge that is gone.
    let orphans: Vec<DeliveryId> = transaction
        .prepare("SELECT id, edge FROM delivery")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?
        .filter(
            |row| !matches!(row, Ok((_, edge)) if edges.iter().any(|known| known.name == *edge)),
        )
        .map(|row| row.map(|(id, _)| id))
        .collect::<Result<_, _>>()?;
    finish(&transaction, &orphans, false, now_ms)?;
    transaction.commit()?;
    Ok(dropped)
}
