//! The Durable Object of one ticket: keeps its settlement as long as the ticket lives, and
//! holds whoever waits for it. Its requests are listed in `client.rs`, its rules are in
//! `headstart_edge_rules::ticket`.
//!
//! Touches its own SQLite (`store.rs`), its alarm, and its waiters: streams (`platform/sockets.rs`), long
//! polls (`platform/wake.rs`) and hibernating WebSockets.

use std::{cell::RefCell, rc::Rc, time::Duration};

use headstart_edge_rules::{lookup::Tier, ticket::TicketState};
use headstart_protocol::{
    event::Event,
    limits::{MAX_INLINE_OFFER_BYTES, MAX_WAIT_SECONDS, MAX_WAITERS},
    report::{EventResult, Status},
    settlement::{Attributes, Outcome, Settlement},
    sse,
    stamps::Stamps,
    ticket::{Ticket, TicketError},
};
use worker::{Env, Request, Response, State, WebSocket, WebSocketIncomingMessage, web_sys};

use crate::{
    config::{self, Config},
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
        lazy::Lazy,
        sockets::Streams,
        wake, websocket,
    },
    ticket::{self, delivery, routes::stream_headers, store::TicketStore},
};

/// Largest event in JSON that the edge hands on: an inline offer with every byte escaped, and room
/// for the attributes.
const MAX_EVENT_BYTES: usize = 7 * MAX_INLINE_OFFER_BYTES;

/// Largest message a waiting client may send. It has nothing to say, but some send pings of their own.
const MAX_CLIENT_MESSAGE_BYTES: usize = 4096;

/// How long after its ticket's expiry the object deletes itself, so that no request that was admitted
/// just before finds it gone.
const CLEAN_UP_DELAY_MS: u64 = 1000;

/// After how long a ticket of an edge whose settings are wrong is looked at again, in milliseconds.
const MISCONFIGURED_RETRY_MS: u64 = 60_000;

/// What the object holds.
#[derive(Debug)]
pub struct TicketObject {
    state: State,
    env: Env,
    streams: Streams,
    store: Lazy<TicketStore>,
    /// How the ticket stands; loaded by the first request.
    standing: RefCell<Option<TicketState>>,
    /// For the ticket's end.
    alarm: Alarm,
}

durable_object!(TicketDo, TicketObject);

impl ObjectHandlers for TicketObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            streams: Streams::of(&state),
            state,
            env,
            store: Lazy::default(),
            standing: RefCell::new(None),
            alarm: Alarm::default(),
        }
    }

    async fn fetch(self: &Rc<Self>, request: &Request) -> worker::Result<Response> {
        request::answer_object(&self.env, request, async |request, head, config| {
            self.answer(request, head, config).await
        })
        .await
    }

    async fn alarm(self: &Rc<Self>) -> Result<(), Error> {
        self.alarm.rang();
        self.expire().await
    }

    async fn message(
        self: &Rc<Self>,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<(), Error> {
        let bytes = match message {
            WebSocketIncomingMessage::String(text) => text.len(),
            WebSocketIncomingMessage::Binary(bytes) => bytes.len(),
        };
        if bytes > MAX_CLIENT_MESSAGE_BYTES {
            websocket::close(socket, websocket::TOO_BIG, "nothing is expected here");
        }
        Ok(())
    }

    async fn closed(self: &Rc<Self>, _socket: &WebSocket) -> Result<(), Error> {
        Ok(())
    }
}

impl TicketObject {
    async fn answer(
        &self,
        request: &web_sys::Request,
        head: &Head,
        config: &Config,
    ) -> Result<Reply, Error> {
        let (text, what) = head
            .path
            .strip_prefix("/tickets/")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(Error::NotFound)?;
        let ticket = Ticket::verify(text, &config.ticket_keys)?;
        self.begin(&ticket, head.now_ms, config).await?;
        match (head.method.as_str(), what) {
            ("POST", "open") => Ok(Answer::new(204).into()),
            ("POST", "settle") => self.settle(request, &ticket).await,
            ("GET", "offer") => self.offer(head).await,
            ("GET", "events") => self.events(request, head, &ticket, config),
            ("GET", "ws") => self.socket(request, &ticket),
            _ => Err(Error::NotFound),
        }
    }

