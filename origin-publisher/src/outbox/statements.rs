//! The statements of the outbox, each on a connection that its caller provides: how rows come, move
//! on and go. Those for updates alone are in `updates.rs`.

use headstart_protocol::{
    event::{TYPE_OFFER_FAILED, TYPE_OFFER_READY},
    limits::MAX_INLINE_OFFER_BYTES,
    settlement::{Attributes, Content, Outcome, Settlement},
    stamps::Stamps,
};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params, types::Type};

use super::{
    entry::{
        Committed, DeliveryId, EdgeWays, Entry, Pending, Purged, Take, TicketSettlement, Way,
        is_positioned_first, once,
    },
    updates,
};

/// How long a delivered entry is remembered, in ms: longer than any lease of a login can come late.
/// (An update that comes again later than that is known to its topic at the edge, for a day.)
const REMEMBER_MS: u64 = 10 * 60 * 1000;

/// Most free pages that one purge gives back to the file system: 8 MB, some milliseconds of work.
const VACUUM_PAGES: u32 = 2048;

/// Most expired entries that one purge removes, so that it never holds up commits for long.
const PURGE_ROWS: u32 = 5_000;

pub(super) fn commit(
    connection: &Connection,
    entry: &Entry,
    edges: &[EdgeWays],
) -> rusqlite::Result<Committed> {
    match entry {
        Entry::Settlement(settled) => commit_settlement(connection, settled, edges),
        Entry::Update(update) => updates::commit(connection, update, edges),
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
            insert_delivery(connection, id, &edge.name, Way::Kv, false)?;
        }
        if !(edge.kv && positioned_first) {
            insert_delivery(connection, id, &edge.name, Way::Event, positioned_first)?;
        }
    }
    Ok(Committed::New)
}

/// A row of `entry` before it is one.
pub(super) struct NewEntry<'a> {
    pub(super) once: &'a str,
    pub(super) subject: &'a str,
    pub(super) kind: &'a str,
    pub(super) event_id: &'a str,
    pub(super) source: &'a str,
    pub(super) media_type: Option<&'a str>,
    pub(super) content: &'a [u8],
    pub(super) stamps: Stamps,
    pub(super) expires_at_ms: u64,
}

impl NewEntry<'_> {
    /// Inserts it and gives its id; `None` where there is one already.
    pub(super) fn insert(&self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
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

pub(super) fn insert_delivery(
    connection: &Connection,
    entry: i64,
    edge: &str,
    way: Way,
    unpositioned: bool,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO delivery (entry, edge, way, unpositioned) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![entry, edge, way.name(), unpositioned])?;
    Ok(())
}

/// Keeps up to where a source has been read.
pub(super) fn move_position(
    connection: &Connection,
    source: &str,
    at: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO position (source, at) VALUES (?1, ?2)
             ON CONFLICT (source) DO UPDATE SET at = excluded.at",
        )?
        .execute([source, at])?;
    Ok(())
}

pub(super) fn position(connection: &Connection, source: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT at FROM position WHERE source = ?1")?
        .query_row([source], |row| row.get(0))
        .optional()
}

pub(super) fn has_settled(connection: &Connection, once: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM entry WHERE once = ?1")?
        .exists([once])
}

