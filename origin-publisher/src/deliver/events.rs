//! Delivers events to one edge, settlements or updates, in batches of whatever waits. Each subject's go in
//! their order: within a batch, from one batch to the next, and over every retry.

use std::{collections::HashMap, sync::Arc, time::Duration};

use headstart_client::clock::now_ms;
use headstart_protocol::{
    event::Event, keys::KeyRing, limits::MAX_EVENTS_BODY_BYTES, settlement::Outcome, stamps::Point,
    ticket::Ticket,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    ahead::Ahead,
    pace::Pace,
    post::{Ended, Failure, Outgoing, Poster},
    queue::Queue,
};
use crate::{
    outbox::{DeliveryId, Pending, PendingEntry, TicketSettlement, Way, entry::published},
    shutdown::Shutdown,
};

/// Bytes of the events of one batch: the body without the brackets of the array.
const BATCH_BYTES: usize = MAX_EVENTS_BODY_BYTES - 2;

/// Delivers events to one edge until the shutdown is over.
#[derive(Debug)]
pub(super) struct EventLane {
    /// Posts to the edge.
    pub(super) poster: Poster,
    /// What it delivers: [`Way::Event`] or [`Way::Update`].
    pub(super) way: Way,
    /// Tell which tickets are ours; none where it delivers updates.
    pub(super) ticket_keys: Option<KeyRing>,
    /// Changes whenever the edge is known to be well again.
    pub(super) recovered: watch::Receiver<()>,
    /// Told whether it is stalled.
    pub(super) stalled: watch::Sender<bool>,
    /// Ends it.
    pub(super) shutdown: Shutdown,
}

/// What became of a batch.
#[derive(Debug)]
struct Done {
    /// For each subject, what must be sent again before anything else of it.
    left: HashMap<String, Vec<DeliveryId>>,
    /// Why the batch failed as a whole.
    failure: Option<Failure>,
    /// How many were sent: none, where all had expired.
    count: usize,
    /// How long it took.
    took: Duration,
    /// Ids of events that the edge has taken ahead.
    ahead: Vec<String>,
}

impl EventLane {
    pub(super) async fn run(self) {
        let lane = Arc::new(self);
        let edge = &lane.poster.name;
        let what = if lane.way == Way::Update {
            "updates"
        } else {
            "events"
        };
        let outbox = &lane.poster.outbox;
        let mut ahead = Ahead::new((lane.way == Way::Event).then(|| outbox.announced()));
        let mut queue = Queue::new(outbox.clone(), edge.clone(), lane.way);
        let mut sending: JoinSet<Done> = JoinSet::new();
        let mut pace = Pace::new(edge, what);
        let mut recovered = lane.recovered.clone();
        loop {
            let may_send = sending.len() < pace.parallel();
            let next_at = pace.next_at(sending.len());
            tokio::select! {
                // What is announced is looked at before it can be found committed.
                biased;
                () = lane.shutdown.over() => return,
                mut offers = ahead.next() => {
                    // Where it cannot go at once, it goes with others once it is committed.
                    let may_go = may_send && next_at <= Instant::now();
                    offers.retain(|offer| may_go && queue.hold(offer.ticket.as_str()));
                    if !offers.is_empty() {
                        pace.sent();
                        let lane = Arc::clone(&lane);
                        sending.spawn(async move { lane.send_ahead(offers).await });
                    }
                }
                Ok(()) = recovered.changed() => pace.wake(),
                Some(done) = sending.join_next() => {
                    // A task that panicked delivered nothing; what it held is read again at the next start.
                    let Ok(done) = done else { continue };
                    if done.count > 0 {
                        pace.learn(done.count, done.took, done.failure.as_ref());
                        let is_stalled = pace.is_stalled();
                        lane.stalled.send_if_modified(|was| std::mem::replace(was, is_stalled) != is_stalled);
                    }
                    // After a failure of the whole, the lane itself waits.
                    let at = if done.failure.is_some() { Instant::now() } else { Pace::again_at() };
                    for (subject, left) in &done.left {
                        queue.end(subject, left, at);
                    }
                    ahead.note(done.ahead);
                }
                () = async { sleep_until(next_at).await; queue.ready().await }, if may_send => {
                    match queue.next(pace.batch(), BATCH_BYTES).await {
                        Ok(pending) if pending.is_empty() => {}
                        Ok(mut pending) => {
                            pace.sent();
                            let ended = ahead.cross_off(&mut pending);
                            let lane = Arc::clone(&lane);
                            sending.spawn(async move { lane.send(pending, ended).await });
                        }
                        Err(error) => {
                            tracing::debug!(edge, %error, "no {what} can be taken");
                            pace.rest();
                        }
                    }
                }
            }
        }
    }

