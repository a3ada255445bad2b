//! The documents of one run as a [`Source`]. It cannot resume: what has been read from an input is gone
//! from it.

use tokio::sync::mpsc;

use super::{Plan, document::Document};
use crate::{
    outbox::{Committed, OutboxError},
    shutdown::Shutdown,
    sources::{Position, Sink, Source, SourceError},
};

/// Updates that are kept in one go, at most.
const COMMIT: usize = 500;

/// Documents on their way into the outbox.
#[derive(Debug)]
pub(super) struct Documents<'a> {
    /// What they become updates of.
    pub(super) plan: &'a Plan,
    /// Where they come from.
    pub(super) input: mpsc::Receiver<Document>,
    /// Tells the run of them; closed at the end.
    pub(super) notes: mpsc::Sender<Note>,
}

/// What a run is to know of a document.
#[derive(Debug)]
pub(super) enum Note {
    /// It is an update and is about to be kept: from then on it may be delivered.
    Begun {
        /// The update's id.
        id: String,
        /// When it is of no use to anyone any more, in ms since the Unix epoch.
        expires_at_ms: u64,
    },
    /// The update with this id had been kept before.
    Known(String),
    /// It is no update.
    Refused {
        /// The document's name.
        document: String,
        /// Why.
        reason: String,
    },
}

impl Source for Documents<'_> {
    async fn run(
        mut self,
        _from: Option<Position>,
        sink: Sink,
        shutdown: Shutdown,
    ) -> Result<(), SourceError> {
        let mut batch = Vec::new();
        loop {
            let count = tokio::select! {
                biased;
                () = shutdown.drained() => return Ok(()),
                count = self.input.recv_many(&mut batch, COMMIT) => count,
            };
            if count == 0 {
                return Ok(());
            }
            self.keep(std::mem::take(&mut batch), &sink).await?;
        }
    }
}

impl Documents<'_> {
    async fn keep(&self, documents: Vec<Document>, sink: &Sink) -> Result<(), OutboxError> {
        let mut updates = Vec::new();
        for document in documents {
            match document.update(self.plan) {
                Ok(update) => {
                    self.tell(Note::Begun {
                        id: update.event().id.clone(),
                        expires_at_ms: update.expires_at_ms(),
                    })
                    .await;
                    updates.push(update);
                }
                Err(reason) => {
                    self.tell(Note::Refused {
                        document: document.name,
                        reason,
                    })
                    .await;
                }
            }
        }
        let ids: Vec<String> = updates
            .iter()
            .map(|update| update.event().id.clone())
            .collect();
        let committed = sink.commit(updates, None).await?;
        for (id, committed) in ids.into_iter().zip(committed) {
            if committed == Committed::Already {
                self.tell(Note::Known(id)).await;
            }
        }
        Ok(())
    }

    async fn tell(&self, note: Note) {
        // Whoever runs it drops it when they end.
        let _ = self.notes.send(note).await;
    }
}
