//! A desk in its Durable Object's SQLite: logins with their events, tickets with the events that settled
//! them, and which `webhook-id`s were used.

use headstart_edge_rules::desk::Login;
use headstart_protocol::{
    event::Event, limits::REPLAY_MEMORY_MS, settlement::Settlement, ticket::first_uuid,
};
use serde::Deserialize;
use uuid::Uuid;
use worker::{SqlStorage, SqlStorageValue};

use crate::http::error::Error;

/// The longest text in a row, in bytes. The platform's limit for a value is 2 MB; an inline offer of
/// 256 KiB stays below this even when every one of its bytes is escaped in JSON.
const MAX_TEXT_BYTES: usize = 1_900_000;

/// Most tickets that are deleted at a time, so that it never takes long.
const SWEPT_AT_A_TIME: u32 = 1_000;

/// What a `webhook-id` was used for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Use {
    /// The ticket of the login that came under it; empty for a link's.
    pub ticket: String,
    /// The digest of the login's body; empty for a link's.
    pub digest: String,
}

/// The tables. A UUID of version 7 begins with the time of minting, so tickets sort by their age.
#[derive(Debug)]
pub struct DeskStore(SqlStorage);

impl DeskStore {
    /// Returns the store of an object. Creates its tables if they are not there.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn open(sql: SqlStorage) -> Result<Self, Error> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS login (uuid TEXT PRIMARY KEY, state TEXT NOT NULL, event TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS ticket (uuid TEXT PRIMARY KEY, event TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS used (id TEXT PRIMARY KEY, ticket TEXT NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS used_at ON used (at)",
        ] {
            sql.exec(statement, None)?;
        }
        Ok(Self(sql))
    }

    /// Returns every login that has not settled.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn logins(&self) -> Result<Vec<(Uuid, Login)>, Error> {
        #[derive(Deserialize)]
        struct Row {
            uuid: String,
            state: String,
        }
        let rows: Vec<Row> = self
            .0
            .exec("SELECT uuid, state FROM login", None)?
            .to_array()?;
        rows.into_iter()
            .map(|row| {
                let uuid = Uuid::try_parse(&row.uuid).map_err(|error| stored(&error))?;
                let login = serde_json::from_str(&row.state).map_err(|error| stored(&error))?;
                Ok((uuid, login))
            })
            .collect()
    }

    /// Returns the event of a login that has not settled.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn login_event(&self, login: Uuid) -> Result<Option<Event>, Error> {
        self.event("SELECT event FROM login WHERE uuid = ?", login)
    }

    /// Stores a login that has just come, with its event.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn add(&self, id: Uuid, login: &Login, event: &Event) -> Result<(), Error> {
        self.0.exec(
            "INSERT INTO login (uuid, state, event) VALUES (?, ?, ?)",
            vec![name(id), state(login)?, event.to_json().into()],
        )?;
        Ok(())
    }

    /// Stores a login's state.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn save(&self, id: Uuid, login: &Login) -> Result<(), Error> {
        self.0.exec(
            "UPDATE login SET state = ? WHERE uuid = ?",
            vec![state(login)?, name(id)],
        )?;
        Ok(())
    }

    /// Deletes a login.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn delete(&self, login: Uuid) -> Result<(), Error> {
        self.0
            .exec("DELETE FROM login WHERE uuid = ?", vec![name(login)])?;
        Ok(())
    }

    /// Returns what a ticket has settled to.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn settlement(&self, ticket: Uuid) -> Result<Option<Settlement>, Error> {
        let event = self.event("SELECT event FROM ticket WHERE uuid = ?", ticket)?;
        let read = |event| Settlement::of_event(event).map_err(|error| stored(&error));
        Ok(event
            .map(read)
            .transpose()?
            .map(|(_, settlement)| settlement))
    }

    /// Stores the event that settles a ticket.
    ///
    /// # Errors
    /// [`Error::Platform`], also for an event too long for a row.
    pub fn settle(&self, ticket: Uuid, event: &Event) -> Result<(), Error> {
        let json = event.to_json();
        if json.len() > MAX_TEXT_BYTES {
            return Err(Error::Platform("an event is too long to store".to_owned()));
        }
        self.0.exec(
            "INSERT INTO ticket (uuid, event) VALUES (?, ?)",
            vec![name(ticket), json.into()],
        )?;
        Ok(())
    }

    /// Returns what a `webhook-id` was used for in the time that is remembered.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn used(&self, id: &str, now_ms: u64) -> Result<Option<Use>, Error> {
        let rows: Vec<Use> = self
            .0
            .exec(
                "SELECT ticket, digest FROM used WHERE id = ? AND at > ?",
                vec![id.into(), remembered_since(now_ms)],
            )?
            .to_array()?;
        Ok(rows.into_iter().next())
    }

    /// Remembers what a `webhook-id` is used for.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn use_id(&self, id: &str, what: Use, now_ms: u64) -> Result<(), Error> {
        self.0.exec(
            "INSERT OR REPLACE INTO used (id, ticket, digest, at) VALUES (?, ?, ?, ?)",
            vec![
                id.into(),
                what.ticket.into(),
                what.digest.into(),
                integer(now_ms),
            ],
        )?;
        Ok(())
    }

    /// Returns how much is stored, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.database_size()
    }

    /// Returns whether anything is stored that a sweep will delete one day.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn has_rows(&self) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Row {
            rows: f64,
        }
        let any = "SELECT EXISTS (SELECT 1 FROM ticket) OR EXISTS (SELECT 1 FROM used) AS rows";
        let row: Row = self.0.exec(any, None)?.one()?;
        Ok(row.rows != 0.0)
    }

    /// Deletes tickets minted before `minted_before_ms`, some at a time, and `webhook-id`s that are too old.
    /// Returns whether there may be more tickets to delete.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn sweep(&self, minted_before_ms: u64, now_ms: u64) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Row {
            changes: u32,
        }
        self.0.exec(
            "DELETE FROM used WHERE at <= ?",
            vec![remembered_since(now_ms)],
        )?;
        let first = first_uuid(minted_before_ms);
        self.0.exec(
            "DELETE FROM ticket WHERE uuid IN (SELECT uuid FROM ticket WHERE uuid < ? ORDER BY uuid LIMIT ?)",
            vec![name(first), SqlStorageValue::Integer(SWEPT_AT_A_TIME.into())],
        )?;
        let row: Row = self.0.exec("SELECT changes() AS changes", None)?.one()?;
        Ok(row.changes == SWEPT_AT_A_TIME)
    }

    fn event(&self, select: &str, uuid: Uuid) -> Result<Option<Event>, Error> {
        #[derive(Deserialize)]
        struct Row {
            event: String,
        }
        let rows: Vec<Row> = self.0.exec(select, vec![name(uuid)])?.to_array()?;
        rows.into_iter()
            .next()
            .map(|row| Event::from_json(row.event.as_bytes()).map_err(|error| stored(&error)))
            .transpose()
    }
}

fn remembered_since(now_ms: u64) -> SqlStorageValue {
    integer(now_ms.saturating_sub(REPLAY_MEMORY_MS))
}

fn integer(ms: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn name(uuid: Uuid) -> SqlStorageValue {
    uuid.to_string().into()
}

fn state(login: &Login) -> Result<SqlStorageValue, Error> {
    Ok(serde_json::to_string(login)
        .map_err(|error| stored(&error))?
        .into())
}

fn stored(error: &dyn std::error::Error) -> Error {
    Error::Platform(format!("what a desk has stored: {error}"))
}
