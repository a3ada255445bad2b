//! A login desk in its Durable Object's SQLite: the logins with their events, and which `webhook-id`s
//! were used; and what the edge and the desk say to each other.

use headstart_edge_rules::desk::Login;
use headstart_protocol::{event::Event, limits::REPLAY_MEMORY_MS};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use worker::{SqlStorage, SqlStorageValue};

use crate::http::error::Error;

/// A login to be stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct Enqueue {
    /// The login event.
    pub event: Event,
    /// What tells a repeated login from a new one; none where logins are not signed.
    pub webhook: Option<Webhook>,
}

/// How a signed login is told from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its `webhook-id`.
    pub id: String,
    /// A digest of its body.
    pub digest: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enqueued {
    /// It is stored, and will reach an origin.
    Stored,
    /// The same login came before; this is its ticket.
    Repeated {
        /// The ticket.
        ticket: String,
    },
    /// Another login came under its `webhook-id`.
    Conflict,
    /// The desk holds as many logins as it may.
    Full,
}

/// The tables.
#[derive(Debug)]
pub struct DeskStore(SqlStorage);

impl DeskStore {
    /// Returns the store of an object. Creates its tables if they are not there.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn open(sql: SqlStorage) -> Result<Self, Error> {
        for statement in [
            // Events are apart from states: a state is read whenever the desk is built anew, and an
            // event only when its login is leased.
            "CREATE TABLE IF NOT EXISTS event (uuid TEXT PRIMARY KEY, event TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS login (uuid TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS used (id TEXT PRIMARY KEY, ticket TEXT NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE INDEX IF NOT EXISTS used_at ON used (at)",
        ] {
            sql.exec(statement, None)?;
        }
        Ok(Self(sql))
    }

    /// Returns every login.
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

    /// Returns the event of a login.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn event(&self, login: Uuid) -> Result<Option<Event>, Error> {
        #[derive(Deserialize)]
        struct Row {
            event: String,
        }
        let rows: Vec<Row> = self
            .0
            .exec("SELECT event FROM event WHERE uuid = ?", uuid(login))?
            .to_array()?;
        rows.into_iter()
            .next()
            .map(|row| Event::from_json(row.event.as_bytes()).map_err(|error| stored(&error)))
            .transpose()
    }

    /// Stores a login's event; its state follows by [`DeskStore::save`].
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn add(&self, login: Uuid, event: &Event) -> Result<(), Error> {
        self.0.exec(
            "INSERT OR IGNORE INTO event (uuid, event) VALUES (?, ?)",
            vec![login.to_string().into(), event.to_json().into()],
        )?;
        Ok(())
    }

    /// Stores a login's state.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn save(&self, id: Uuid, login: &Login) -> Result<(), Error> {
        let state = serde_json::to_string(login).map_err(|error| stored(&error))?;
        self.0.exec(
            "INSERT OR REPLACE INTO login (uuid, state) VALUES (?, ?)",
            vec![id.to_string().into(), state.into()],
        )?;
        Ok(())
    }

    /// Deletes a login.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn delete(&self, login: Uuid) -> Result<(), Error> {
        for statement in [
            "DELETE FROM login WHERE uuid = ?",
            "DELETE FROM event WHERE uuid = ?",
        ] {
            self.0.exec(statement, uuid(login))?;
        }
        Ok(())
    }

    /// Returns what a `webhook-id` was used for in the time that is remembered: the ticket and the digest.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn used(&self, id: &str, now_ms: u64) -> Result<Option<(String, String)>, Error> {
        #[derive(Deserialize)]
        struct Row {
            ticket: String,
            digest: String,
        }
        let rows: Vec<Row> = self
            .0
            .exec(
                "SELECT ticket, digest FROM used WHERE id = ? AND at > ?",
                vec![id.into(), remembered_since(now_ms)],
            )?
            .to_array()?;
        Ok(rows.into_iter().next().map(|row| (row.ticket, row.digest)))
    }

    /// Remembers what a `webhook-id` is used for, and forgets what is too old.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn use_id(&self, id: &str, ticket: &str, digest: &str, now_ms: u64) -> Result<(), Error> {
        self.forget(now_ms)?;
        self.0.exec(
            "INSERT OR REPLACE INTO used (id, ticket, digest, at) VALUES (?, ?, ?, ?)",
            vec![id.into(), ticket.into(), digest.into(), integer(now_ms)],
        )?;
        Ok(())
    }

    /// Forgets `webhook-id`s that are too old; says whether any are left.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn forget(&self, now_ms: u64) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Row {
            left: f64,
        }
        self.0.exec(
            "DELETE FROM used WHERE at <= ?",
            vec![remembered_since(now_ms)],
        )?;
        let row: Row = self
            .0
            .exec("SELECT EXISTS (SELECT 1 FROM used) AS left", None)?
            .one()?;
        Ok(row.left != 0.0)
    }
}

fn remembered_since(now_ms: u64) -> SqlStorageValue {
    integer(now_ms.saturating_sub(REPLAY_MEMORY_MS))
}

fn integer(ms: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn uuid(login: Uuid) -> Vec<SqlStorageValue> {
    vec![login.to_string().into()]
}

fn stored(error: &dyn std::error::Error) -> Error {
    Error::Platform(format!("what a desk has stored: {error}"))
}