pub(super) fn journal(
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

pub(super) fn journalled(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT event FROM login ORDER BY once")?
        .query_map([], |row| row.get(0))?
        .collect()
}

pub(super) fn take(
    connection: &Connection,
    edge: &str,
    way: Way,
    take: &Take,
) -> rusqlite::Result<Vec<Pending>> {
    let mut taken = Vec::new();
    let mut bytes = 0_usize;
    if let Some(ids) = &take.only {
        let mut select = connection.prepare_cached(&select_pending("d.id = ?3"))?;
        for id in ids {
            let Some(pending) = select
                .query_row(params![edge, way.name(), id], read_pending)
                .optional()?
            else {
                continue;
            };
            if !push(&mut taken, &mut bytes, pending, take) {
                break;
            }
        }
        return Ok(taken);
    }
    let mut select = connection.prepare_cached(&select_pending("d.id > ?3 ORDER BY d.id"))?;
    let mut rows = select.query(params![edge, way.name(), take.after])?;
    while let Some(row) = rows.next()? {
        if !push(&mut taken, &mut bytes, read_pending(row)?, take) {
            break;
        }
    }
    Ok(taken)
}

/// Takes one more, unless that would break a limit.
fn push(taken: &mut Vec<Pending>, bytes: &mut usize, pending: Pending, take: &Take) -> bool {
    let size = content_bytes(&pending.settlement);
    if taken.len() >= take.limit || (!taken.is_empty() && *bytes + size > take.bytes) {
        return false;
    }
    *bytes += size;
    taken.push(pending);
    taken.len() < take.limit
}

fn content_bytes(settlement: &Settlement) -> usize {
    match &settlement.outcome {
        Outcome::Ready {
            content: Content::Inline(bytes),
            ..
        } => bytes.len(),
        Outcome::Ready { .. } => 0,
        Outcome::Failed { reason } => reason.len(),
    }
}

fn select_pending(condition: &str) -> String {
    // An event never carries content that is positioned first, so it need not be read for one.
    format!(
        "SELECT d.id, e.subject, e.kind, e.event_id, e.source, e.media_type,
                CASE WHEN d.way = 'event' AND e.content_bytes > {MAX_INLINE_OFFER_BYTES}
                     THEN NULL ELSE e.content END AS content,
                e.stamps, e.expires_at, d.unpositioned
         FROM delivery d JOIN entry e ON e.id = d.entry
         WHERE d.edge = ?1 AND d.way = ?2 AND {condition}"
    )
}

fn read_pending(row: &Row<'_>) -> rusqlite::Result<Pending> {
    let kind: String = row.get("kind")?;
    let content: Option<Vec<u8>> = row.get("content")?;
    let outcome = match kind.as_str() {
        TYPE_OFFER_READY => Outcome::Ready {
            media_type: row.get("media_type")?,
            content: content.map_or(Content::Positioned, Content::Inline),
        },
        TYPE_OFFER_FAILED => Outcome::Failed {
            reason: String::from_utf8_lossy(&content.unwrap_or_default()).into_owned(),
        },
        _ => return Err(unreadable(2, "the kind of an entry is not known")),
    };
    let stamps: String = row.get("stamps")?;
    Ok(Pending {
        id: row.get("id")?,
        ticket: row.get("subject")?,
        settlement: Settlement {
            event_id: row.get("event_id")?,
            source: row.get("source")?,
            attributes: Attributes::default(),
            stamps: serde_json::from_str(&stamps)
                .map_err(|_| unreadable(7, "the stamps of an entry cannot be read"))?,
            outcome,
        },
        expires_at_ms: row.get::<_, i64>("expires_at")?.unsigned_abs(),
        unpositioned: row.get("unpositioned")?,
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
            "INSERT INTO delivery (entry, edge, way, unpositioned)
             SELECT id, ?2, ?3, ?4 FROM entry WHERE id = ?1 AND content_bytes > ?5",
        )?
        .execute(params![
            entry,
            edge,
            Way::Event.name(),
            !positioned,
            sql_int(MAX_INLINE_OFFER_BYTES)
        ])?;
    Ok(inserted > 0)
}

fn end_if_delivered(connection: &Connection, entry: i64, now_ms: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE entry SET content = NULL, done_at = ?2
             WHERE id = ?1 AND done_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM delivery WHERE entry = ?1)",
        )?
        .execute(params![entry, sql_int(now_ms)])?;
    Ok(())
}

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

/// `SQLite` has signed integers only; times and sizes never come near the limit.
pub(super) fn sql_int(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
