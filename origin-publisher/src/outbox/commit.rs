//! The statements that bring entries in: a settlement or an update, with a delivery for each edge and way.

use headstart_protocol::{
    event::TYPE_UPDATE,
    settlement::{Content, Outcome},
    stamps::Stamps,
};
use rusqlite::{Connection, named_params, params};

use super::{
    entry::{
        Committed, EdgeWays, Entry, TicketSettlement, TopicUpdate, Way, is_positioned_first, once,
        once_of_update,
    },
    schema::{ROW_BYTES, sql_int},
};

pub(super) fn commit(
    connection: &Connection,
    entry: &Entry,
    edges: &[EdgeWays],
) -> rusqlite::Result<Committed> {
    match entry {
        Entry::Settlement(settled) => commit_settlement(connection, settled, edges),
        Entry::Update(update) => commit_update(connection, update, edges),
    }
}

fn commit_settlement(
    connection: &Connection,
    entry: &TicketSettlement,
    edges: &[EdgeWays],
) -> rusqlite::Result<Committed> {
    let once = once(&entry.ticket);
    connection
        .prepare_cached("DELETE FROM login WHERE once = ?1")?
        .execute([&once])?;
    let (media_type, content) = match &entry.settlement.outcome {
        Outcome::Ready {
            media_type,
            content: Content::Inline(bytes),
        } => (Some(media_type.as_str()), bytes.as_slice()),
        Outcome::Ready {
            media_type,
            content: Content::Positioned,
        } => (Some(media_type.as_str()), &[][..]),
        Outcome::Failed { reason } => (None, reason.as_bytes()),
    };
    let is_ready = media_type.is_some();
    let row = NewEntry {
        once: &once,
        subject: entry.ticket.as_str(),
        kind: entry.settlement.kind(),
        event_id: &entry.settlement.event_id,
        source: &entry.settlement.source,
        media_type,
        content,
        stamps: entry.settlement.stamps,
        expires_at_ms: entry.expires_at_ms,
    };
    let Some(id) = row.insert(connection)? else {
        return Ok(Committed::Already);
    };
    let positioned_first = is_positioned_first(&entry.settlement);
    for edge in edges {
        if edge.kv && is_ready {
            insert_delivery(connection, id, &edge.name, Way::Kv, content.len(), false)?;
        }
        if !(edge.kv && positioned_first) {
            let is_carried = is_ready && !positioned_first;
            let carried = if is_carried { content.len() } else { 0 };
            insert_delivery(
                connection,
                id,
                &edge.name,
                Way::Event,
                carried,
                positioned_first,
            )?;
        }
    }
    Ok(Committed::New)
}

fn commit_update(
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
        insert_delivery(connection, id, &edge.name, Way::Update, json.len(), false)?;
    }
    Ok(Committed::New)
}

/// A row of `entry` before it is one.
struct NewEntry<'a> {
    once: &'a str,
    subject: &'a str,
    kind: &'a str,
    event_id: &'a str,
    source: &'a str,
    media_type: Option<&'a str>,
    content: &'a [u8],
    stamps: Stamps,
    expires_at_ms: u64,
}

impl NewEntry<'_> {
    /// Inserts it and returns its id; `None` where there is one already.
    fn insert(&self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        let inserted = connection
            .prepare_cached(
                "INSERT INTO entry (once, subject, kind, event_id, source, media_type, content,
                                    content_bytes, stamps, expires_at)
                 VALUES (:once, :subject, :kind, :event_id, :source, :media_type, :content,
                         :content_bytes, :stamps, :expires_at)
                 ON CONFLICT (once) DO NOTHING",
            )?
            .execute(named_params! {
                ":once": self.once,
                ":subject": self.subject,
                ":kind": self.kind,
                ":event_id": self.event_id,
                ":source": self.source,
                ":media_type": self.media_type,
                ":content": self.content,
                ":content_bytes": sql_int(self.content.len()),
                ":stamps": serde_json::to_string(&self.stamps).unwrap_or_default(),
                ":expires_at": sql_int(self.expires_at_ms),
            })?;
        Ok((inserted > 0).then(|| connection.last_insert_rowid()))
    }
}

fn insert_delivery(
    connection: &Connection,
    entry: i64,
    edge: &str,
    way: Way,
    carried: usize,
    unpositioned: bool,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO delivery (entry, edge, way, bytes, unpositioned)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            entry,
            edge,
            way.name(),
            ROW_BYTES + sql_int(carried),
            unpositioned
        ])?;
    Ok(())
}

/// Returns whether a ticket has settled here, delivered or not.
pub(super) fn has_settled(connection: &Connection, once: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM entry WHERE once = ?1")?
        .exists([once])
}
