//! Offers that go ahead: their events are posted beside their commit, so that whoever waits for one need not
//! wait for the disk. The outbox stays the one that knows what is to be delivered: what the edge has taken
//! ahead is crossed off there once it is committed, and anything else goes from there as if it had never been
//! tried.

use std::{collections::HashSet, sync::Arc};

use headstart_protocol::report::Status;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::post::Ended;
use crate::outbox::{Pending, PendingEntry, TicketSettlement};

/// Most offers that go ahead in one request.
const MOST: usize = 32;

/// Most ids that are remembered of what was taken ahead and is not committed yet. An id that is forgotten
/// costs a request, whose event the edge recognises.
const REMEMBERED: usize = 1024;

/// What goes ahead in one lane.
#[derive(Debug)]
pub(super) struct Ahead {
    /// None in a lane where nothing goes ahead.
    announced: Option<Receiver<Arc<TicketSettlement>>>,
    /// Ids of events that the edge has, and that are yet to be crossed off.
    taken: HashSet<String>,
}

impl Ahead {
    pub(super) fn new(announced: Option<Receiver<Arc<TicketSettlement>>>) -> Self {
        Self {
            announced,
            taken: HashSet::new(),
        }
    }

    /// Waits for the next offers that are about to be committed.
    pub(super) async fn next(&mut self) -> Vec<Arc<TicketSettlement>> {
        let Some(announced) = &mut self.announced else {
            return std::future::pending().await;
        };
        let mut offers = Vec::new();
        match announced.recv().await {
            Ok(offer) => offers.push(offer),
            // Those go once they are committed.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => {
                self.announced = None;
                return Vec::new();
            }
        }
        while offers.len() < MOST
            && let Ok(offer) = announced.try_recv()
        {
            offers.push(offer);
        }
        offers
    }

    /// Remembers which events the edge has.
    pub(super) fn note(&mut self, taken: Vec<String>) {
        if self.taken.len() > REMEMBERED {
            self.taken.clear();
        }
        self.taken.extend(taken);
    }

    /// Takes out of what is to be sent what the edge has already.
    pub(super) fn cross_off(&mut self, pending: &mut Vec<Pending>) -> Vec<Ended> {
        let mut ended = Vec::new();
        if self.taken.is_empty() {
            return ended;
        }
        pending.retain_mut(|one| {
            let PendingEntry::Settlement { settlement, .. } = &one.entry else {
                return true;
            };
            let id = &settlement.event_id;
            let is_taken = self.taken.remove(id);
            if is_taken {
                ended.push(Ended {
                    delivery: one.id,
                    subject: std::mem::take(&mut one.subject),
                    id: id.clone(),
                    status: Status::Accepted,
                    reason: None,
                });
            }
            !is_taken
        });
        ended
    }
}