    /// Loads what is known of the ticket; on its first request, sets the alarm that ends the object.
    async fn begin(&self, ticket: &Ticket, now_ms: u64, config: &Config) -> Result<(), Error> {
        if self.standing.borrow().is_some() {
            return Ok(());
        }
        let ends_at = ticket.expires_at_ms(config.ticket_times) + CLEAN_UP_DELAY_MS;
        if now_ms >= ends_at {
            *self.standing.borrow_mut() = Some(TicketState::Expired);
            return Ok(());
        }
        if let Some(standing) = self.store()?.load()? {
            *self.standing.borrow_mut() = Some(standing);
            return Ok(());
        }
        self.store()?.create(ticket)?;
        *self.standing.borrow_mut() = Some(TicketState::Pending);
        // Nothing is awaited in between, so the row and the alarm are written together or not at all.
        self.alarm.set(&self.state, ends_at).await
    }

    async fn settle(&self, request: &web_sys::Request, ticket: &Ticket) -> Result<Reply, Error> {
        let body = platform::read_body(request, MAX_EVENT_BYTES).await?;
        let event = Event::from_json(&body)?;
        let (_, settlement) = Settlement::of_event(event)
            .map_err(|error| Error::Platform(format!("an event that does not settle: {error}")))?;
        let event_id = settlement.event_id.clone();
        let verdict = self.standing(|standing| standing.judge(&settlement));
        if verdict.status == Status::Accepted {
            self.store()?.settle(&settlement, ticket)?;
            self.tell_waiters(&settlement, ticket);
            *self.standing.borrow_mut() = Some(TicketState::Settled(Box::new(settlement)));
        }
        let result = EventResult {
            id: event_id,
            status: verdict.status,
            reason: verdict.reason.map(str::to_owned),
        };
        Ok(Answer::json(200, &result).into())
    }

    async fn offer(&self, head: &Head) -> Result<Reply, Error> {
        let wait: u32 = head
            .query_value("wait")
            .and_then(|value| value.parse().ok())
            .unwrap_or(0);
        let pending = self.standing(|standing| *standing == TicketState::Pending);
        if pending && wait > 0 {
            self.has_room()?;
            let time = Duration::from_secs(wait.min(MAX_WAIT_SECONDS).into());
            wake::wait(&self.object(), time).await;
        }
        self.standing(|standing| match standing {
            TicketState::Expired => Err(TicketError::Expired.into()),
            _ => Ok(Answer::new(200)
                .body(ticket::client::encode(standing.settlement()))
                .into()),
        })
    }

    fn events(
        &self,
        request: &web_sys::Request,
        head: &Head,
        ticket: &Ticket,
        config: &Config,
    ) -> Result<Reply, Error> {
        let known = head.last_event_id();
        let (answer, served) = self.standing(|standing| match standing {
            TicketState::Expired => Err(Error::Ticket(TicketError::Expired)),
            TicketState::Settled(settlement) if known.as_ref() == Some(&settlement.event_id) => {
                let answer = Answer::new(204).header("Cache-Control", "private, no-store");
                Ok((answer, Served::Hit(Tier::Object)))
            }
            TicketState::Settled(settlement) => {
                let frame = delivery::frame(settlement, ticket, head.now_ms);
                let answer = stream_headers(Answer::new(200)).body(frame);
                Ok((answer, Served::Hit(Tier::Object)))
            }
            TicketState::Pending => {
                self.has_room()?;
                let opening = sse::opening(platform::random());
                let stream = self.streams.open(&opening, config.stream_life, None);
                let answer = stream_headers(Answer::new(200)).stream(stream);
                Ok((answer, Served::Miss))
            }
        })?;
        Ok(served_from_here(answer, request, served))
    }

