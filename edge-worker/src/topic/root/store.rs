//! A topic in its root object's SQLite:
//!
//! | table | a row is |
//! |---|---|
//! | `state` | a value by its name: the topic, what was sent, what was put to KV |
//! | `history` | an update that is kept |
//! | `taken` | an event that was taken, to recognise it when it comes again |
//! | `relays` | a relay that follows |
//! | `shards` | a region that is spread over more than one relay |

use headstart_edge_rules::topic::{
    fanout::Registered,
    history::{Identity, Kept, Taken, Trim},
    region::Region,
    relay_name::RelayName,
    root::Stored,
    update::{EventJson, Update},
};
use headstart_protocol::topic::TopicName;
use serde::Deserialize;
use worker::{SqlStorage, SqlStorageValue};

use crate::{http::error::Error, platform::sql::has_tables};

/// Up to which sequence number subscribers of the root have been sent everything.
pub const SENT: &str = "sent";

/// Which sequence number KV has.
pub const KV_SEQUENCE: &str = "positioned";

/// The tables.
#[derive(Debug)]
pub struct TopicStore(SqlStorage);

impl TopicStore {
    /// Returns the store of an object that has stored something: whoever only asks makes no object that
    /// stays.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn find(sql: &SqlStorage) -> Result<Option<Self>, Error> {
        Ok(has_tables(sql)?.then(|| Self(sql.clone())))
    }

    /// Returns the store of an object. Creates its tables if they are not there.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn open(sql: SqlStorage) -> Result<Self, Error> {
        for statement in [
            "CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS history (sequence INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS taken (sequence INTEGER PRIMARY KEY, at INTEGER NOT NULL, identity TEXT NOT NULL)",
            // A number of 64 random bits is text, as JavaScript's numbers do not hold it.
            "CREATE TABLE IF NOT EXISTS relays (name TEXT PRIMARY KEY, epoch TEXT NOT NULL, subscribers INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS shards (region TEXT PRIMARY KEY, shards INTEGER NOT NULL) WITHOUT ROWID",
        ] {
            sql.exec(statement, None)?;
        }
        Ok(Self(sql))
    }

    /// Returns the topic; `None` for an object that nothing was published or subscribed at.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn topic(&self) -> Result<Option<TopicName>, Error> {
        let text = self.state("topic")?;
        text.map(|text| TopicName::parse(&text).map_err(|error| stored(&error)))
            .transpose()
    }

    /// Remembers the topic.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn set_topic(&self, topic: &TopicName) -> Result<(), Error> {
        self.set("topic", topic.as_str())
    }

    /// Returns everything that is needed to go on with the topic.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn load(&self) -> Result<Stored, Error> {
        Ok(Stored {
            history: self.history()?,
            taken: self.taken()?,
            told: self.number(SENT)?,
            in_kv: self.number(KV_SEQUENCE)?,
            relays: self.relays()?,
            shards: self.shards()?,
        })
    }

    /// Stores a number.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn set_number(&self, name: &str, value: u64) -> Result<(), Error> {
        self.set(name, &value.to_string())
    }

    /// Returns every update that is kept, oldest first.
    fn history(&self) -> Result<Vec<Kept>, Error> {
        #[derive(Deserialize)]
        struct Row {
            sequence: u64,
            at: u64,
            event: String,
        }
        let rows: Vec<Row> = self
            .0
            .exec(
                "SELECT sequence, at, event FROM history ORDER BY sequence",
                None,
            )?
            .to_array()?;
        rows.into_iter()
            .map(|row| {
                let event = EventJson::read(row.event).map_err(|error| stored(&error))?;
                Ok(Kept {
                    update: Update {
                        sequence: row.sequence,
                        event,
                    },
                    at_ms: row.at,
                })
            })
            .collect()
    }

    /// Returns every event that is recognised, oldest first.
    fn taken(&self) -> Result<Vec<Taken>, Error> {
        #[derive(Deserialize)]
        struct Row {
            sequence: u64,
            at: u64,
            identity: String,
        }
        let rows: Vec<Row> = self
            .0
            .exec(
                "SELECT sequence, at, identity FROM taken ORDER BY sequence",
                None,
            )?
            .to_array()?;
        let taken = |row: Row| {
            Some(Taken {
                identity: Identity::parse(&row.identity)?,
                sequence: row.sequence,
                at_ms: row.at,
            })
        };
        Ok(rows.into_iter().filter_map(taken).collect())
    }

    /// Stores an update, and the event that it came with.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn append(&self, update: &Update, identity: Identity, at_ms: u64) -> Result<(), Error> {
        let sequence = integer(update.sequence);
        self.0.exec(
            "INSERT INTO history (sequence, at, event) VALUES (?, ?, ?)",
            vec![
                sequence.clone(),
                integer(at_ms),
                update.event.as_str().into(),
            ],
        )?;
        self.0.exec(
            "INSERT INTO taken (sequence, at, identity) VALUES (?, ?, ?)",
            vec![sequence, integer(at_ms), identity.to_string().into()],
        )?;
        Ok(())
    }

    /// Deletes what the history has forgotten.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn trim(&self, trim: Trim) -> Result<(), Error> {
        for (statement, up_to) in [
            (
                "DELETE FROM history WHERE sequence <= ?",
                trim.updates_up_to,
            ),
            (
                "DELETE FROM taken WHERE sequence <= ?",
                trim.identities_up_to,
            ),
        ] {
            if let Some(sequence) = up_to {
                self.0.exec(statement, vec![integer(sequence)])?;
            }
        }
        Ok(())
    }

    /// Returns every relay that follows.
    fn relays(&self) -> Result<Vec<Registered>, Error> {
        #[derive(Deserialize)]
        struct Row {
            name: RelayName,
            epoch: String,
            subscribers: u32,
        }
        let rows: Vec<Row> = self
            .0
            .exec("SELECT name, epoch, subscribers FROM relays", None)?
            .to_array()?;
        let registered = |row: Row| {
            Some(Registered {
                relay: row.name,
                epoch: row.epoch.parse().ok()?,
                subscribers: row.subscribers,
            })
        };
        Ok(rows.into_iter().filter_map(registered).collect())
    }

    /// Stores that a relay follows.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn save_relay(&self, relay: &Registered) -> Result<(), Error> {
        self.0.exec(
            "INSERT OR REPLACE INTO relays (name, epoch, subscribers) VALUES (?, ?, ?)",
            vec![
                relay.relay.to_string().into(),
                relay.epoch.to_string().into(),
                integer(relay.subscribers.into()),
            ],
        )?;
        Ok(())
    }

    /// Deletes a relay: it does not follow any more.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn forget_relay(&self, relay: &RelayName) -> Result<(), Error> {
        let name = relay.to_string().into();
        self.0
            .exec("DELETE FROM relays WHERE name = ?", vec![name])?;
        Ok(())
    }

    /// Over how many relays each region is spread; one that is missing, over one.
    fn shards(&self) -> Result<Vec<(Region, u32)>, Error> {
        #[derive(Deserialize)]
        struct Row {
            region: Region,
            shards: u32,
        }
        let rows: Vec<Row> = self
            .0
            .exec("SELECT region, shards FROM shards", None)?
            .to_array()?;
        Ok(rows
            .into_iter()
            .map(|row| (row.region, row.shards))
            .collect())
    }

    /// Stores over how many relays a region is spread.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn save_shards(&self, region: Region, shards: u32) -> Result<(), Error> {
        self.0.exec(
            "INSERT OR REPLACE INTO shards (region, shards) VALUES (?, ?)",
            vec![region.code().into(), integer(shards.into())],
        )?;
        Ok(())
    }

    /// Returns a number that was stored by [`TopicStore::set_number`]; 0 where none was.
    fn number(&self, name: &str) -> Result<u64, Error> {
        let text = self.state(name)?;
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    fn state(&self, name: &str) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Row {
            value: String,
        }
        let rows: Vec<Row> = self
            .0
            .exec("SELECT value FROM state WHERE name = ?", vec![name.into()])?
            .to_array()?;
        Ok(rows.into_iter().next().map(|row| row.value))
    }

    fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        self.0.exec(
            "INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)",
            vec![name.into(), value.into()],
        )?;
        Ok(())
    }
}

fn integer(number: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn stored(error: &dyn std::error::Error) -> Error {
    Error::Platform(format!("what a topic has stored: {error}"))
}
