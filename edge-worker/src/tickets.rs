//! The content routes: a ticket's offer (`GET /tickets/{ticket}`), and its arrival as Server-Sent
//! Events (`.../events`) and over a WebSocket (`.../ws`).
//!
//! All three look in the same places in the same order (`lookup.rs`), so that an offer that is
//! positioned costs no Durable Object, whichever way it is asked for.

use std::{cell::RefCell, rc::Rc};

use headstart_protocol::{
    kv::{OfferMetadata, offer_key},
    limits::MAX_WAIT_SECONDS,
    sse,
    ticket::Ticket,
};
use serde::Serialize;
use worker::{console_warn, js_sys::Uint8Array};

use crate::{
    answer::Answer,
    cache_status::{Place, Served, Timings, with_cache_status},
    call::{Call, Reply},
    config::Config,
    delivery,
    error::Error,
    hub,
    lookup::{self, Age, Found, Settled, Stores},
    offer::{self, Offer},
    platform, websocket,
};

/// Seconds after which a client that polls may ask again.
const RETRY_AFTER: &str = "1";

#[derive(Serialize)]
struct Pending {
    status: &'static str,
}

/// `GET /tickets/{ticket}`
///
/// # Errors
/// Only [`Error::Misconfigured`]; every other failure is answered here, since it too says how it was
/// served.
pub async fn get(call: &Call, text: &str) -> Result<Reply, Error> {
    let config = call.config()?;
    let wait = call.head.wait_seconds().map(|s| s.min(MAX_WAIT_SECONDS));
    let ticket = match admit(call, config, text) {
        Ok(ticket) => ticket,
        Err(error) => return Ok(refused(call, &error)),
    };
    let stores = WorkerStores::new(call, config, &ticket, wait.unwrap_or(0));
    let found = lookup::everywhere(&stores, stores.age()).await;
    let (answer, served) = match found {
        Ok(Found::Offer(offer, place)) => (offer.answer(platform::now_ms()), Served::Hit(place)),
        Ok(Found::Pending) => {
            let answer = Answer::json(202, &Pending { status: "pending" })
                .header("Cache-Control", "private, no-store")
                .header("Retry-After", RETRY_AFTER);
            (answer, Served::Miss)
        }
        Ok(Found::Failed(failure)) => (
            Error::GenerationFailed(Box::new(failure)).answer(),
            Served::Hit(Place::Hub),
        ),
        Err(error) => {
            error.log();
            (error.answer(), Served::Miss)
        }
    };
    let answer = match wait {
        Some(wait) => answer.header("Preference-Applied", &format!("wait={wait}")),
        None => answer,
    };
    Ok(stores.served(answer, served).into())
}

/// `GET /tickets/{ticket}/events`
///
/// # Errors
/// Only [`Error::Misconfigured`], as [`get`].
pub async fn events(call: &Call, text: &str) -> Result<Reply, Error> {
    let config = call.config()?;
    let ticket = match admit(call, config, text) {
        Ok(ticket) => ticket,
        Err(error) => return Ok(refused(call, &error)),
    };
    let stores = WorkerStores::new(call, config, &ticket, 0);
    let Some((offer, place)) = lookup::without_hub(&stores, stores.age()).await else {
        return Ok(stores.hand_on().await);
    };
    let known = call.head.last_event_id();
    let answer = if known.as_ref() == Some(&offer.metadata.event_id) {
        Answer::new(204).header("Cache-Control", "private, no-store")
    } else {
        stream_headers(Answer::new(200)).body(delivery::frame(
            &offer.settlement(),
            &ticket,
            platform::now_ms(),
        ))
    };
    Ok(stores.served(answer, Served::Hit(place)).into())
}

/// `GET /tickets/{ticket}/ws`
///
/// # Errors
/// [`Error::Misconfigured`], and [`Error::Platform`] when there is no WebSocket to be had.
pub async fn socket(call: &Call, text: &str) -> Result<Reply, Error> {
    let config = call.config()?;
    let admitted = admit(call, config, text).and_then(|ticket| {
        websocket::require_upgrade(call)?;
        Ok(ticket)
    });
    let ticket = match admitted {
        Ok(ticket) => ticket,
        Err(error) => return Ok(refused(call, &error)),
    };
    let stores = WorkerStores::new(call, config, &ticket, 0);
    let Some((offer, place)) = lookup::without_hub(&stores, stores.age()).await else {
        return Ok(stores.hand_on().await);
    };
    let (client, server) = websocket::pair()?;
    server.accept()?;
    server.send_with_str(delivery::message(
        &offer.settlement(),
        &ticket,
        platform::now_ms(),
    ))?;
    websocket::close(&server, websocket::NORMAL, "delivered");
    let answer = Answer::socket(&client);
    Ok(stores.served(answer, Served::Hit(place)).into())
}

