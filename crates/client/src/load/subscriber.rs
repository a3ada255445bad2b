//! One subscriber: connects, counts what arrives, and connects again when that ends. Little is done for
//! each frame, since thousands of subscribers share the machine with what they measure.

use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use headstart_protocol::channel::Up;

use super::{payload::Mark, shared::Shared, tally::Tally};
use crate::{
    backoff::Backoff,
    subscribe::{SubscribeError, line::Line},
};

/// First and longest wait after a connection broke, jitter not counted.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long the server may take for its welcome.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a subscriber's tally is, so that it can be read whenever the subscriber ends.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Tally>);

impl Slot {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tally> {
        // Counting does not panic; a tally is whole whenever it is not locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows until it is dropped, or the server refuses for good.
pub(super) async fn run(shared: &Shared, slot: &Slot, number: usize) -> SubscribeError {
    let mut subscriber = Subscriber {
        shared,
        slot,
        number,
        cursor: Vec::new(),
        has_been_connected: false,
        complete_at: 0,
        marks: Vec::new(),
    };
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    loop {
        let deliveries = slot.lock().counts(0).deliveries;
        let error = subscriber.follow().await;
        if !error.is_passing() {
            return error;
        }
        tracing::debug!(number, %error, "a subscriber's connection ended");
        if subscriber.has_been_connected {
            slot.lock().reconnects += 1;
        }
        if slot.lock().counts(0).deliveries > deliveries {
            backoff.after_success();
        }
        tokio::time::sleep(backoff.after_failure()).await;
    }
}

struct Subscriber<'a> {
    shared: &'a Shared,
    slot: &'a Slot,
    number: usize,
    cursor: Vec<u8>,
    has_been_connected: bool,
    /// The end of what was expected when it had all of that last.
    complete_at: u64,
    /// What one reading brought; kept, so that its room is used again.
    marks: Vec<Mark>,
}

impl Subscriber<'_> {
    /// Follows over one connection until that ends.
    async fn follow(&mut self) -> SubscribeError {
        let mut line = match self.open().await {
            Ok(line) => line,
            Err(error) => return error,
        };
        loop {
            if let Err(error) = self.hear(&mut line).await {
                return error;
            }
        }
    }

    async fn open(&mut self) -> Result<Line, SubscribeError> {
        let Shared {
            target, openings, ..
        } = self.shared;
        // It is never closed.
        let _permit = openings.acquire().await;
        let request = target.subscribe(&self.cursor)?;
        let mut line = Line::open(&request, target.transport()).await?;
        let welcome = async {
            let mut is_welcome = !target.greets();
            while !is_welcome {
                is_welcome = self.hear(&mut line).await?;
            }
            Ok::<_, SubscribeError>(())
        };
        tokio::time::timeout(WELCOME_TIMEOUT, welcome)
            .await
            .map_err(|_| SubscribeError::connection("no welcome within 30 s"))??;
        if !self.has_been_connected {
            self.has_been_connected = true;
            self.shared.connected.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line)
    }

    /// Reads once, and counts. True when the server said that the subscriber is connected.
    async fn hear(&mut self, line: &mut Line) -> Result<bool, SubscribeError> {
        let Shared { target, finder, .. } = self.shared;
        let (mut is_welcome, mut ping) = (false, None);
        let (marks, cursor) = (&mut self.marks, &mut self.cursor);
        line.next(|frame| {
            finder.find(frame.data, |mark| marks.push(mark));
            target.follow(frame, cursor);
            is_welcome |= target.is_welcome(frame);
            ping = target.ping(frame).or(ping);
        })
        .await?;
        if !self.marks.is_empty() {
            self.count();
        }
        if let Some(n) = ping {
            line.say(&Up::Pong { n }).await?;
        }
        Ok(is_welcome)
    }

    fn count(&mut self) {
        let shared = self.shared;
        let now = shared.now();
        let mut tally = self.slot.lock();
        let mut latencies = shared.latencies.lock(self.number);
        let mut deliveries = 0;
        for mark in self.marks.drain(..) {
            if tally.count(mark.number) {
                deliveries += 1;
                latencies.saturating_record(now.saturating_sub(mark.published_at));
            }
        }
        drop(latencies);
        shared.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        shared.last_at.fetch_max(now, Ordering::Relaxed);
        let expected = shared.expected();
        // It is empty for a moment, while more is about to be expected.
        let is_news = self.complete_at < expected.end && !expected.is_empty();
        if is_news && tally.losses(expected.clone()) == 0 {
            self.complete_at = expected.end;
            shared.is_complete();
        }
    }
}
