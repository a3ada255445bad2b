//! How many bytes an update is on its way to a subscriber.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use headstart_client::{
    load::{
        payload::Payload,
        target::{Publication, Target},
    },
    subscribe::{SubscribeError, request::Request, sse::Frame, transport::Transport},
};
use http::StatusCode;

/// A target that notes how long the frame of an update is; every update must come by itself.
#[derive(Debug)]
pub struct Noting {
    target: Arc<dyn Target>,
    longest: AtomicUsize,
}

impl Noting {
    pub fn new(target: Arc<dyn Target>) -> Self {
        Self {
            target,
            longest: AtomicUsize::new(0),
        }
    }

    /// Of the frames of updates that came, the length of the longest in bytes.
    pub fn longest(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }

    /// The frame's length in bytes, as it was written.
    fn length(&self, frame: Frame<'_>) -> usize {
        let line = |name: &str, value: &[u8]| name.len() + ": \n".len() + value.len();
        match self.transport() {
            Transport::Ws => frame.data.len(),
            Transport::Sse => {
                let event = (!frame.event.is_empty()).then(|| line("event", frame.event));
                let id = frame.id.map(|id| line("id", id));
                event.unwrap_or(0) + id.unwrap_or(0) + line("data", frame.data) + "\n".len()
            }
        }
    }
}

impl Target for Noting {
    fn transport(&self) -> Transport {
        self.target.transport()
    }

    fn subscribe(&self, cursor: &[u8]) -> Result<Request, SubscribeError> {
        self.target.subscribe(cursor)
    }

    fn greets(&self) -> bool {
        self.target.greets()
    }

    fn is_welcome(&self, frame: Frame<'_>) -> bool {
        self.target.is_welcome(frame)
    }

    fn follow(&self, frame: Frame<'_>, cursor: &mut Vec<u8>) {
        if !self.is_welcome(frame) {
            let length = self.length(frame);
            self.longest.fetch_max(length, Ordering::Relaxed);
        }
        self.target.follow(frame, cursor);
    }

    fn ping(&self, frame: Frame<'_>) -> Option<u64> {
        self.target.ping(frame)
    }

    fn publish(&self, updates: &[Payload]) -> Result<Vec<Publication>, String> {
        self.target.publish(updates)
    }

    fn check(&self, status: StatusCode, body: &[u8]) -> Result<(), String> {
        self.target.check(status, body)
    }
}
