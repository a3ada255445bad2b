//! A relay in its object's SQLite:
//!
//! | table | a row is |
//! |---|---|
//! | `relay` | its name; one row |
//! | `heads` | a topic, and up to which sequence number its live subscribers have everything |

use headstart_edge_rules::topic::relay_name::RelayName;
use headstart_protocol::topic::TopicName;
use serde::Deserialize;
use worker::SqlStorage;

use crate::{http::error::Error, platform::sql::has_tables};

/// The tables.
#[derive(Debug)]
pub struct RelayStore(SqlStorage);

impl RelayStore {
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
            "CREATE TABLE IF NOT EXISTS relay (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS heads (topic TEXT PRIMARY KEY, head TEXT NOT NULL) WITHOUT ROWID",
        ] {
            sql.exec(statement, None)?;
        }
        Ok(Self(sql))
    }

    /// Returns the relay's name; `None` for an object that nobody ever subscribed at.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn name(&self) -> Result<Option<RelayName>, Error> {
        #[derive(Deserialize)]
        struct Row {
            name: RelayName,
        }
        let rows: Vec<Row> = self.0.exec("SELECT name FROM relay", None)?.to_array()?;
        Ok(rows.into_iter().next().map(|row| row.name))
    }

    /// Remembers the relay's name.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn set_name(&self, name: &RelayName) -> Result<(), Error> {
        self.0.exec(
            "INSERT OR REPLACE INTO relay (one, name) VALUES (1, ?)",
            vec![name.to_string().into()],
        )?;
        Ok(())
    }

    /// Returns every topic with its head.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn heads(&self) -> Result<Vec<(TopicName, u64)>, Error> {
        #[derive(Deserialize)]
        struct Row {
            topic: TopicName,
            head: String,
        }
        let rows: Vec<Row> = self
            .0
            .exec("SELECT topic, head FROM heads", None)?
            .to_array()?;
        let heads = rows.into_iter();
        Ok(heads
            .filter_map(|row| Some((row.topic, row.head.parse().ok()?)))
            .collect())
    }

    /// Remembers a topic's head.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn set_head(&self, topic: &TopicName, head: u64) -> Result<(), Error> {
        self.0.exec(
            "INSERT OR REPLACE INTO heads (topic, head) VALUES (?, ?)",
            vec![topic.as_str().into(), head.to_string().into()],
        )?;
        Ok(())
    }

    /// Forgets a topic's head.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn forget_head(&self, topic: &TopicName) -> Result<(), Error> {
        self.0.exec(
            "DELETE FROM heads WHERE topic = ?",
            vec![topic.as_str().into()],
        )?;
        Ok(())
    }
}
