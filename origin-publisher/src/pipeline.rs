//! The one way from a login to a durable settlement, for every intake: generate, then commit to the
//! outbox. Whoever brought the login may let go of it only once this returns `Ok`.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use headstart_protocol::{
    keys::KeyRing,
    limits::MAX_OFFER_BYTES,
    login::LoginData,
    settlement::{Attributes, Content, Outcome, Settlement},
    stamps::{Point, Stamps},
    ticket::{MAX_DESKS, Ticket, TicketTimes},
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    breaker::Breaker,
    generate::{
        GenerateError,
        pool::{Generated, Pool, PoolStatus},
    },
    metrics::Metrics,
    outbox::{Committed, Outbox, OutboxError, TicketSettlement},
};

/// Why a login has not settled. It is still its bringer's to hand back or to bring again.
#[derive(Debug, thiserror::Error)]
pub enum NotSettled {
    /// The pool is full or closed; nothing was begun.
    #[error(transparent)]
    NotStarted(GenerateError),
    /// The outbox did not take the settlement.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The outbox takes nothing now: what was begun is given up.
    #[error("nothing can be kept now")]
    Tripped,
}

/// A login that is to settle.
#[derive(Debug, Clone)]
pub struct Job {
    /// The ticket to settle.
    pub ticket: Ticket,
    /// All that the generator gets to know.
    pub login: LoginData,
    /// When the login was taken, in ms since the Unix epoch.
    pub login_at_ms: Option<u64>,
    /// Longest time for the generation.
    pub timeout: Duration,
}

/// Generates and commits. Clones share it.
#[derive(Debug, Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Pool,
    outbox: Outbox,
    breaker: Breaker,
    source: String,
    keys: KeyRing,
    times: TicketTimes,
    timeout: Duration,
    metrics: Metrics,
    turns: Turns,
    desks: AtomicU16,
}

impl Pipeline {
    /// Makes a pipeline of `pool` and `outbox`. `source` is this origin's name in events, `keys` and `times`
    /// are the rules of tickets, `timeout` is the longest time for one generation; `metrics` counts.
    #[must_use]
    pub fn new(
        pool: Pool,
        outbox: Outbox,
        source: String,
        keys: KeyRing,
        times: TicketTimes,
        timeout: Duration,
        metrics: Metrics,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                pool,
                breaker: Breaker::new(outbox.clone()),
                outbox,
                source,
                keys,
                times,
                timeout,
                metrics,
                turns: Turns::default(),
                desks: AtomicU16::new(1),
            }),
        }
    }

    /// Settles a ticket: with the offer, or with the reason why there is none. Durable once this
    /// returns. A ticket that has settled here before is left as it is, and one that is being
    /// settled is waited for.
    ///
    /// # Errors
    /// [`NotSettled`]; the ticket is then as it was.
    pub async fn settle(&self, job: Job) -> Result<(), NotSettled> {
        let Inner { outbox, .. } = &*self.inner;
        let uuid = job.ticket.uuid();
        let _turn = self.inner.turns.acquire(uuid).await;
        if outbox.has_settled(&job.ticket).await? {
            tracing::debug!(ticket = %uuid, "has settled before");
            return Ok(());
        }
        let result = tokio::select! {
            biased;
            () = self.inner.breaker.fails() => return Err(NotSettled::Tripped),
            result = self.submit(job.login, job.timeout) => result,
        };
        let stamps = job
            .login_at_ms
            .map(|at| Stamps::default().with(Point::Login, at))
            .unwrap_or_default();
        let (stamps, outcome) = outcome(result, stamps)?;
        match &outcome {
            Outcome::Failed { reason } => {
                tracing::warn!(ticket = %uuid, reason, "generation failed");
            }
            Outcome::Ready { .. } => tracing::debug!(ticket = %uuid, "generated"),
        }
        let (kind, committed) = self.commit(&job.ticket, stamps, outcome).await?;
        let generate_ms = stamps.between(Point::Started, Point::Generated);
        tracing::info!(ticket = %uuid, kind, generate_ms, ?committed, "settled");
        Ok(())
    }

    /// Settles a ticket as failed without generating anything.
    ///
    /// # Errors
    /// [`NotSettled::Outbox`]; the ticket is then as it was.
    pub async fn fail(&self, ticket: &Ticket, reason: &str) -> Result<(), NotSettled> {
        let outcome = Outcome::Failed {
            reason: reason.to_owned(),
        };
        tracing::warn!(ticket = %ticket.uuid(), reason, "settled as failed");
        self.commit(ticket, Stamps::default(), outcome).await?;
        Ok(())
    }

    /// Generates without a ticket: for whoever waits for the answer itself. Nothing is delivered, so
    /// nothing goes through the outbox.
    ///
    /// # Errors
    /// Whatever the pool answers.
    pub async fn generate(&self, login: LoginData) -> Result<Generated, GenerateError> {
        let generated = self.submit(login, self.inner.timeout).await?;
        if generated.content.bytes.len() > MAX_OFFER_BYTES {
            return Err(too_large());
        }
        Ok(generated)
    }

    async fn submit(
        &self,
        login: LoginData,
        timeout: Duration,
    ) -> Result<Generated, GenerateError> {
        let generated = self.inner.pool.submit(login, timeout).await?;
        let took_ms = generated.generated_at.saturating_sub(generated.started_at);
        self.inner.metrics.generated(Duration::from_millis(took_ms));
        Ok(generated)
    }

    /// Commits what a ticket settles to, and returns the event's type. What no edge would take is found
    /// here and settles as failed: found at the edge, it would leave whoever waits without an answer.
    async fn commit(
        &self,
        ticket: &Ticket,
        stamps: Stamps,
        outcome: Outcome,
    ) -> Result<(&'static str, Committed), OutboxError> {
        let mut settlement = Settlement {
            event_id: Uuid::now_v7().to_string(),
            source: self.inner.source.clone(),
            attributes: Attributes::default(),
            stamps,
            outcome,
        };
        // What keeps the rules of events has metadata that KV takes: at most 256 bytes of media type, and
        // little beside it.
        if let Err(error) = settlement.to_event(ticket).validate() {
            tracing::error!(ticket = %ticket.uuid(), %error, "an offer that no edge would take");
            settlement.outcome = Outcome::Failed {
                reason: format!("the offer cannot be delivered: {error}"),
            };
        }
        let kind = settlement.kind();
        let outcome = match settlement.outcome {
            Outcome::Ready { .. } => "ready",
            Outcome::Failed { .. } => "failed",
        };
        let entry = TicketSettlement {
            expires_at_ms: ticket.expires_at_ms(self.inner.times),
            ticket: ticket.clone(),
            settlement,
        };
        // Whoever waits need not wait for the disk; whoever brought the login does.
        self.inner.outbox.announce(&entry);
        let committed = self.inner.outbox.commit(entry).await;
        self.inner.breaker.learn(&committed);
        let committed = committed?;
        if committed == Committed::New {
            self.inner.metrics.settled(outcome);
        }
        Ok((kind, committed))
    }

    /// Returns what is counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Returns the outbox it commits to.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.inner.outbox
    }

    /// Returns what tells whether logins are to be taken.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.inner.breaker
    }

    /// Notes how many desks an edge has.
    pub fn learn_desks(&self, desks: u32) {
        let desks = u16::try_from(desks)
            .unwrap_or(MAX_DESKS)
            .clamp(1, MAX_DESKS);
        self.inner.desks.store(desks, Ordering::Relaxed);
    }

    /// Mints a ticket of one of the desks that the edge has.
    ///
    /// # Panics
    /// Where the system gives no random numbers: without them no ticket is unguessable.
    #[must_use]
    pub fn mint(&self, now_ms: u64) -> Ticket {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the system gives random numbers");
        let desks = self.inner.desks.load(Ordering::Relaxed);
        let desk = u16::from_be_bytes([random[6], random[7]]) % desks;
        Ticket::mint(now_ms, desk, random, self.inner.keys.current())
    }

    /// Returns the keys of tickets.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.inner.keys
    }

    /// Returns how long tickets live.
    #[must_use]
    pub fn times(&self) -> TicketTimes {
        self.inner.times
    }

    /// Returns this origin's name in events.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// Returns the longest time for one generation.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Returns what the pool is doing now.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.inner.pool.status()
    }

    /// Takes no more work: what waits in the queue comes back as not started, what runs is finished.
    pub fn close(&self) {
        self.inner.pool.close();
    }
}

