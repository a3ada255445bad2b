//! Positions the offers of one edge in its KV: at most one request a second, with everything that
//! waits in it.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use headstart_client::{
    backoff::Backoff,
    clock::{now_ms, whole_ms},
};
use headstart_protocol::{
    keys::KeyRing,
    kv::{OfferMetadata, offer_key},
    limits::{MAX_KV_BULK_BYTES, MAX_KV_BULK_PAIRS, MIN_KV_TTL_SECONDS},
    settlement::{Content, Outcome},
    stamps::Point,
    ticket::Ticket,
};
use tokio::time::{Instant, sleep_until};

use super::{
    Counters,
    batch_size::BatchSize,
    budget::{Budget, PROVIDER_BLOCK},
    kv_api::{KvApi, KvError, Pair, value_of},
    queue::Queue,
};
use crate::{
    metrics::Metrics,
    outbox::{DeliveryId, Outbox, Pending, PendingEntry, Way},
    shutdown::Shutdown,
};

/// Throttles the lane: shortest time from one request to the next. One a second uses a quarter of the
/// provider's limit.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Most content of one request, in bytes. As base64, which is the longest form that any content
/// takes, and with keys and metadata, it stays below the provider's 100 MB; and it bounds the memory
/// for one request.
const BATCH_BYTES: usize = 48 * 1024 * 1024;

/// Room for key, metadata and JSON of each pair, in bytes.
const PAIR_BYTES: usize = 2048;

const _: () = assert!(BATCH_BYTES / 3 * 4 + MAX_KV_BULK_PAIRS * PAIR_BYTES < MAX_KV_BULK_BYTES);

/// Shortest and longest wait after a request failed; jitter adds up to as much again.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How long keys that the provider did not write wait.
const KEY_WAIT: Duration = Duration::from_secs(1);

/// Positions offers in one edge's KV until the shutdown is over.
#[derive(Debug)]
pub(super) struct KvLane {
    /// The edge's name.
    pub(super) name: String,
    /// Its namespace.
    pub(super) api: KvApi,
    /// What the account may still ask for.
    pub(super) budget: Arc<Budget>,
    /// Tell which tickets are ours.
    pub(super) ticket_keys: KeyRing,
    /// Where the offers come from.
    pub(super) outbox: Outbox,
    /// What became of them.
    pub(super) counters: Arc<Counters>,
    /// Counts the calls.
    pub(super) metrics: Metrics,
    /// Ends it.
    pub(super) shutdown: Shutdown,
}

impl KvLane {
    pub(super) async fn run(self) {
        let mut queue = Queue::new(self.outbox.clone(), self.name.clone(), Way::Kv);
        // Halves of batches that were refused.
        let mut parts: VecDeque<Vec<Pending>> = VecDeque::new();
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        let mut size = BatchSize::new(MAX_KV_BULK_PAIRS);
        let mut next_at = Instant::now();
        loop {
            let ready = async {
                if parts.is_empty() {
                    queue.ready().await;
                }
                sleep_until(next_at).await;
            };
            tokio::select! {
                () = ready => {}
                () = self.shutdown.over() => return,
            }
            let next = match parts.pop_front() {
                Some(part) => Ok(part),
                None => queue.next(size.get(), BATCH_BYTES).await,
            };
            let pending = match next {
                Ok(pending) => pending,
                Err(error) => {
                    tracing::error!(edge = self.name, %error, "no offers can be taken");
                    next_at = Instant::now() + backoff.after_failure();
                    continue;
                }
            };
            let batch = self.alive(pending, &mut queue).await;
            if batch.is_empty() {
                continue;
            }
            tokio::select! {
                () = self.budget.permit() => {}
                () = self.shutdown.over() => return,
            }
            let start = Instant::now();
            next_at = start + FLUSH_EVERY;
            let result = tokio::select! {
                result = self.put(&batch) => result,
                () = self.shutdown.over() => return,
            };
            size.learn(batch.len(), start.elapsed());
            let outcome = match &result {
                Ok(_) => "ok",
                Err(KvError::Batch(_)) => "refused",
                Err(KvError::TooMany { .. }) => "throttled",
                Err(KvError::Failure { .. }) => "failed",
            };
            self.metrics.kv_called(&self.name, outcome);
            match result {
                Ok(again) => {
                    end(&mut queue, &batch, &again, Instant::now() + KEY_WAIT);
                    backoff.after_success();
                }
                Err(KvError::Batch(reason)) => {
                    if let [(refused, _)] = batch.as_slice() {
                        queue.end(&refused.subject, &[], Instant::now());
                    }
                    self.divide(batch, &reason, &mut parts).await;
                }
                Err(error) => {
                    self.counters.add(0, batch.len(), 0);
                    let all = batch.iter().map(|(pending, _)| pending.id).collect();
                    end(&mut queue, &batch, &all, Instant::now());
                    let wait = self.wait(&error, &mut backoff);
                    next_at = next_at.max(Instant::now() + wait);
                    tracing::warn!(edge = self.name, %error, retry_in_ms = whole_ms(wait), "offers not positioned");
                }
            }
        }
    }

