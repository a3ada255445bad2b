//! The content routes: a ticket's offer (`GET /tickets/{ticket}`), and its arrival as Server-Sent
//! Events (`.../events`) and over a WebSocket (`.../ws`).
//!
//! All three look in the same places in the same order (`headstart_edge_rules::lookup`), so that an offer that is
//! positioned costs no Durable Object, whichever way it is asked for.

use std::{cell::RefCell, rc::Rc};

use headstart_edge_rules::lookup::{self, Age, Found, Settled, Stores, Tier};
use headstart_protocol::{
    kv::{OfferMetadata, large_offer_key, offer_key},
    limits::MAX_WAIT_SECONDS,
    sse,
    ticket::Ticket,
};
use serde::Serialize;
use worker::{console_warn, js_sys::Uint8Array, web_sys::ReadableStream};

use crate::{
    config::Config,
    desk::{client, standing},
    http::{
        answer::Answer,
        cache_status::{Served, Timings, with_cache_status},
        error::Error,
        request::{Reply, RequestContext},
    },
    platform::{self, websocket},
    ticket::{
        delivery,
        offer::{self, Offer},
    },
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
pub async fn get(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    let config = context.config()?;
    let wait = context.head.wait_seconds().map(|s| s.min(MAX_WAIT_SECONDS));
    let ticket = match admit(context, config, text) {
        Ok(ticket) => ticket,
        Err(error) => return Ok(refused(context, &error)),
    };
    let stores = WorkerStores::new(context, config, &ticket, wait.unwrap_or(0));
    let found = lookup::everywhere(&stores, stores.age()).await;
    let (answer, served) = match found {
        Ok(Found::Offer(offer, place)) => (offer.answer(platform::now_ms()), Served::Hit(place)),
        Ok(Found::Large(metadata, stream)) => (
            offer::large(&metadata, stream, platform::now_ms()),
            Served::Hit(Tier::Kv),
        ),
        Ok(Found::Pending) => {
            let answer = Answer::json(202, &Pending { status: "pending" })
                .header("Cache-Control", "private, no-store")
                .header("Retry-After", RETRY_AFTER);
            (answer, Served::Miss)
        }
        Ok(Found::Failed(failure)) => (
            Error::GenerationFailed(Box::new(failure)).answer(),
            Served::Hit(Tier::Object),
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
pub async fn events(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    let config = context.config()?;
    let ticket = match admit(context, config, text) {
        Ok(ticket) => ticket,
        Err(error) => return Ok(refused(context, &error)),
    };
    let stores = WorkerStores::new(context, config, &ticket, 0);
    let Some((offer, place)) = lookup::without_object(&stores, stores.age()).await else {
        return Ok(stores.hand_on().await);
    };
    let known = context.head.last_event_id();
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
pub async fn socket(context: &RequestContext) -> Result<Reply, Error> {
    let text = context.parameter.as_str();
    let config = context.config()?;
    let admitted = admit(context, config, text).and_then(|ticket| {
        websocket::require_upgrade(context)?;
        Ok(ticket)
    });
    let ticket = match admitted {
        Ok(ticket) => ticket,
        Err(error) => return Ok(refused(context, &error)),
    };
    let stores = WorkerStores::new(context, config, &ticket, 0);
    let Some((offer, place)) = lookup::without_object(&stores, stores.age()).await else {
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

/// Returns the headers of every stream.
pub fn stream_headers(answer: Answer) -> Answer {
    answer
        .header("Content-Type", sse::MEDIA_TYPE)
        .header("Cache-Control", "private, no-store")
        // Proxies built on nginx hold a stream back unless told not to.
        .header("X-Accel-Buffering", "no")
}

fn admit(context: &RequestContext, config: &Config, text: &str) -> Result<Ticket, Error> {
    Ok(Ticket::admit(
        text,
        &config.ticket_keys,
        context.head.now_ms,
        config.ticket_times,
    )?)
}

fn refused(context: &RequestContext, error: &Error) -> Reply {
    with_cache_status(
        error.answer(),
        &context.node,
        Served::Refused,
        &Timings::default(),
    )
    .into()
}

/// The places an offer may be in, as this Worker reaches them.
struct WorkerStores<'a> {
    context: &'a RequestContext,
    config: &'a Config,
    ticket: &'a Ticket,
    wait_seconds: u32,
    timings: RefCell<Timings>,
}

impl<'a> WorkerStores<'a> {
    fn new(
        context: &'a RequestContext,
        config: &'a Config,
        ticket: &'a Ticket,
        wait_seconds: u32,
    ) -> Self {
        Self {
            context,
            config,
            ticket,
            wait_seconds,
            timings: RefCell::default(),
        }
    }

    fn age(&self) -> Age {
        Age::of(
            self.ticket,
            self.context.head.now_ms,
            self.config.ticket_times,
        )
    }

    fn served(&self, answer: Answer, served: Served) -> Answer {
        with_cache_status(answer, &self.context.node, served, &self.timings.borrow())
    }

    /// Lets the object answer, whose response goes out untouched.
    async fn hand_on(&self) -> Reply {
        let RequestContext { env, request, .. } = self.context;
        match client::forward(env, self.config, self.ticket.desk(), request).await {
            Ok(response) => Reply::Untouched(response),
            Err(error) => {
                error.log();
                self.served(error.answer(), Served::Miss).into()
            }
        }
    }

    fn note(&self, place: Tier, since_ms: u64) {
        let took = platform::now_ms().saturating_sub(since_ms);
        self.timings.borrow_mut().note(place, took);
    }

    async fn read_kv(&self) -> Result<Option<Offer>, Error> {
        let key = offer_key(self.ticket.uuid());
        let Some((content, json)) = platform::read_content(&self.context.env, &key).await? else {
            return Ok(None);
        };
        let metadata: OfferMetadata = serde_json::from_str(&json)
            .map_err(|error| Error::Platform(format!("the metadata of {key}: {error}")))?;
        Ok(Some(Offer::new(metadata, content)))
    }

    /// Asks KV, and notes how long it took. A failure counts as a miss.
    async fn asked_kv<T>(&self, read: impl Future<Output = Result<Option<T>, Error>>) -> Option<T> {
        let since = platform::now_ms();
        let read = read.await;
        self.note(Tier::Kv, since);
        read.unwrap_or_else(|error| {
            console_warn!("KV: {error:?}");
            None
        })
    }
}

impl Stores for WorkerStores<'_> {
    type Offer = Rc<Offer>;
    type Content = ReadableStream;
    type Error = Error;

    fn memory(&self) -> Option<Rc<Offer>> {
        offer::recall(self.ticket.uuid())
    }

    fn remember(&self, offer: &Rc<Offer>) {
        offer::remember(self.ticket.uuid(), offer, self.config.memory_cache_bytes);
    }

    async fn kv(&self) -> Option<Rc<Offer>> {
        self.asked_kv(self.read_kv()).await.map(Rc::new)
    }

    async fn large(&self, offer: &OfferMetadata) -> Option<ReadableStream> {
        let key = large_offer_key(self.ticket.uuid(), &offer.event_id);
        let content = platform::stream_content(&self.context.env, &key);
        self.asked_kv(content).await
    }

    async fn object(&self) -> Result<Settled<Rc<Offer>>, Error> {
        let since = platform::now_ms();
        let env = &self.context.env;
        let read = client::read(env, self.config, self.ticket, self.wait_seconds).await;
        self.note(Tier::Object, since);
        let answer = read?;
        let settled = standing::decode(&answer)
            .ok_or_else(|| Error::Platform("its answer cannot be read".to_owned()))?;
        Ok(match settled {
            Settled::Pending => Settled::Pending,
            Settled::Positioned(metadata) => Settled::Positioned(metadata),
            Settled::Failed(failure) => Settled::Failed(failure),
            Settled::Ready((metadata, content)) => {
                let content = Uint8Array::from(content);
                Settled::Ready(Rc::new(Offer::new(metadata, content)))
            }
        })
    }
}