    /// Sends what is committed, but for what the edge has already.
    async fn send(&self, pending: Vec<Pending>, mut ended: Vec<Ended>) -> Done {
        let subjects = pending.iter().map(|one| &one.subject);
        let mut left: HashMap<String, Vec<DeliveryId>> = subjects
            .chain(ended.iter().map(|one| &one.subject))
            .map(|subject| (subject.clone(), Vec::new()))
            .collect();
        let mut batch = Vec::new();
        for one in pending {
            match self.compose(one) {
                Ok(event) => batch.push(event),
                Err(expired) => ended.push(expired),
            }
        }
        self.poster.end(ended).await;
        let (count, start) = (batch.len(), Instant::now());
        let sent = self.poster.send(batch).await;
        let mut again: Vec<Outgoing> = sent.again.into_iter().chain(sent.whole).collect();
        again.sort_by_key(|event| event.delivery);
        for event in again {
            left.entry(event.subject).or_default().push(event.delivery);
        }
        Done {
            left,
            failure: sent.failure,
            count,
            took: start.elapsed(),
            ahead: Vec::new(),
        }
    }

    /// Sends what is about to be committed. What the edge does not take goes again from the outbox.
    async fn send_ahead(&self, offers: Vec<Arc<TicketSettlement>>) -> Done {
        let start = Instant::now();
        let compose = |offer: &Arc<TicketSettlement>| {
            let mut settlement = offer.settlement.clone();
            settlement.stamps = settlement.stamps.with(Point::Published, now_ms());
            settlement.to_event(&offer.ticket)
        };
        let events: Vec<Event> = offers.iter().map(compose).collect();
        let (taken, failure) = self.poster.send_ahead(&events).await;
        Done {
            left: offers
                .iter()
                .map(|offer| (offer.ticket.as_str().to_owned(), Vec::new()))
                .collect(),
            failure,
            count: events.len(),
            took: start.elapsed(),
            ahead: taken,
        }
    }

    /// Makes the event of a delivery; ends what nobody can want any more.
    fn compose(&self, pending: Pending) -> Result<Outgoing, Ended> {
        let now = now_ms();
        let is_alive = pending.expires_at_ms > now;
        let edge = &self.poster.name;
        let (id, event) = match pending.entry {
            PendingEntry::Settlement {
                mut settlement,
                unpositioned,
            } => {
                if unpositioned {
                    settlement.outcome = Outcome::Failed {
                        reason: "the offer is too large to be delivered".to_owned(),
                    };
                }
                settlement.stamps = settlement.stamps.with(Point::Published, now);
                let keys = self.ticket_keys.as_ref();
                let ticket = keys.and_then(|keys| Ticket::verify(&pending.subject, keys).ok());
                let event = ticket.map(|ticket| settlement.to_event(&ticket));
                let id = settlement.event_id;
                if event.is_none() && is_alive {
                    tracing::error!(
                        edge,
                        event = id,
                        "dropped: its ticket was minted with a key that this origin no longer has"
                    );
                }
                (id, event)
            }
            PendingEntry::Update { event_id, json } => match Event::from_json(json.as_bytes()) {
                Ok(event) => (event_id, Some(published(event, now))),
                Err(error) => {
                    tracing::error!(edge, event = event_id, %error, "dropped: an update of the outbox cannot be read");
                    (event_id, None)
                }
            },
        };
        match event {
            Some(event) if is_alive => Ok(Outgoing {
                delivery: pending.id,
                subject: pending.subject,
                id,
                json: event.to_json(),
                is_substitute: false,
            }),
            _ => Err(Ended::expired(pending.id, pending.subject, id)),
        }
    }
}

#[cfg(test)]
mod settlement_tests;
#[cfg(test)]
mod update_tests;
