//! Delivers updates to one edge as events, each topic's in their order: within a batch, from one batch
//! to the next, and over every retry.

use std::{collections::HashMap, sync::Arc, time::Duration};

use headstart_client::clock::now_ms;
use headstart_protocol::{event::Event, limits::MAX_EVENTS_BODY_BYTES};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    pace::Pace,
    post::{Ended, Failure, Outgoing, Poster, Sent},
    update_queue::UpdateQueue,
};
use crate::{
    outbox::{DeliveryId, PendingUpdate, entry::published},
    shutdown::Shutdown,
};

/// Bytes of the events of one batch: the body without the brackets of the array.
const TAKE_BYTES: usize = MAX_EVENTS_BODY_BYTES - 2;

/// Delivers updates to one edge until the shutdown is over.
#[derive(Debug)]
pub(super) struct UpdateLane {
    /// Posts to the edge.
    pub(super) poster: Poster,
    /// Ends it.
    pub(super) shutdown: Shutdown,
}

/// What became of what was taken.
#[derive(Debug)]
struct Done {
    /// For each topic, what must be sent again before anything else of it.
    left: HashMap<String, Vec<DeliveryId>>,
    /// Why the batch failed as a whole.
    failure: Option<Failure>,
    /// How many were sent: none, where all had expired.
    count: usize,
    /// How long it took.
    took: Duration,
}

impl UpdateLane {
    pub(super) async fn run(self) {
        let lane = Arc::new(self);
        let edge = &lane.poster.name;
        let mut queue = UpdateQueue::new(lane.poster.outbox.clone(), edge.clone());
        let mut sending: JoinSet<Done> = JoinSet::new();
        let mut pace = Pace::new(edge, "updates");
        loop {
            let may_take = sending.len() < pace.parallel();
            tokio::select! {
                Some(done) = sending.join_next() => {
                    // A task that panicked delivered nothing; what it held is taken up at the next start.
                    let Ok(done) = done else { continue };
                    if done.count > 0 {
                        pace.learn(done.count, done.took, done.failure.as_ref());
                    }
                    // After a failure of the whole, the lane itself waits.
                    let at = if done.failure.is_some() { Instant::now() } else { Pace::again_at() };
                    for (topic, left) in &done.left {
                        queue.back(topic, left, at);
                    }
                }
                () = async { sleep_until(pace.resume_at()).await; queue.ready().await }, if may_take => {
                    match queue.take(pace.batch(), TAKE_BYTES).await {
                        Ok(taken) if taken.is_empty() => {}
                        Ok(taken) => {
                            let lane = Arc::clone(&lane);
                            sending.spawn(async move { lane.send(taken).await });
                        }
                        Err(error) => {
                            tracing::error!(edge, %error, "no updates can be taken");
                            pace.rest();
                        }
                    }
                }
                () = lane.shutdown.over() => return,
            }
        }
    }

    async fn send(&self, taken: Vec<PendingUpdate>) -> Done {
        let mut left: HashMap<String, Vec<DeliveryId>> = taken
            .iter()
            .map(|update| (update.topic.clone(), Vec::new()))
            .collect();
        let batch = self.compose(taken).await;
        let (count, start) = (batch.len(), Instant::now());
        let mut sent = Sent::default();
        if !batch.is_empty() {
            sent = self.poster.send(batch).await;
        }
        let mut again: Vec<Outgoing> = sent.again.into_iter().chain(sent.whole).collect();
        again.sort_by_key(|event| event.delivery);
        for event in again {
            if let Some(topic) = event.topic {
                left.entry(topic).or_default().push(event.delivery);
            }
        }
        Done {
            left,
            failure: sent.failure,
            count,
            took: start.elapsed(),
        }
    }

    /// Makes events of what was taken; ends what nobody can want any more.
    async fn compose(&self, taken: Vec<PendingUpdate>) -> Vec<Outgoing> {
        let now = now_ms();
        let (mut batch, mut ended) = (Vec::new(), Vec::new());
        for update in taken {
            let topic = Some(update.topic);
            match Event::from_json(update.json.as_bytes()) {
                Ok(event) if update.expires_at_ms > now => batch.push(Outgoing {
                    delivery: update.id,
                    id: update.event_id,
                    json: published(event, now).to_json(),
                    topic,
                }),
                Ok(_) => ended.push(Ended::expired(update.id, topic, update.event_id)),
                Err(error) => {
                    tracing::error!(edge = self.poster.name, event = update.event_id, %error, "dropped: an update of the outbox cannot be read");
                    ended.push(Ended::expired(update.id, topic, update.event_id));
                }
            }
        }
        self.poster.end(ended).await;
        batch
    }
}

#[cfg(test)]
mod tests;
