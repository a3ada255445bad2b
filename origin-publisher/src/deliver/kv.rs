//! Positions the offers of one edge in its KV: at most one request a second, with everything that
//! waits in it.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use headstart_client::clock::{now_ms, whole_ms};
use headstart_protocol::{
    keys::KeyRing,
    kv::{OfferMetadata, large_offer_key, offer_key},
    limits::{
        MAX_INLINE_OFFER_BYTES, MAX_KV_BULK_BYTES, MAX_KV_BULK_PAIRS, MIN_KV_TTL_SECONDS,
        SIGNATURE_TOLERANCE_SECONDS,
    },
    settlement::{Content, Outcome},
    stamps::Point,
    ticket::Ticket,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Counters,
    batch_size::BatchSize,
    budget::{Budget, PROVIDER_BLOCK},
    kv_api::{KvApi, KvError, Pair, value_of},
    parts::{Part, Parts},
    queue::Queue,
    resume::Resume,
};
use crate::{
    metrics::Metrics,
    outbox::{DeliveryId, Outbox, OutboxError, Pending, PendingEntry, Way},
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

/// Shortest and longest wait after a request failed, when jitter adds up to as much again, and of an offer
/// that the provider did not write.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How much longer an entry lives than its ticket, in seconds: the edge's clock says when a ticket ends, and
/// signatures allow this one to be so far ahead. More than the shortest life that the platform takes.
const CLOCKS_APART_SECONDS: u64 = SIGNATURE_TOLERANCE_SECONDS;

const _: () = assert!(CLOCKS_APART_SECONDS >= MIN_KV_TTL_SECONDS);

/// Most offers in parts of refused batches: above that no new ones go until some of those have gone.
const MOST_IN_PARTS: usize = 2 * MAX_KV_BULK_PAIRS;

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
    /// Changes whenever the edge is known to be well again: then the way to the provider may be, too.
    pub(super) recovered: watch::Receiver<()>,
    /// Ends it.
    pub(super) shutdown: Shutdown,
}

/// What a lane holds between one request and the next.
#[derive(Debug)]
struct State {
    queue: Queue,
    parts: Parts,
    /// New offers and parts of refused batches take turns.
    is_parts_turn: bool,
    size: BatchSize,
    unwritten: Unwritten,
}

/// Offers of one request, and the part of a refused batch that they are, where they are one.
type Batch = (Vec<(Pending, Ticket)>, Option<Part>);

impl KvLane {
    pub(super) async fn run(self) {
        let mut state = State {
            queue: Queue::new(self.outbox.clone(), self.name.clone(), Way::Kv),
            parts: Parts::default(),
            is_parts_turn: false,
            size: BatchSize::new(MAX_KV_BULK_PAIRS),
            unwritten: Unwritten::default(),
        };
        let mut resume = Resume::new(WAITS);
        let mut recovered = self.recovered.clone();
        loop {
            let ready = async {
                if state.parts.is_empty() {
                    state.queue.ready().await;
                }
                sleep_until(resume.at()).await;
            };
            tokio::select! {
                () = ready => {}
                Ok(()) = recovered.changed() => {
                    resume.wake();
                    continue;
                }
                () = self.shutdown.over() => return,
            }
            let (batch, part) = match self.next(&mut state).await {
                Ok(next) => next,
                Err(error) => {
                    tracing::debug!(edge = self.name, %error, "no offers can be taken");
                    resume.rest();
                    continue;
                }
            };
            if batch.is_empty() {
                if let Some(part) = part {
                    state.parts.gone(part);
                }
                continue;
            }
            tokio::select! {
                () = self.budget.permit() => {}
                () = self.shutdown.over() => return,
            }
            let start = Instant::now();
            resume.not_before(start + FLUSH_EVERY);
            let result = tokio::select! {
                result = self.put(&batch) => result,
                () = self.shutdown.over() => return,
            };
            state.size.learn(batch.len(), start.elapsed());
            let outcome = match &result {
                Ok(_) => "ok",
                Err(KvError::Batch(_)) => "refused",
                Err(KvError::TooMany { .. }) => "throttled",
                Err(KvError::Failure { .. }) => "failed",
            };
            self.metrics.kv_called(&self.name, outcome);
            match result {
                Ok(again) => {
                    state.written(&batch, &again);
                    if let Some(part) = part {
                        state.parts.taken(part);
                    }
                    resume.succeeded();
                }
                Err(KvError::Batch(reason)) => {
                    self.refused(batch, part, &reason, &mut state).await;
                }
                Err(error) => {
                    self.counters.add(0, batch.len(), 0);
                    match part {
                        Some(part) => state.parts.put_back(part),
                        None => {
                            for (Pending { id, subject, .. }, _) in &batch {
                                state.queue.end(subject, &[*id], Instant::now());
                            }
                        }
                    }
                    let wait = self.wait(&error, &mut resume);
                    tracing::warn!(edge = self.name, %error, retry_in_ms = whole_ms(wait), "offers not positioned");
                }
            }
        }
    }

