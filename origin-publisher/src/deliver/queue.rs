//! What one lane, that is one way to one edge, is to deliver next: first what is due again, then what
//! is new. Only ids are held in memory; an edge that is dead for hours costs disk.

use std::collections::VecDeque;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::outbox::{DeliveryId, Outbox, OutboxError, Pending, Take, Way};

/// The queue of one lane.
#[derive(Debug)]
pub(super) struct Queue {
    outbox: Outbox,
    edge: String,
    way: Way,
    /// Everything up to here has been taken at least once.
    after: DeliveryId,
    /// There may be more after that.
    more: bool,
    /// Taken and not delivered, with the time from which to try again, in order of it.
    again: VecDeque<(Instant, DeliveryId)>,
    news: watch::Receiver<u64>,
}

impl Queue {
    pub(super) fn new(outbox: Outbox, edge: String, way: Way) -> Self {
        Self {
            news: outbox.news(),
            outbox,
            edge,
            way,
            after: 0,
            more: true,
            again: VecDeque::new(),
        }
    }

    /// Waits until there may be something to take.
    pub(super) async fn ready(&mut self) {
        let due = self.again.front().map(|(at, _)| *at);
        if self.more {
            return;
        }
        tokio::select! {
            // Fails only when the outbox is gone, which this queue itself keeps.
            _ = self.news.changed() => self.more = true,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }

    /// Takes what is due; possibly nothing.
    pub(super) async fn take(
        &mut self,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Pending>, OutboxError> {
        let now = Instant::now();
        let due = self
            .again
            .iter()
            .take_while(|(at, _)| *at <= now)
            .count()
            .min(limit);
        if due > 0 {
            return self.take_again(due, bytes).await;
        }
        self.news.mark_unchanged();
        let take = Take {
            after: self.after,
            limit,
            bytes,
            only: None,
        };
        let taken = self.outbox.take(&self.edge, self.way, take).await?;
        // Even a short batch may have been cut by its bytes: only an empty one is the end.
        self.more = !taken.is_empty();
        if let Some(last) = taken.last() {
            self.after = last.id;
        }
        Ok(taken)
    }

    async fn take_again(
        &mut self,
        count: usize,
        bytes: usize,
    ) -> Result<Vec<Pending>, OutboxError> {
        let ids: Vec<DeliveryId> = self.again.iter().take(count).map(|(_, id)| *id).collect();
        let taken = self.take_only(ids.clone(), bytes).await?;
        // What comes after the last one taken was cut off by its bytes, or has expired meanwhile.
        let used = taken
            .last()
            .and_then(|last| ids.iter().position(|id| *id == last.id))
            .map_or(count, |position| position + 1);
        self.again.drain(..used);
        Ok(taken)
    }

    /// Reads these again, as far as they are still there.
    pub(super) async fn take_only(
        &self,
        ids: Vec<DeliveryId>,
        bytes: usize,
    ) -> Result<Vec<Pending>, OutboxError> {
        let take = Take {
            after: 0,
            limit: ids.len(),
            bytes,
            only: Some(ids),
        };
        self.outbox.take(&self.edge, self.way, take).await
    }

    /// Puts deliveries back, to be taken again from `at` on.
    pub(super) fn give_back(&mut self, ids: impl IntoIterator<Item = DeliveryId>, at: Instant) {
        for id in ids {
            let place = self.again.partition_point(|(other, _)| *other <= at);
            self.again.insert(place, (at, id));
        }
    }
}
