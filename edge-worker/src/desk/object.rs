//! The Durable Object of a desk: keeps a login until its ticket settles, leases it out over the links that
//! origins hold open, keeps what the ticket settled to as long as it lives, and holds whoever waits for it.
//! Its requests are listed in `client.rs`, its rules are in `headstart_edge_rules::{desk, ticket}`.
//!
//! Touches its own SQLite (`store.rs`), one alarm for the next deadline, the links' WebSockets (`links.rs`)
//! and its waiters (`waiters.rs`).

use std::{cell::Cell, rc::Rc, time::Duration};

use headstart_edge_rules::{
    desk::{Desk, Effect, Greeting},
    lookup::Tier,
    ticket::TicketState,
};
use headstart_protocol::{
    event::{Event, EventError},
    limits::MAX_WAIT_SECONDS,
    link::{FromEdge, FromOrigin},
    report::{EventResult, Status},
    settlement::{Attributes, Outcome, Settlement},
    signature::ID_HEADER,
    stamps::Stamps,
    ticket::{Ticket, TicketError},
};
use uuid::Uuid;
use worker::{Env, State, WebSocket, WebSocketIncomingMessage, console_log, console_warn, web_sys};

use crate::{
    config::{self, Config},
    desk::{
        attachment::Attachment,
        client::{Enqueue, Enqueued},
        links, standing,
        store::{DeskStore, Use},
        waiters::Waiters,
    },
    http::{
        answer::Answer,
        cache_status::{Served, Timings, with_cache_status},
        error::Error,
        head::Head,
        request::{self, Reply},
    },
    platform::{
        self,
        alarm::Alarm,
        durable_object::{ObjectHandlers, durable_object},
        lazy::{Lazy, Loaded},
        sql, websocket,
    },
    ticket::{delivery, routes::stream_headers},
};

/// Largest message a waiting client may send. It has nothing to say, but some send pings of their own.
const MAX_CLIENT_MESSAGE_BYTES: usize = 4096;

/// How long after its expiry a ticket is deleted, in milliseconds, so that no request that was admitted just
/// before finds it gone.
const CLEAN_UP_DELAY_MS: u64 = 1_000;

/// How often what has expired is deleted, in milliseconds.
const SWEEP_EVERY_MS: u64 = 60_000;

/// The same while the desk is full, in milliseconds.
const SWEEP_FULL_EVERY_MS: u64 = 5_000;

/// After how long the alarm's work is tried again where it failed, in milliseconds.
const RETRY_MS: u64 = 5_000;

/// What the object holds.
#[derive(Debug)]
pub struct DeskObject {
    state: State,
    env: Env,
    store: Lazy<DeskStore>,
    /// Built by the first event that needs it.
    desk: Loaded<Desk>,
    waiters: Waiters,
    /// When what has expired is deleted, where anything is stored.
    sweep_at: Cell<Option<u64>>,
    /// It stores as much as it may.
    is_full: Cell<bool>,
    /// For the next deadline.
    alarm: Alarm,
}

/// A login that has just come.
struct Fresh<'a> {
    id: Uuid,
    event: &'a Event,
}

/// What a ticket settled to.
type Settled = (Settlement, Ticket);

durable_object!(DeskDo, DeskObject);

impl ObjectHandlers for DeskObject {
    fn new(state: State, env: Env) -> Self {
        websocket::answer_pings(&state);
        Self {
            waiters: Waiters::of(&state),
            state,
            env,
            store: Lazy::default(),
            desk: Loaded::default(),
            sweep_at: Cell::new(None),
            is_full: Cell::new(false),
            alarm: Alarm::default(),
        }
    }

    async fn fetch(
        self: &Rc<Self>,
        request: &web_sys::Request,
    ) -> worker::Result<web_sys::Response> {
        request::answer_object(&self.env, request, async |request, head, config| {
            self.answer(request, head, config).await
        })
        .await
    }

    async fn alarm(self: &Rc<Self>) -> Result<(), Error> {
        self.alarm.rang();
        if let Err(error) = self.wake().await {
            // The platform gives up after six failures; this never does.
            error.log();
            let again_at = platform::now_ms() + RETRY_MS;
            self.alarm.set(&self.state, again_at).await?;
        }
        Ok(())
    }