    /// Returns what goes next, possibly nothing: new offers and parts of refused batches take turns, so that
    /// no refusal holds up anybody else.
    async fn next(&self, state: &mut State) -> Result<Batch, OutboxError> {
        let is_parts_turn = state.is_parts_turn || state.parts.len() >= MOST_IN_PARTS;
        state.is_parts_turn = !is_parts_turn;
        if !is_parts_turn || state.parts.is_empty() {
            let pending = state.queue.next(state.size.get(), BATCH_BYTES).await?;
            if !pending.is_empty() {
                return Ok((self.alive(pending, state).await, None));
            }
            state.is_parts_turn = false;
        }
        let Some(part) = state.parts.next() else {
            return Ok((Vec::new(), None));
        };
        let ids = part.goes().iter().map(|(id, _)| *id).collect();
        // They fitted into one batch before.
        let pending = match self.outbox.read(&self.name, Way::Kv, ids, usize::MAX).await {
            Ok(pending) => pending,
            Err(error) => {
                state.parts.put_back(part);
                return Err(error);
            }
        };
        let read: HashSet<DeliveryId> = pending.iter().map(|one| one.id).collect();
        for (id, subject) in part.goes() {
            if !read.contains(id) {
                state.queue.end(subject, &[], Instant::now());
            }
        }
        Ok((self.alive(pending, state).await, Some(part)))
    }

    /// Takes a failure to heart. Returns how long nothing is sent.
    fn wait(&self, error: &KvError, resume: &mut Resume) -> Duration {
        match error {
            KvError::TooMany { retry_after } => {
                // To be left alone for no time at all is no answer: the next call would be refused, too.
                let wait = retry_after.filter(|wait| !wait.is_zero());
                let wait = wait.unwrap_or(PROVIDER_BLOCK);
                self.budget.block(wait);
                resume.not_before(Instant::now() + wait);
                wait
            }
            KvError::Failure { retry_after, .. } => resume.failed(*retry_after),
            KvError::Batch(_) => FLUSH_EVERY,
        }
    }

    /// Leaves out what nobody can want any more.
    async fn alive(&self, all: Vec<Pending>, state: &mut State) -> Vec<(Pending, Ticket)> {
        let (mut batch, mut ended) = (Vec::new(), Vec::new());
        for pending in all {
            let is_alive = pending.expires_at_ms > now_ms();
            match Ticket::verify(&pending.subject, &self.ticket_keys) {
                Ok(ticket) if is_alive => batch.push((pending, ticket)),
                _ => {
                    state.queue.end(&pending.subject, &[], Instant::now());
                    ended.push(pending.id);
                }
            }
        }
        if !ended.is_empty() {
            tracing::warn!(
                edge = self.name,
                offers = ended.len(),
                "dropped: their tickets expired, or are not of this origin's keys, before they were positioned"
            );
        }
        self.counters.add(0, 0, ended.len());
        if let Err(error) = self.outbox.delivered(ended).await {
            tracing::debug!(edge = self.name, %error, "expired, and not removed");
        }
        batch
    }