/// The headers of every stream.
pub fn stream_headers(answer: Answer) -> Answer {
    answer
        .header("Content-Type", sse::MEDIA_TYPE)
        .header("Cache-Control", "private, no-store")
        // Proxies built on nginx hold a stream back unless told not to.
        .header("X-Accel-Buffering", "no")
}

fn admit(call: &Call, config: &Config, text: &str) -> Result<Ticket, Error> {
    Ok(Ticket::admit(
        text,
        &config.ticket_keys,
        call.head.now_ms,
        config.ticket_times,
    )?)
}

fn refused(call: &Call, error: &Error) -> Reply {
    with_cache_status(
        error.answer(),
        &call.node,
        Served::Refused,
        &Timings::default(),
    )
    .into()
}

/// The places an offer may be in, as this Worker reaches them.
struct WorkerStores<'a> {
    call: &'a Call,
    config: &'a Config,
    ticket: &'a Ticket,
    wait_seconds: u32,
    timings: RefCell<Timings>,
}

impl<'a> WorkerStores<'a> {
    fn new(call: &'a Call, config: &'a Config, ticket: &'a Ticket, wait_seconds: u32) -> Self {
        Self {
            call,
            config,
            ticket,
            wait_seconds,
            timings: RefCell::default(),
        }
    }

    fn age(&self) -> Age {
        Age::of(self.ticket, self.call.head.now_ms, self.config.ticket_times)
    }

    fn served(&self, answer: Answer, served: Served) -> Answer {
        with_cache_status(answer, &self.call.node, served, &self.timings.borrow())
    }

    /// Lets the hub answer, whose response goes out untouched.
    async fn hand_on(&self) -> Reply {
        match hub::forward(&self.call.env, self.ticket, &self.call.request).await {
            Ok(response) => Reply::Untouched(response),
            Err(error) => {
                error.log();
                self.served(error.answer(), Served::Miss).into()
            }
        }
    }

    fn note(&self, place: Place, since_ms: u64) {
        let took = platform::now_ms().saturating_sub(since_ms);
        self.timings.borrow_mut().note(place, took);
    }

    async fn read_kv(&self) -> Result<Option<Offer>, Error> {
        let key = offer_key(self.ticket.uuid());
        let Some((content, json)) = platform::read_content(&self.call.env, &key).await? else {
            return Ok(None);
        };
        let metadata: OfferMetadata = serde_json::from_str(&json)
            .map_err(|error| Error::Platform(format!("the metadata of {key}: {error}")))?;
        Ok(Some(Offer::new(metadata, content)))
    }
}

impl Stores for WorkerStores<'_> {
    type Offer = Rc<Offer>;

    fn memory(&self) -> Option<Rc<Offer>> {
        offer::recall(self.ticket.uuid())
    }

    fn remember(&self, offer: &Rc<Offer>) {
        offer::remember(self.ticket.uuid(), offer, self.config.memory_cache_bytes);
    }

    async fn kv(&self) -> Option<Rc<Offer>> {
        let since = platform::now_ms();
        let read = self.read_kv().await;
        self.note(Place::Kv, since);
        read.unwrap_or_else(|error| {
            console_warn!("KV: {error:?}");
            None
        })
        .map(Rc::new)
    }

    async fn hub(&self) -> Result<Settled<Rc<Offer>>, Error> {
        let since = platform::now_ms();
        let read = hub::read(&self.call.env, self.ticket, self.wait_seconds).await;
        self.note(Place::Hub, since);
        let answer = read?;
        let settled = hub::decode(&answer)
            .ok_or_else(|| Error::Platform("the hub's answer cannot be read".to_owned()))?;
        Ok(match settled {
            Settled::Pending => Settled::Pending,
            Settled::Positioned => Settled::Positioned,
            Settled::Failed(failure) => Settled::Failed(failure),
            Settled::Ready((metadata, content)) => {
                let content = Uint8Array::from(content);
                Settled::Ready(Rc::new(Offer::new(metadata, content)))
            }
        })
    }
}
