//! The statements for updates: how they come, and how deliveries see them. They end as all others do.

use headstart_protocol::{event::TYPE_UPDATE, stamps::Stamps};
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    entry::{Committed, DeliveryId, EdgeWays, PendingUpdate, TopicUpdate, Way, once_of_update},
    statements::{NewEntry, insert_delivery, sql_int},
};

pub(super) fn commit(
    connection: &Connection,
    update: &TopicUpdate,
    edges: &[EdgeWays],
) -> rusqlite::Result<Committed> {
    let event = update.event();
    let (once, json) = (once_of_update(update), event.to_json());
    let row = NewEntry {
        once: &once,
        subject: update.topic().as_str(),
        kind: TYPE_UPDATE,
        event_id: &event.id,
        source: &event.source,
        media_type: None,
        content: json.as_bytes(),
        // They are in the event.
        stamps: Stamps::default(),
        expires_at_ms: update.expires_at_ms(),
    };
    let Some(id) = row.insert(connection)? else {
        return Ok(Committed::Already);
    };
    for edge in edges {
        insert_delivery(connection, id, &edge.name, Way::Update, false)?;
    }
    Ok(Committed::New)
}

/// The next updates for an edge, in the order of their commits, each with its topic only.
pub(super) fn listed(
    connection: &Connection,
    edge: &str,
    after: DeliveryId,
    limit: usize,
) -> rusqlite::Result<Vec<(DeliveryId, String)>> {
    connection
        .prepare_cached(
            "SELECT d.id, e.subject FROM delivery d JOIN entry e ON e.id = d.entry
             WHERE d.edge = ?1 AND d.way = ?2 AND d.id > ?3 ORDER BY d.id LIMIT ?4",
        )?
        .query_map(
            params![edge, Way::Update.name(), after, sql_int(limit)],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?
        .collect()
}

/// These updates, as far as they are still there, in this order, up to so many bytes; the first is
/// taken whatever its size.
pub(super) fn take(
    connection: &Connection,
    edge: &str,
    ids: &[DeliveryId],
    bytes: usize,
) -> rusqlite::Result<Vec<PendingUpdate>> {
    let mut select = connection.prepare_cached(
        "SELECT d.id, e.subject, e.event_id, e.content, e.expires_at
         FROM delivery d JOIN entry e ON e.id = d.entry
         WHERE d.edge = ?1 AND d.way = ?2 AND d.id = ?3",
    )?;
    let mut taken = Vec::new();
    let mut room = bytes;
    for id in ids {
        let found = select
            .query_row(params![edge, Way::Update.name(), id], |row| {
                Ok(PendingUpdate {
                    id: row.get(0)?,
                    topic: row.get(1)?,
                    event_id: row.get(2)?,
                    json: String::from_utf8_lossy(&row.get::<_, Vec<u8>>(3)?).into_owned(),
                    expires_at_ms: row.get::<_, i64>(4)?.unsigned_abs(),
                })
            })
            .optional()?;
        let Some(update) = found else { continue };
        let size = update.travelling_bytes();
        if !taken.is_empty() && size > room {
            break;
        }
        room = room.saturating_sub(size);
        taken.push(update);
    }
    Ok(taken)
}
