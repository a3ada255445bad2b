//! What one lane, that is one way to one edge, is to deliver next: reads from the outbox what [`Order`]
//! lets go. Only ids and subjects are held, and few of them ahead: an edge that is dead for hours costs
//! disk, not memory.

use std::collections::HashSet;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::order::Order;
use crate::outbox::{DeliveryId, Outbox, OutboxError, Pending, Way};

/// Deliveries that are listed at a time, at least; what they carry is read when they go.
const LIST: usize = 1000;

/// The queue of one lane.
#[derive(Debug)]
pub(super) struct Queue {
    outbox: Outbox,
    edge: String,
    way: Way,
    /// Everything up to here is in the order, or has gone.
    after: DeliveryId,
    /// There may be more after that.
    more: bool,
    order: Order,
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
            order: Order::default(),
        }
    }

    /// Waits until there may be something to deliver.
    pub(super) async fn ready(&mut self) {
        if self.more || self.order.is_ready(Instant::now()) {
            return;
        }
        let due = self.order.due();
        tokio::select! {
            // Fails only when the outbox is gone, which this queue itself keeps.
            _ = self.news.changed() => self.more = true,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }

    /// Returns what may go, up to so many deliveries and bytes; possibly nothing. Each subject in it must
    /// [end](Self::end).
    pub(super) async fn next(
        &mut self,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Pending>, OutboxError> {
        let now = Instant::now();
        // Also while there is always something that may go, as with an edge that fails.
        self.more |= self.news.has_changed().unwrap_or(false);
        if self.more && (self.order.waiting() < limit || !self.order.is_ready(now)) {
            self.list(limit.max(LIST)).await?;
        }
        let runs = self.order.next(limit, now);
        let ids: Vec<DeliveryId> = runs.iter().flat_map(|run| &run.ids).copied().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.outbox.read(&self.edge, self.way, ids.clone(), bytes);
        let pending = match read.await {
            Ok(pending) => pending,
            Err(error) => {
                for run in &runs {
                    self.order.end(&run.subject, &run.ids, now);
                }
                return Err(error);
            }
        };
        // What comes after the last one read was cut off by its bytes, or has expired meanwhile.
        let mut used = pending
            .last()
            .and_then(|last| ids.iter().position(|id| *id == last.id))
            .map_or(ids.len(), |position| position + 1);
        let subjects: HashSet<&str> = pending.iter().map(|one| one.subject.as_str()).collect();
        for run in &runs {
            let (gone, cut) = run.ids.split_at(used.min(run.ids.len()));
            used -= gone.len();
            self.order.put_back(&run.subject, cut);
            if !subjects.contains(run.subject.as_str()) {
                self.order.end(&run.subject, &[], now);
            }
        }
        Ok(pending)
    }

    async fn list(&mut self, limit: usize) -> Result<(), OutboxError> {
        self.news.mark_unchanged();
        let list = self.outbox.list(&self.edge, self.way, self.after, limit);
        let listed = list.await?;
        self.more = listed.len() == limit;
        for (id, subject) in listed {
            self.after = id;
            self.order.add(subject, id);
        }
        Ok(())
    }

    /// Holds a subject back until it [ends](Self::end); false where something of it is here already.
    pub(super) fn hold(&mut self, subject: &str) -> bool {
        self.order.hold(subject)
    }

    /// Ends what was on its way of a subject; what is `left` goes again from `at` on.
    pub(super) fn end(&mut self, subject: &str, left: &[DeliveryId], at: Instant) {
        self.order.end(subject, left, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        outbox::Entry,
        testing::{self, offer, update},
    };

    async fn queue(entries: Vec<Entry>, way: Way) -> (Queue, tempfile::TempDir) {
        let (outbox, folder) = testing::outbox(true);
        outbox.commit_all(entries).await.unwrap();
        (Queue::new(outbox, "edge".to_owned(), way), folder)
    }

    #[tokio::test]
    async fn a_dead_edge_costs_no_more_memory_than_what_is_listed_ahead() {
        let offers = (0..3 * LIST).map(|_| offer(b"1").into()).collect();
        let (mut queue, _folder) = queue(offers, Way::Event).await;
        for _ in 0..30 {
            let sent = queue.next(500, usize::MAX).await.unwrap();
            assert_eq!(sent.len(), 500);
            for one in &sent {
                queue.end(&one.subject, &[one.id], Instant::now());
            }
            assert!(queue.order.waiting() < LIST + 500);
        }
        // Once it is well again, everything goes, each once and the oldest first.
        let mut gone = Vec::new();
        while gone.len() < 3 * LIST {
            for one in queue.next(500, usize::MAX).await.unwrap() {
                queue.end(&one.subject, &[], Instant::now());
                gone.push(one.id);
            }
        }
        assert!(gone.is_sorted() && queue.next(1, 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn as_many_go_at_once_as_are_wanted_and_there() {
        let offers = (0..LIST + 2).map(|_| offer(b"1").into()).collect();
        let (mut queue, _folder) = queue(offers, Way::Kv).await;
        assert_eq!(
            queue.next(LIST + 1, usize::MAX).await.unwrap().len(),
            LIST + 1
        );
        assert_eq!(queue.next(LIST + 1, usize::MAX).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_subject_that_waits_for_its_answer_keeps_no_other_from_being_found() {
        let mut updates: Vec<Entry> = (0..2 * LIST)
            .map(|number| update("busy", &number.to_string()).into())
            .collect();
        updates.push(update("other", "1").into());
        let (mut queue, _folder) = queue(updates, Way::Update).await;
        assert_eq!(queue.next(1, usize::MAX).await.unwrap()[0].subject, "busy");
        let mut found = Vec::new();
        for _ in 0..9 {
            found.extend(queue.next(9, usize::MAX).await.unwrap());
        }
        assert_eq!(found[0].subject, "other");
    }

    #[tokio::test]
    async fn what_comes_while_others_must_go_again_goes_with_them() {
        let (mut queue, _folder) = queue(vec![update("a", "1").into()], Way::Update).await;
        for count in 1..4 {
            queue.ready().await;
            let sent = queue.next(9, usize::MAX).await.unwrap();
            assert_eq!(sent.len(), count);
            let ids: Vec<_> = sent.iter().map(|one| one.id).collect();
            queue.end("a", &ids, Instant::now());
            let more = update("a", &format!("after {count}"));
            queue.outbox.commit(more).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_goes_next() {
        let entries = (0..4).map(|_| offer(b"1").into()).collect();
        let (mut queue, _folder) = queue(entries, Way::Event).await;
        let first = queue.next(9, 0).await.unwrap();
        assert_eq!(first.len(), 1, "one always goes");
        let rest = queue.next(9, usize::MAX).await.unwrap();
        let ids: Vec<_> = first.iter().chain(&rest).map(|one| one.id).collect();
        assert_eq!(ids.len(), 4);
        assert!(ids.is_sorted());
    }

    #[tokio::test]
    async fn what_is_gone_when_it_is_read_holds_nothing_of_its_subject_back() {
        let updates = ["1", "2"].map(|id| update("a", id).into());
        let (mut queue, _folder) = queue(updates.to_vec(), Way::Update).await;
        let listed = queue.outbox.list("edge", Way::Update, 0, 1);
        let first = listed.await.unwrap()[0].0;
        queue.list(LIST).await.unwrap();
        queue.outbox.delivered(vec![first]).await.unwrap();
        assert_eq!(queue.next(1, 1).await.unwrap(), []);
        assert!(queue.next(1, 1).await.unwrap()[0].id > first);
    }
}