    /// Writes a batch and keeps what came of it in the outbox. Returns what must be written again.
    async fn put(&self, batch: &[(Pending, Ticket)]) -> Result<HashSet<DeliveryId>, KvError> {
        let now_ms = now_ms();
        let (ids, pairs): (Vec<DeliveryId>, Vec<Pair<'_>>) = batch
            .iter()
            .filter_map(|(pending, ticket)| Some((pending.id, pair(pending, ticket, now_ms)?)))
            .unzip();
        let unwritten: HashSet<String> = self
            .api
            .put(&pairs, &self.budget)
            .await?
            .into_iter()
            .collect();
        let (mut again, mut done) = (HashSet::new(), Vec::new());
        for (id, pair) in ids.into_iter().zip(&pairs) {
            if unwritten.contains(&pair.key) {
                again.insert(id);
            } else {
                done.push(id);
            }
        }
        if !again.is_empty() {
            tracing::warn!(
                edge = self.name,
                offers = again.len(),
                "the KV API did not write every offer of a batch; the rest is tried again"
            );
        }
        self.counters.add(done.len(), again.len(), 0);
        tracing::debug!(
            edge = self.name,
            positioned = done.len(),
            again = again.len(),
            "positioned"
        );
        if let Err(error) = self.outbox.delivered(done).await {
            // They remain, and are written again after a restart, which changes nothing.
            tracing::debug!(edge = self.name, %error, "positioned, and not marked so");
        }
        Ok(again)
    }

    /// Finds, with the parts of a batch that was refused, the pair that is at fault, and drops it.
    async fn refused(
        &self,
        batch: Vec<(Pending, Ticket)>,
        part: Option<Part>,
        reason: &str,
        state: &mut State,
    ) {
        let went = batch
            .iter()
            .map(|(pending, _)| (pending.id, pending.subject.clone()))
            .collect();
        // What expired meanwhile has left its part.
        let part = match part {
            Some(Part::Halves(_, second)) => Part::Halves(went, second),
            Some(Part::Unknown(_)) | None => Part::Unknown(went),
        };
        if !state.parts.refused(part) {
            tracing::warn!(
                edge = self.name,
                pairs = batch.len(),
                reason,
                "a batch was refused, trying its halves"
            );
            self.counters.add(0, batch.len(), 0);
            return;
        }
        for (pending, ticket) in batch {
            tracing::error!(edge = self.name, ticket = %ticket.uuid(), reason, "an offer cannot be positioned, it is dropped");
            self.counters.add(0, 0, 1);
            state.queue.end(&pending.subject, &[], Instant::now());
            if let Err(error) = self.outbox.refused(vec![pending.id]).await {
                tracing::debug!(edge = self.name, %error, "refused, and not removed");
            }
        }
    }
}

impl State {
    /// Ends a batch in the queue. Those in `again` were not written, and go again, each after its wait.
    fn written(&mut self, batch: &[(Pending, Ticket)], again: &HashSet<DeliveryId>) {
        let now = Instant::now();
        for (pending, _) in batch {
            if again.contains(&pending.id) {
                let at = now + self.unwritten.wait(pending);
                self.queue.end(&pending.subject, &[pending.id], at);
            } else {
                self.unwritten.0.remove(&pending.id);
                self.queue.end(&pending.subject, &[], now);
            }
        }
    }
}

/// Offers that the provider did not write, though it took their batch: how often, and when they expire.
#[derive(Debug, Default)]
struct Unwritten(HashMap<DeliveryId, (u32, u64)>);

impl Unwritten {
    /// Returns how long an offer waits that was not written once more: twice as long each time.
    fn wait(&mut self, pending: &Pending) -> Duration {
        if !self.0.contains_key(&pending.id) {
            let now_ms = now_ms();
            self.0
                .retain(|_, (_, expires_at_ms)| *expires_at_ms > now_ms);
        }
        let one = self.0.entry(pending.id);
        let (times, _) = one.or_insert((0, pending.expires_at_ms));
        let wait = WAITS.0.saturating_mul(1 << (*times).min(10));
        *times += 1;
        wait.min(WAITS.1)
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
    let key = if bytes.len() <= MAX_INLINE_OFFER_BYTES {
        offer_key(ticket.uuid())
    } else {
        large_offer_key(ticket.uuid(), &settlement.event_id)
    };
    let (value, base64) = value_of(bytes);
    let remaining_ms = pending.expires_at_ms.saturating_sub(now_ms);
    Some(Pair {
        key,
        value,
        base64,
        expiration_ttl: remaining_ms.div_ceil(1000) + CLOCKS_APART_SECONDS,
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
