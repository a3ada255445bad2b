//! Delivers settlements to one edge as events, in batches of whatever waits.

use std::{sync::Arc, time::Duration};

use headstart_client::clock::now_ms;
use headstart_protocol::{
    event::Event, keys::KeyRing, limits::MAX_EVENTS_BODY_BYTES, settlement::Outcome, stamps::Point,
    ticket::Ticket,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    pace::Pace,
    post::{Ended, Outgoing, Poster, Sent},
    queue::Queue,
};
use crate::{
    outbox::{DeliveryId, Pending, Way},
    shutdown::Shutdown,
};

/// Content to read for one batch: as much as fits, were it not for the events around it.
const TAKE_BYTES: usize = MAX_EVENTS_BODY_BYTES;

/// Delivers events to one edge until the shutdown is over.
#[derive(Debug)]
pub(super) struct EventLane {
    /// Posts to the edge.
    pub(super) poster: Poster,
    /// Tell which tickets are ours.
    pub(super) ticket_keys: KeyRing,
    /// Ends it.
    pub(super) shutdown: Shutdown,
}

impl EventLane {
    pub(super) async fn run(self) {
        let lane = Arc::new(self);
        let edge = &lane.poster.name;
        let mut queue = Queue::new(lane.poster.outbox.clone(), edge.clone(), Way::Event);
        let mut sending: JoinSet<(Sent, usize, Duration)> = JoinSet::new();
        let mut pace = Pace::new(edge, "events");
        loop {
            let may_take = sending.len() < pace.parallel();
            tokio::select! {
                Some(sent) = sending.join_next() => {
                    // A task that panicked delivered nothing; what it held is taken up at the next start.
                    let Ok((sent, count, took)) = sent else { continue };
                    pace.learn(count, took, sent.failure.as_ref());
                    queue.give_back(sent.again.iter().map(|event| event.delivery), Pace::again_at());
                    queue.give_back(sent.whole.iter().map(|event| event.delivery), Instant::now());
                }
                () = async { sleep_until(pace.resume_at()).await; queue.ready().await }, if may_take => {
                    match queue.take(pace.batch(), TAKE_BYTES).await {
                        Ok(taken) if taken.is_empty() => {}
                        Ok(taken) => {
                            let (batch, rest) = lane.compose(taken).await;
                            queue.give_back(rest, Instant::now());
                            if !batch.is_empty() {
                                let lane = Arc::clone(&lane);
                                sending.spawn(async move {
                                    let (count, start) = (batch.len(), Instant::now());
                                    (lane.poster.send(batch).await, count, start.elapsed())
                                });
                            }
                        }
                        Err(error) => {
                            tracing::error!(edge, %error, "no events can be taken");
                            pace.rest();
                        }
                    }
                }
                () = lane.shutdown.over() => return,
            }
        }
    }

    /// Makes events of what was taken, as many as fit one body; gives back the rest.
    async fn compose(&self, taken: Vec<Pending>) -> (Vec<Outgoing>, Vec<DeliveryId>) {
        let (mut batch, mut rest, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        // The brackets of the array.
        let mut bytes = 2;
        for pending in taken {
            if !rest.is_empty() {
                rest.push(pending.id);
                continue;
            }
            let delivery = pending.id;
            let id = pending.settlement.event_id.clone();
            let Some(event) = self.event(pending) else {
                ended.push(Ended::expired(delivery, None, id));
                continue;
            };
            let json = event.to_json();
            if !batch.is_empty() && bytes + json.len() + 1 > MAX_EVENTS_BODY_BYTES {
                rest.push(delivery);
                continue;
            }
            bytes += json.len() + 1;
            batch.push(Outgoing {
                delivery,
                id,
                json,
                topic: None,
            });
        }
        self.poster.end(ended).await;
        (batch, rest)
    }

    /// The event of a delivery; `None` where nobody can want it any more.
    fn event(&self, pending: Pending) -> Option<Event> {
        if pending.expires_at_ms <= now_ms() {
            return None;
        }
        let Ok(ticket) = Ticket::verify(&pending.ticket, &self.ticket_keys) else {
            tracing::error!(
                edge = self.poster.name,
                event = pending.settlement.event_id,
                "dropped: its ticket was minted with a key that this origin no longer has"
            );
            return None;
        };
        let mut settlement = pending.settlement;
        if pending.unpositioned {
            settlement.outcome = Outcome::Failed {
                reason: "the offer is too large to be delivered".to_owned(),
            };
        }
        settlement.stamps = settlement.stamps.with(Point::Published, now_ms());
        Some(settlement.to_event(&ticket))
    }
}

#[cfg(test)]
mod tests;