/// Returns what a generation means for its ticket; an error where it means nothing, because none was begun.
fn outcome(
    result: Result<Generated, GenerateError>,
    stamps: Stamps,
) -> Result<(Stamps, Outcome), NotSettled> {
    let failed = |error: &GenerateError| Outcome::Failed {
        reason: error.to_string(),
    };
    match result {
        Ok(generated) => {
            let stamps = stamps
                .with(Point::Started, generated.started_at)
                .with(Point::Generated, generated.generated_at);
            if generated.content.bytes.len() > MAX_OFFER_BYTES {
                return Ok((stamps, failed(&too_large())));
            }
            let outcome = Outcome::Ready {
                media_type: generated.content.media_type,
                content: Content::Inline(generated.content.bytes),
            };
            Ok((stamps, outcome))
        }
        Err(error) if error.is_not_started() => Err(NotSettled::NotStarted(error)),
        Err(error) => Ok((stamps, failed(&error))),
    }
}

fn too_large() -> GenerateError {
    GenerateError::Failed("the offer is too large".to_owned())
}

/// One at a time for each ticket: a login that is leased again while its first lease is still in work
/// must not be generated twice.
#[derive(Debug, Default)]
struct Turns {
    taken: Mutex<HashSet<Uuid>>,
    given_back: Notify,
}

/// A turn; given back when dropped.
struct Turn<'a> {
    turns: &'a Turns,
    uuid: Uuid,
}

impl Turns {
    async fn acquire(&self, uuid: Uuid) -> Turn<'_> {
        loop {
            let given_back = self.given_back.notified();
            tokio::pin!(given_back);
            // Listens before it looks, so that no giving back is missed in between.
            given_back.as_mut().enable();
            if self.lock().insert(uuid) {
                return Turn { turns: self, uuid };
            }
            given_back.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Uuid>> {
        // Nothing under this lock can leave the set half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.lock().remove(&self.uuid);
        self.turns.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn an_offer_is_announced_beside_its_commit_and_a_failure_is_not() {
        let (outbox, _folder) = testing::outbox(false);
        let mut announced = outbox.announced();
        let pipeline = testing::pipeline(&outbox, 1, Duration::from_secs(1));
        for user in ["fails", "anna"] {
            let job = Job {
                ticket: testing::ticket(),
                login: testing::login(user),
                login_at_ms: None,
                timeout: Duration::from_secs(1),
            };
            let ticket = job.ticket.clone();
            pipeline.settle(job).await.unwrap();
            let heard = announced.try_recv().ok();
            let expected = (user == "anna").then_some(ticket);
            assert_eq!(heard.map(|entry| entry.ticket.clone()), expected);
        }
    }
}
