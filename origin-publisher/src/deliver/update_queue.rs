//! What the lane of updates is to deliver next: reads from the outbox what [`Order`] lets go.

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::order::Order;
use crate::outbox::{DeliveryId, Outbox, OutboxError, PendingUpdate};

/// Updates whose topics are read at a time; their content is read when they go.
const LIST: usize = 1000;

/// The queue of one lane.
#[derive(Debug)]
pub(super) struct UpdateQueue {
    outbox: Outbox,
    edge: String,
    /// Everything up to here is in the order, or has gone.
    after: DeliveryId,
    /// There may be more after that.
    more: bool,
    order: Order,
    news: watch::Receiver<u64>,
}

impl UpdateQueue {
    pub(super) fn new(outbox: Outbox, edge: String) -> Self {
        Self {
            news: outbox.news(),
            outbox,
            edge,
            after: 0,
            more: true,
            order: Order::default(),
        }
    }

    /// Waits until there may be something to take.
    pub(super) async fn ready(&mut self) {
        if self.more || self.order.is_ready() {
            return;
        }
        let due = self.order.due();
        tokio::select! {
            // Fails only when the outbox is gone, which this queue itself keeps.
            _ = self.news.changed() => self.more = true,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }

    /// Takes what may go; possibly nothing. Each topic in it must be [`Self::back`] in the end.
    pub(super) async fn take(
        &mut self,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<PendingUpdate>, OutboxError> {
        if self.more {
            self.news.mark_unchanged();
            let listed = self
                .outbox
                .list_updates(&self.edge, self.after, LIST)
                .await?;
            self.more = listed.len() == LIST;
            for (id, topic) in listed {
                self.after = id;
                self.order.add(topic, id);
            }
        }
        let now = Instant::now();
        let runs = self.order.next(limit, now);
        let ids: Vec<DeliveryId> = runs.iter().flat_map(|run| &run.ids).copied().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let taken = match self
            .outbox
            .take_updates(&self.edge, ids.clone(), bytes)
            .await
        {
            Ok(taken) => taken,
            Err(error) => {
                for run in &runs {
                    self.order.back(&run.topic, &run.ids, now);
                }
                return Err(error);
            }
        };
        // What comes after the last one taken was cut off by its bytes, or has expired meanwhile.
        let mut used = taken
            .last()
            .and_then(|last| ids.iter().position(|id| *id == last.id))
            .map_or(ids.len(), |position| position + 1);
        for run in &runs {
            let (gone, cut) = run.ids.split_at(used.min(run.ids.len()));
            used -= gone.len();
            self.order.put_back(&run.topic, cut);
            if !taken.iter().any(|update| update.topic == run.topic) {
                self.order.back(&run.topic, &[], now);
            }
        }
        Ok(taken)
    }

    /// What was taken of a topic has come to its end; what is `left` goes again from `at` on.
    pub(super) fn back(&mut self, topic: &str, left: &[DeliveryId], at: Instant) {
        self.order.back(topic, left, at);
    }
}