    fn wait(&self, error: &KvError, backoff: &mut Backoff) -> Duration {
        match error {
            KvError::TooMany { retry_after } => {
                let wait = retry_after.unwrap_or(PROVIDER_BLOCK);
                self.budget.block(wait);
                wait
            }
            KvError::Failure { retry_after, .. } => {
                backoff.after_failure().max(retry_after.unwrap_or_default())
            }
            KvError::Batch(_) => FLUSH_EVERY,
        }
    }

    /// Leaves out what nobody can want any more.
    async fn alive(&self, all: Vec<Pending>, queue: &mut Queue) -> Vec<(Pending, Ticket)> {
        let (mut batch, mut ended) = (Vec::new(), Vec::new());
        for pending in all {
            let is_alive = pending.expires_at_ms > now_ms();
            match Ticket::verify(&pending.subject, &self.ticket_keys) {
                Ok(ticket) if is_alive => batch.push((pending, ticket)),
                _ => {
                    queue.end(&pending.subject, &[], Instant::now());
                    ended.push(pending.id);
                }
            }
        }
        self.counters.add(0, 0, ended.len());
        if let Err(error) = self.outbox.delivered(ended).await {
            tracing::error!(edge = self.name, %error, "expired, and not removed");
        }
        batch
    }

    /// Writes a batch and keeps what came of it in the outbox. Returns what must be written again.
    async fn put(&self, batch: &[(Pending, Ticket)]) -> Result<HashSet<DeliveryId>, KvError> {
        let now_ms = now_ms();
        let pairs: Vec<Pair<'_>> = batch
            .iter()
            .filter_map(|(pending, ticket)| pair(pending, ticket, now_ms))
            .collect();
        let unwritten: HashSet<String> = self.api.put(&pairs).await?.into_iter().collect();
        let (again, done): (Vec<_>, Vec<_>) = batch
            .iter()
            .partition(|(_, ticket)| unwritten.contains(&offer_key(ticket.uuid())));
        let ids = |rows: Vec<&(Pending, Ticket)>| -> Vec<DeliveryId> {
            rows.iter().map(|(pending, _)| pending.id).collect()
        };
        let (again, done) = (ids(again), ids(done));
        self.counters.add(done.len(), again.len(), 0);
        tracing::debug!(
            edge = self.name,
            positioned = done.len(),
            again = again.len(),
            "positioned"
        );
        if let Err(error) = self.outbox.delivered(done).await {
            // They remain, and are written again after a restart, which changes nothing.
            tracing::error!(edge = self.name, %error, "positioned, and not marked so");
        }
        Ok(again.into_iter().collect())
    }

    /// Halves a batch that was refused, until the pair that is at fault stands alone.
    async fn divide(
        &self,
        mut batch: Vec<(Pending, Ticket)>,
        reason: &str,
        parts: &mut VecDeque<Vec<Pending>>,
    ) {
        if let [(pending, ticket)] = batch.as_slice() {
            tracing::error!(edge = self.name, ticket = %ticket.uuid(), reason, "an offer cannot be positioned, it is dropped");
            self.counters.add(0, 0, 1);
            if let Err(error) = self.outbox.refused(vec![pending.id]).await {
                tracing::error!(edge = self.name, %error, "refused, and not removed");
            }
            return;
        }
        tracing::warn!(
            edge = self.name,
            pairs = batch.len(),
            reason,
            "a batch was refused, trying its halves"
        );
        self.counters.add(0, batch.len(), 0);
        let second = batch.split_off(batch.len() / 2);
        for half in [second, batch] {
            parts.push_front(half.into_iter().map(|(pending, _)| pending).collect());
        }
    }
}

/// Ends a batch in the queue; those in `again` go again from `at` on.
fn end(queue: &mut Queue, batch: &[(Pending, Ticket)], again: &HashSet<DeliveryId>, at: Instant) {
    for (Pending { id, subject, .. }, _) in batch {
        let left = again.contains(id).then_some(*id);
        queue.end(subject, left.as_slice(), at);
    }
}

/// Returns the pair of an offer; `None` for what is no offer, which is never put into this lane.
fn pair<'a>(pending: &'a Pending, ticket: &Ticket, now_ms: u64) -> Option<Pair<'a>> {
    let PendingEntry::Settlement { settlement, .. } = &pending.entry else {
        return None;
    };
    let Outcome::Ready {
        media_type,
        content: Content::Inline(bytes),
    } = &settlement.outcome
    else {
        return None;
    };
    let (value, base64) = value_of(bytes);
    let remaining_ms = pending.expires_at_ms.saturating_sub(now_ms);
    Some(Pair {
        key: offer_key(ticket.uuid()),
        value,
        base64,
        expiration_ttl: remaining_ms.div_ceil(1000).max(MIN_KV_TTL_SECONDS),
        metadata: OfferMetadata {
            media_type: media_type.clone(),
            event_id: settlement.event_id.clone(),
            source: settlement.source.clone(),
            attributes: settlement.attributes.clone(),
            stamps: settlement.stamps.with(Point::Published, now_ms),
        },
    })
}

#[cfg(test)]
mod tests;