    fn socket(&self, request: &web_sys::Request, ticket: &Ticket) -> Result<Reply, Error> {
        if self.state.get_websockets().len() >= MAX_WAITERS as usize {
            return Err(Error::TooManyWaiters);
        }
        let (client, ours) = websocket::pair()?;
        let served = self.standing(|standing| match standing {
            TicketState::Expired => Err(Error::Ticket(TicketError::Expired)),
            TicketState::Pending => {
                self.state.accept_web_socket(&ours);
                Ok(Served::Miss)
            }
            TicketState::Settled(settlement) => {
                self.state.accept_web_socket(&ours);
                deliver(&ours, settlement, ticket);
                Ok(Served::Hit(Tier::Object))
            }
        })?;
        Ok(served_from_here(Answer::socket(&client), request, served))
    }

    /// Checks that one more may wait, by a stream or a long poll.
    fn has_room(&self) -> Result<(), Error> {
        if self.streams.count() + wake::count(&self.object()) < MAX_WAITERS {
            Ok(())
        } else {
            Err(Error::TooManyWaiters)
        }
    }

    fn tell_waiters(&self, settlement: &Settlement, ticket: &Ticket) {
        let frame = delivery::frame(settlement, ticket, platform::now_ms());
        self.streams.finish(&frame);
        wake::wake_all(&self.object());
        for socket in self.state.get_websockets() {
            deliver(&socket, settlement, ticket);
        }
    }

    /// The ticket's time is over: whoever still waits is told, and everything is deleted.
    async fn expire(&self) -> Result<(), Error> {
        if self.standing(|standing| *standing == TicketState::Expired) {
            // An alarm may go off twice.
            return Ok(());
        }
        let settings = config::of(&self.env);
        let Ok(config) = settings.as_ref() else {
            // Without the ticket's key nobody can be told; that comes when the settings are right.
            let again_at = platform::now_ms() + MISCONFIGURED_RETRY_MS;
            return self.alarm.set(&self.state, again_at).await;
        };
        let text = self.store()?.ticket()?.unwrap_or_default();
        if let Ok(ticket) = Ticket::verify(&text, &config.ticket_keys) {
            let now_ms = platform::now_ms();
            let ends_at = ticket.expires_at_ms(config.ticket_times) + CLEAN_UP_DELAY_MS;
            if now_ms < ends_at {
                // Tickets were made to live longer since the alarm was set.
                return self.alarm.set(&self.state, ends_at).await;
            }
            let expired = Settlement {
                event_id: format!("{}-expired", ticket.uuid()),
                source: "/edge".to_owned(),
                attributes: Attributes::default(),
                stamps: Stamps::default(),
                outcome: Outcome::Failed {
                    reason: "expired".to_owned(),
                },
            };
            self.tell_waiters(&expired, &ticket);
        }
        *self.standing.borrow_mut() = Some(TicketState::Expired);
        self.state.storage().delete_all().await?;
        Ok(())
    }

    fn store(&self) -> Result<&TicketStore, Error> {
        self.store
            .get(|| TicketStore::open(self.state.storage().sql()))
    }

    /// Looks at how the ticket stands. A ticket that nothing was loaded for is pending.
    fn standing<T>(&self, look: impl FnOnce(&TicketState) -> T) -> T {
        look(
            self.standing
                .borrow()
                .as_ref()
                .unwrap_or(&TicketState::Pending),
        )
    }

    /// Returns the object's id, which names it among those who wait.
    fn object(&self) -> String {
        self.state.id().to_string()
    }
}

/// Returns the answer of a route that was handed on to this object.
fn served_from_here(answer: Answer, request: &web_sys::Request, served: Served) -> Reply {
    let mut timings = Timings::default();
    timings.note(Tier::Object, 0);
    with_cache_status(answer, &platform::node(request), served, &timings).into()
}

/// Sends the settlement over a socket and closes it.
fn deliver(socket: &WebSocket, settlement: &Settlement, ticket: &Ticket) {
    let message = delivery::message(settlement, ticket, platform::now_ms());
    // A socket that is gone is none that waits.
    if socket.send_with_str(message).is_ok() {
        websocket::close(socket, websocket::NORMAL, "delivered");
    }
}
