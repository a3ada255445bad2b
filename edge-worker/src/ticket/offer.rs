//! An offer as the Worker holds it: its content stays in JavaScript's memory, and the headers that
//! never change are written once, so that serving it again costs next to nothing. One that is too large for
//! its event is handed on as it comes, and not held.

use std::{cell::RefCell, rc::Rc};

use headstart_protocol::{
    kv::OfferMetadata,
    settlement::{Content, Outcome, Settlement},
    stamps::{Point, STAMPS_HEADER},
};
use uuid::Uuid;
use worker::{js_sys::Uint8Array, web_sys::ReadableStream};

use crate::{
    http::answer::{Answer, EVENT_ID_HEADER, header_text},
    ticket::memory_cache::MemoryCache,
};

/// What an entry of the memory cache costs beside its content, in bytes: metadata, headers, the
/// cache's own books. A generous guess.
const OVERHEAD_BYTES: usize = 1024;

/// An offer and what is known of it.
#[derive(Debug)]
pub struct Offer {
    /// What stands beside the content.
    pub metadata: OfferMetadata,
    headers: String,
    content: Uint8Array,
}

impl Offer {
    /// Returns an offer with `content`.
    pub fn new(metadata: OfferMetadata, content: Uint8Array) -> Self {
        Self {
            headers: headers(&metadata),
            metadata,
            content,
        }
    }

    /// Returns the offer as it is delivered at `now_ms`.
    pub fn answer(&self, now_ms: u64) -> Answer {
        delivered(&self.headers, &self.metadata, now_ms).shared_body(&self.content)
    }

    /// Returns the settlement that brought it.
    pub fn settlement(&self) -> Settlement {
        Settlement {
            event_id: self.metadata.event_id.clone(),
            source: self.metadata.source.clone(),
            attributes: self.metadata.attributes.clone(),
            stamps: self.metadata.stamps,
            outcome: Outcome::Ready {
                media_type: self.metadata.media_type.clone(),
                content: Content::Inline(self.content.to_vec()),
            },
        }
    }

    fn bytes(&self) -> usize {
        self.content.length() as usize
    }
}

/// Returns a large offer as it is delivered at `now_ms`.
pub fn large(metadata: &OfferMetadata, content: ReadableStream, now_ms: u64) -> Answer {
    delivered(&headers(metadata), metadata, now_ms).stream(content)
}

/// Returns the headers that never change.
fn headers(metadata: &OfferMetadata) -> String {
    Answer::new(200)
        .header("Content-Type", &metadata.media_type)
        .header("Cache-Control", "private, no-store")
        .header(EVENT_ID_HEADER, &header_text(&metadata.event_id))
        .header_lines()
}

/// Returns an answer with every header.
fn delivered(headers: &str, metadata: &OfferMetadata, now_ms: u64) -> Answer {
    let stamps = metadata.stamps.with(Point::Delivered, now_ms);
    Answer::new(200)
        .lines(headers)
        .header(STAMPS_HEADER, &stamps.to_header())
}

thread_local! {
    static MEMORY: RefCell<Option<MemoryCache<Rc<Offer>>>> = const { RefCell::new(None) };
}

/// Returns what this isolate remembers of a ticket's offer.
pub fn recall(ticket: Uuid) -> Option<Rc<Offer>> {
    MEMORY.with_borrow_mut(|memory| memory.as_mut()?.get(ticket))
}

/// Remembers an offer, in at most `budget` bytes for all of them.
pub fn remember(ticket: Uuid, offer: &Rc<Offer>, budget: usize) {
    MEMORY.with_borrow_mut(|memory| {
        memory.get_or_insert_with(|| MemoryCache::new(budget)).put(
            ticket,
            offer.clone(),
            offer.bytes() + OVERHEAD_BYTES,
        );
    });
}