    async fn message(
        self: &Rc<Self>,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<(), Error> {
        match socket.deserialize_attachment()? {
            Some(Attachment::Link { link, .. }) => match links::read(message) {
                Ok(message) => self.hear(socket, link, message).await,
                Err(refusal) => {
                    websocket::close(socket, refusal.code, refusal.reason);
                    self.closed(socket).await
                }
            },
            Some(Attachment::Waiter { .. }) => {
                let bytes = match message {
                    WebSocketIncomingMessage::String(text) => text.len(),
                    WebSocketIncomingMessage::Binary(bytes) => bytes.len(),
                };
                if bytes > MAX_CLIENT_MESSAGE_BYTES {
                    websocket::close(socket, websocket::TOO_BIG, "nothing is expected here");
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn closed(self: &Rc<Self>, socket: &WebSocket) -> Result<(), Error> {
        let Some(Attachment::Link { link, .. }) = socket.deserialize_attachment()? else {
            return Ok(());
        };
        let now_ms = platform::now_ms();
        let effects = self.with_desk(|desk| desk.close_link(&link, now_ms))?;
        self.perform(effects, now_ms)?;
        self.arm().await
    }
}

impl DeskObject {
    async fn answer(
        &self,
        request: &web_sys::Request,
        head: &Head,
        config: &Config,
    ) -> Result<Reply, Error> {
        let ticket = head.path.strip_prefix("/tickets/");
        if let Some((text, what)) = ticket.and_then(|rest| rest.split_once('/')) {
            let ticket = Ticket::verify(text, &config.ticket_keys)?;
            if is_over(&ticket, head.now_ms, config) {
                return Err(TicketError::Expired.into());
            }
            return match (head.method.as_str(), what) {
                ("GET", "offer") => self.offer(head, &ticket, config).await,
                ("GET", "events") => self.events(request, head, &ticket, config).await,
                ("GET", "ws") => self.socket(request, &ticket).await,
                _ => Err(Error::NotFound),
            };
        }
        match (head.method.as_str(), head.path.as_str()) {
            ("POST", "/logins") => self.enqueue(request, head.now_ms).await,
            ("POST", "/settlements") => self.settle(request, head.now_ms, config).await,
            ("GET", "/origin/link") => self.open_link(request, head, config).await,
            _ => Err(Error::NotFound),
        }
    }

    async fn enqueue(&self, request: &web_sys::Request, now_ms: u64) -> Result<Reply, Error> {
        let body = platform::read_whole(request).await?;
        let login: Enqueue = serde_json::from_slice(&body)
            .map_err(|error| Error::Platform(format!("a login from the edge: {error}")))?;
        let enqueued = self.store_login(&login, now_ms)?;
        self.arm().await?;
        Ok(Answer::json(200, &enqueued).into())
    }

    /// Stores a login. Nothing is awaited in here, so that a login sent twice at once is one login.
    fn store_login(&self, login: &Enqueue, now_ms: u64) -> Result<Enqueued, Error> {
        let store = self.store()?;
        if let Some(webhook) = &login.webhook
            && let Some(used) = store.used(&login_key(&webhook.id), now_ms)?
        {
            return Ok(if used.digest == webhook.digest {
                let ticket = used.ticket;
                Enqueued::Repeated { ticket }
            } else {
                Enqueued::Conflict
            });
        }
        let id = Uuid::try_parse(&login.event.id)
            .map_err(|error| Error::Platform(format!("a login's id: {error}")))?;
        self.check_links(now_ms)?;
        if self.is_full.get() {
            return Ok(Enqueued::Full);
        }
        let Ok(effects) = self.with_desk(|desk| desk.enqueue(id, now_ms))? else {
            return Ok(Enqueued::Full);
        };
        let fresh = Fresh {
            id,
            event: &login.event,
        };
        self.stored(|store| {
            if let Some(webhook) = &login.webhook {
                let what = Use {
                    ticket: login.event.subject.clone().unwrap_or_default(),
                    digest: webhook.digest.clone(),
                };
                store.use_id(&login_key(&webhook.id), what, now_ms)?;
            }
            self.store_effects(store, &effects, Some(&fresh))
        })?;
        self.tell_links(effects, Some(&fresh), now_ms)?;
        self.sweep_within(SWEEP_EVERY_MS, now_ms);
        Ok(Enqueued::Stored)
    }

    async fn settle(
        &self,
        request: &web_sys::Request,
        now_ms: u64,
        config: &Config,
    ) -> Result<Reply, Error> {
        let body = platform::read_whole(request).await?;
        let results = self.settle_all(Event::batch_from_json(&body)?, now_ms, config)?;
        self.check_size(now_ms, config)?;
        self.arm().await?;
        Ok(Answer::json(200, &results).into())
    }

    /// Settles the tickets of all events: either everything that comes of them is stored, or nothing.
    fn settle_all(
        &self,
        events: Vec<Result<Event, EventError>>,
        now_ms: u64,
        config: &Config,
    ) -> Result<Vec<EventResult>, Error> {
        self.check_links(now_ms)?;
        let mut effects = Vec::new();
        let mut settled = Vec::new();
        let results = self.stored(|store| {
            let mut results = Vec::with_capacity(events.len());
            for event in events {
                let event = event?;
                let id = event.id.clone();
                let (text, settlement) = Settlement::of_event(event.clone())
                    .map_err(|error| Error::Platform(format!("an event of the edge: {error}")))?;
                let ticket = Ticket::verify(&text, &config.ticket_keys)?;
                let verdict = state_of(store.settlement(ticket.uuid())?).judge(&settlement);
                if verdict.status == Status::Accepted {
                    store.settle(ticket.uuid(), &event)?;
                    let left = self.with_desk(|desk| desk.settle(ticket.uuid(), now_ms))?;
                    self.store_effects(store, &left, None)?;
                    effects.extend(left);
                    settled.push((settlement, ticket));
                }
                results.push(EventResult {
                    id,
                    status: verdict.status,
                    reason: verdict.reason.map(str::to_owned),
                });
            }
            Ok(results)
        })?;
        self.tell_waiters(&settled);
        self.tell_links(effects, None, now_ms)?;
        Ok(results)
    }

    async fn offer(&self, head: &Head, ticket: &Ticket, config: &Config) -> Result<Reply, Error> {
        let wait: u32 = head
            .query_value("wait")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        let mut settlement = self.store()?.settlement(ticket.uuid())?;
        if settlement.is_none() && wait > 0 {
            let time = Duration::from_secs(wait.min(MAX_WAIT_SECONDS).into());
            let poll = self.waiters.poll(ticket, time, config.desks.waiters);
            self.arm().await?;
            poll.await?;
            if is_over(ticket, platform::now_ms(), config) {
                return Err(TicketError::Expired.into());
            }
            settlement = self.store()?.settlement(ticket.uuid())?;
        }
        let answer = standing::encode(settlement.as_ref());
        Ok(Answer::new(200).body(answer).into())
    }

    async fn events(
        &self,
        request: &web_sys::Request,
        head: &Head,
        ticket: &Ticket,
        config: &Config,
    ) -> Result<Reply, Error> {
        let (answer, served) = match self.store()?.settlement(ticket.uuid())? {
            Some(settlement) if head.last_event_id().as_ref() == Some(&settlement.event_id) => {
                let answer = Answer::new(204).header("Cache-Control", "private, no-store");
                (answer, Served::Hit(Tier::Object))
            }
            Some(settlement) => {
                let frame = delivery::frame(&settlement, ticket, head.now_ms);
                let answer = stream_headers(Answer::new(200)).body(frame);
                (answer, Served::Hit(Tier::Object))
            }
            None => {
                let most = config.desks.waiters;
                let stream = self.waiters.stream(ticket, config.stream_life, most)?;
                self.arm().await?;
                let answer = stream_headers(Answer::new(200)).stream(stream);
                (answer, Served::Miss)
            }
        };
        Ok(served_from_here(answer, request, served))
    }

    async fn socket(&self, request: &web_sys::Request, ticket: &Ticket) -> Result<Reply, Error> {
        let (client, ours) = websocket::pair()?;
        let settlement = self.store()?.settlement(ticket.uuid())?;
        self.waiters.accept(&ours, ticket)?;
        let served = if let Some(settlement) = settlement {
            self.waiters.tell(&settlement, ticket);
            Served::Hit(Tier::Object)
        } else {
            self.arm().await?;
            Served::Miss
        };
        Ok(served_from_here(Answer::socket(&client), request, served))
    }

    async fn open_link(
        &self,
        request: &web_sys::Request,
        head: &Head,
        config: &Config,
    ) -> Result<Reply, Error> {
        let link = platform::header(request, ID_HEADER).unwrap_or_default();
        let store = self.store()?;
        if store.used(&link_key(&link), head.now_ms)?.is_some() {
            return Err(Error::LinkReplayed);
        }
        store.use_id(&link_key(&link), Use::default(), head.now_ms)?;
        self.with_desk(|desk| desk.open_link(&link, head.now_ms))?;
        let (client, server) = websocket::pair()?;
        links::accept(&self.state, &server, link)?;
        let desk = head.query_value("desk").and_then(|desk| desk.parse().ok());
        server.send(&FromEdge::Welcome {
            desk: desk.unwrap_or_default(),
            desks: config.desks.count.into(),
            lease_ms: config.desks.times.lease_ms,
        })?;
        self.sweep_within(SWEEP_EVERY_MS, head.now_ms);
        self.arm().await?;
        Ok(Answer::socket(&client).into())
    }

    async fn hear(
        &self,
        socket: &WebSocket,
        link: String,
        message: FromOrigin,
    ) -> Result<(), Error> {
        let now_ms = platform::now_ms();
        // It was heard just now, however long it was not: nothing is to close it before it has spoken.
        self.with_desk(|desk| desk.last_heard(&link, now_ms, now_ms))?;
        self.check_links(now_ms)?;
        let greets = matches!(message, FromOrigin::Hello { .. } | FromOrigin::Drain {});
        let effects = self.with_desk(|desk| match message {
            FromOrigin::Hello {
                origin,
                instance,
                capacity,
                held,
            } => {
                let greeting = Greeting {
                    origin,
                    instance,
                    capacity,
                    draining: false,
                };
                desk.hello(&link, greeting, &held, now_ms)
            }
            FromOrigin::Ack { leases } => {
                let acked = leases.iter();
                acked
                    .flat_map(|lease| desk.ack(&link, lease, now_ms))
                    .collect()
            }
            FromOrigin::Release { lease } => desk.release(&link, &lease, now_ms),
            FromOrigin::Drain {} => {
                desk.drain(&link);
                vec![]
            }
        })?;
        if greets {
            let greeting = self.with_desk(|desk| desk.greeting(&link).cloned())?;
            links::remember(socket, link, greeting)?;
        }
        self.perform(effects, now_ms)?;
        self.arm().await
    }

    /// Does what is due: the alarm's work.
    async fn wake(&self) -> Result<(), Error> {
        let settings = config::of(&self.env);
        let config = config::ready(&settings)?;
        let now_ms = platform::now_ms();
        self.check_links(now_ms)?;
        let effects = self.with_desk(|desk| desk.tick(now_ms))?;
        self.perform(effects, now_ms)?;
        self.expire(now_ms, config);
        self.sweep(now_ms, config)?;
        self.arm().await
    }

    /// Tells whoever waits for a ticket whose time is over.
    fn expire(&self, now_ms: u64, config: &Config) {
        // It is over at the very millisecond.
        let before_ms = (now_ms + 1).saturating_sub(life_ms(config));
        for (uuid, text) in self.waiters.minted_before(before_ms) {
            match Ticket::verify(&text, &config.ticket_keys) {
                Ok(ticket) => {
                    let expired = failure(format!("{uuid}-expired"), "/edge", "expired");
                    self.waiters.tell(&expired, &ticket);
                }
                Err(_) => self.waiters.dismiss(uuid),
            }
        }
    }

    /// Deletes what has expired, some at a time.
    fn sweep(&self, now_ms: u64, config: &Config) -> Result<(), Error> {
        if self.sweep_at.get().is_none_or(|at| now_ms < at) {
            return Ok(());
        }
        let store = self.store()?;
        let has_more = store.sweep(now_ms.saturating_sub(life_ms(config)), now_ms)?;
        self.sweep_at.set(has_more.then_some(now_ms + 1));
        if !has_more && store.has_rows()? {
            self.check_size(now_ms, config)?;
        }
        Ok(())
    }

    /// Finds out whether there is room for more, and sweeps again in time.
    fn check_size(&self, now_ms: u64, config: &Config) -> Result<(), Error> {
        self.is_full.set(self.store()?.bytes() > config.desks.bytes);
        let every_ms = if self.is_full.get() {
            SWEEP_FULL_EVERY_MS
        } else {
            SWEEP_EVERY_MS
        };
        self.sweep_within(every_ms, now_ms);
        Ok(())
    }

    fn sweep_within(&self, ms: u64, now_ms: u64) {
        let at = now_ms + ms;
        let sooner = self.sweep_at.get().map_or(at, |before| before.min(at));
        self.sweep_at.set(Some(sooner));
    }

    /// Finds out which links are dead, of those that the desk has not heard for long.
    fn check_links(&self, now_ms: u64) -> Result<(), Error> {
        for link in self.with_desk(|desk| desk.unheard(now_ms))? {
            let heard_at = links::last_heard(&self.state, &link, now_ms);
            let effects = self.with_desk(|desk| desk.last_heard(&link, heard_at, now_ms))?;
            self.perform(effects, now_ms)?;
        }
        Ok(())
    }

    /// Carries out what the desk decided.
    fn perform(&self, effects: Vec<Effect>, now_ms: u64) -> Result<(), Error> {
        if effects.is_empty() {
            return Ok(());
        }
        let failed = self.stored(|store| self.store_effects(store, &effects, None))?;
        self.tell_waiters(&failed);
        self.tell_links(effects, None, now_ms)
    }

    /// Does `work`, whose writes are stored together or not at all.
    fn stored<T>(&self, work: impl FnOnce(&DeskStore) -> Result<T, Error>) -> Result<T, Error> {
        let store = self.store()?;
        sql::transaction(&self.state, || work(store)).inspect_err(|_| {
            // What could not be stored did not happen: the next event builds the desk from what was.
            self.desk.forget();
        })
    }

    /// Stores what effects say; returns the tickets that they settle as failed.
    fn store_effects(
        &self,
        store: &DeskStore,
        effects: &[Effect],
        mut fresh: Option<&Fresh<'_>>,
    ) -> Result<Vec<Settled>, Error> {
        let mut failed = Vec::new();
        let mut effects = effects.iter().peekable();
        while let Some(effect) = effects.next() {
            match effect {
                Effect::Save(id, login) => {
                    if let Some(Effect::Save(next, _)) = effects.peek()
                        && next == id
                    {
                        // It is stored again at once: a login that is leased as soon as it comes.
                        continue;
                    }
                    match fresh.take_if(|fresh| fresh.id == *id) {
                        Some(fresh) => store.add(*id, login, fresh.event)?,
                        None => store.save(*id, login)?,
                    }
                }
                Effect::Delete(id) => store.delete(*id)?,
                Effect::Fail { login, reason } => failed.extend(self.fail(store, *login, reason)?),
                Effect::Lease { .. } | Effect::Close { .. } => {}
            }
        }
        Ok(failed)
    }

    /// Settles the ticket of a login as failed, unless nobody can ask for it any more.
    fn fail(&self, store: &DeskStore, login: Uuid, reason: &str) -> Result<Option<Settled>, Error> {
        let settings = config::of(&self.env);
        let config = config::ready(&settings)?;
        let event = store.login_event(login)?;
        let text = event.and_then(|event| event.subject).unwrap_or_default();
        let now_ms = platform::now_ms();
        match Ticket::admit(&text, &config.ticket_keys, now_ms, config.ticket_times) {
            Ok(ticket) if store.settlement(login)?.is_none() => {
                let settlement = failure(format!("{login}-undelivered"), "/edge/desk", reason);
                store.settle(login, &settlement.to_event(&ticket))?;
                console_log!("login {login} failed: {reason}");
                Ok(Some((settlement, ticket)))
            }
            Ok(_) | Err(TicketError::Expired) => Ok(None),
            Err(TicketError::Unknown) => {
                console_warn!("login {login} is dropped: its ticket is of a key that is gone");
                Ok(None)
            }
        }
    }

    /// Tells whoever waits for these tickets what they settled to.
    fn tell_waiters(&self, settled: &[Settled]) {
        for (settlement, ticket) in settled {
            self.waiters.tell(settlement, ticket);
        }
    }

    /// Sends leases, and closes links, as effects say.
    fn tell_links(
        &self,
        effects: Vec<Effect>,
        fresh: Option<&Fresh<'_>>,
        now_ms: u64,
    ) -> Result<(), Error> {
        let mut broken = Vec::new();
        for effect in effects {
            match effect {
                Effect::Lease {
                    link,
                    login,
                    lease,
                    expires_in_ms,
                } => {
                    let fresh = fresh.filter(|fresh| fresh.id == login);
                    let event = match fresh {
                        Some(fresh) => Some(fresh.event.clone()),
                        None => self.store()?.login_event(login)?,
                    };
                    let Some(event) = event else {
                        console_warn!("login {login} has no event");
                        continue;
                    };
                    let message = FromEdge::Lease {
                        lease: lease.clone(),
                        expires_in_ms,
                        event: Box::new(event),
                    };
                    if !links::send(&self.state, &link, &message) {
                        broken.push((link, lease));
                    }
                }
                Effect::Close { link, why } => links::close(&self.state, link, why)?,
                Effect::Save(..) | Effect::Delete(_) | Effect::Fail { .. } => {}
            }
        }
        for (link, lease) in broken {
            let effects = self.with_desk(|desk| desk.undelivered(&link, &lease, now_ms))?;
            self.perform(effects, now_ms)?;
        }
        Ok(())
    }

    /// Sets the alarm for the next deadline.
    async fn arm(&self) -> Result<(), Error> {
        let settings = config::of(&self.env);
        let life_ms = life_ms(config::ready(&settings)?);
        let oldest_at = self.waiters.oldest_minted_at_ms();
        let deadlines = [
            self.with_desk(|desk| desk.next_deadline())?,
            self.sweep_at.get(),
            oldest_at.map(|at| at + life_ms),
        ];
        match deadlines.into_iter().flatten().min() {
            Some(next) => self.alarm.set(&self.state, next).await,
            None => Ok(()),
        }
    }

    fn store(&self) -> Result<&DeskStore, Error> {
        self.store
            .get(|| DeskStore::open(self.state.storage().sql()))
    }

    /// Works with the desk; builds it first if this instance has none yet.
    fn with_desk<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> Result<T, Error> {
        if !self.desk.is_loaded() {
            self.restore()?;
        }
        self.desk.with(work)
    }

    /// Builds the desk from what is stored and the links that are open.
    fn restore(&self) -> Result<(), Error> {
        let settings = config::of(&self.env);
        let config = config::ready(&settings)?;
        let now_ms = platform::now_ms();
        let store = self.store()?;
        let links = links::open(&self.state, now_ms);
        let (desk, effects) = Desk::restore(config.desks.times, store.logins()?, links, now_ms);
        self.desk.load(desk);
        if store.has_rows()? {
            self.check_size(now_ms, config)?;
        }
        self.perform(effects, now_ms)
    }
}

/// Returns how long a ticket is kept, in milliseconds from its minting.
fn life_ms(config: &Config) -> u64 {
    config.ticket_times.ttl_ms + CLEAN_UP_DELAY_MS
}

/// Returns whether a ticket is kept no more.
fn is_over(ticket: &Ticket, now_ms: u64, config: &Config) -> bool {
    now_ms >= ticket.minted_at_ms().saturating_add(life_ms(config))
}

/// Returns how a ticket with this settlement stands.
fn state_of(settlement: Option<Settlement>) -> TicketState {
    settlement.map_or(TicketState::Pending, |settlement| {
        TicketState::Settled(Box::new(settlement))
    })
}

/// Returns a settlement of the edge's own: there will be no offer.
fn failure(event_id: String, source: &str, reason: &str) -> Settlement {
    Settlement {
        event_id,
        source: source.to_owned(),
        attributes: Attributes::default(),
        stamps: Stamps::default(),
        outcome: Outcome::Failed {
            reason: reason.to_owned(),
        },
    }
}

/// Returns the answer of a route that was handed on to this object.
fn served_from_here(answer: Answer, request: &web_sys::Request, served: Served) -> Reply {
    let mut timings = Timings::default();
    timings.note(Tier::Object, 0);
    with_cache_status(answer, &platform::node(request), served, &timings).into()
}

/// Returns under what the `webhook-id` of a login is remembered.
fn login_key(id: &str) -> String {
    format!("login:{id}")
}

/// Returns under what the `webhook-id` of a handshake is remembered.
fn link_key(id: &str) -> String {
    format!("link:{id}")
}
