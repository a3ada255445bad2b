//! A ticket in its Durable Object's SQLite: one row, with the ticket and, once it has settled, the
//! event that did it.

use headstart_edge_rules::ticket::TicketState;
use headstart_protocol::{event::Event, settlement::Settlement, ticket::Ticket};
use serde::Deserialize;
use worker::{SqlStorage, SqlStorageValue};

use crate::http::error::Error;

/// The longest text in a row, in bytes. The platform's limit for a value is 2 MB; an inline offer of
/// 256 KiB stays below this even when every one of its bytes is escaped in JSON.
const MAX_TEXT_BYTES: usize = 1_900_000;

/// The row.
#[derive(Debug)]
pub struct TicketStore(SqlStorage);

#[derive(Deserialize)]
struct Row {
    event: Option<String>,
}

impl TicketStore {
    /// Returns the store of an object. Creates its table if it is not there.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn open(sql: SqlStorage) -> Result<Self, Error> {
        sql.exec(
            "CREATE TABLE IF NOT EXISTS ticket (one INTEGER PRIMARY KEY CHECK (one = 1), ticket TEXT NOT NULL, event TEXT)",
            None,
        )?;
        Ok(Self(sql))
    }

    /// Returns how the ticket stands; `None` for one that this object has not heard of.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn load(&self) -> Result<Option<TicketState>, Error> {
        let rows: Vec<Row> = self.0.exec("SELECT event FROM ticket", None)?.to_array()?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let Some(json) = row.event else {
            return Ok(Some(TicketState::Pending));
        };
        let event = Event::from_json(json.as_bytes())
            .map_err(|error| Error::Platform(format!("a stored event: {error}")))?;
        let (_, settlement) = Settlement::of_event(event)
            .map_err(|error| Error::Platform(format!("a stored settlement: {error}")))?;
        Ok(Some(TicketState::Settled(Box::new(settlement))))
    }

    /// Returns the text of the ticket, as it was first presented.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn ticket(&self) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Row {
            ticket: String,
        }
        let rows: Vec<Row> = self.0.exec("SELECT ticket FROM ticket", None)?.to_array()?;
        Ok(rows.into_iter().next().map(|row| row.ticket))
    }

    /// Remembers that there is such a ticket.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub fn create(&self, ticket: &Ticket) -> Result<(), Error> {
        self.0.exec(
            "INSERT OR IGNORE INTO ticket (one, ticket) VALUES (1, ?)",
            vec![SqlStorageValue::from(ticket.as_str())],
        )?;
        Ok(())
    }

    /// Stores the settlement.
    ///
    /// # Errors
    /// [`Error::Platform`], also for an event too long for a row.
    pub fn settle(&self, settlement: &Settlement, ticket: &Ticket) -> Result<(), Error> {
        let json = settlement.to_event(ticket).to_json();
        if json.len() > MAX_TEXT_BYTES {
            return Err(Error::Platform("an event is too long to store".to_owned()));
        }
        self.0.exec(
            "UPDATE ticket SET event = ?",
            vec![SqlStorageValue::from(json)],
        )?;
        Ok(())
    }
}
