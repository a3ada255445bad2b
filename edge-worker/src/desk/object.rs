//! The Durable Object of a login desk: keeps logins until an origin has dealt with them, and leases
//! them out over the links that origins hold open. Its requests are listed in `client.rs`, its
//! rules are in `headstart_edge_rules::desk`.
//!
//! Touches its own SQLite (`store.rs`), one alarm for the next deadline, the links' hibernating
//! WebSockets, and the ticket of a login that fails.

use std::rc::Rc;

use futures_util::future::join_all;
use headstart_edge_rules::desk::{CloseReason, Desk, DeskTimes, Effect, Greeting};
use headstart_protocol::{
    limits::{MAX_ATTRIBUTE_BYTES, MAX_LINK_MESSAGE_BYTES, REPLAY_MEMORY_MS},
    link::{FromEdge, FromOrigin},
    settlement::{Attributes, Outcome, Settlement},
    signature::ID_HEADER,
    stamps::Stamps,
    ticket::{Ticket, TicketError},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use worker::{
    Env, Request, Response, State, WebSocket, WebSocketIncomingMessage, console_log, console_warn,
    web_sys,
};

use crate::{
    config,
    desk::store::{DeskStore, Enqueue, Enqueued},
    http::{
        answer::Answer,
        cors::Cors,
        error::Error,
        head::Head,
        request::{self, Reply},
    },
    platform::{
        self,
        alarm::Alarm,
        durable_object::{ObjectHandlers, durable_object},
        lazy::{Lazy, Loaded},
        websocket,
    },
    ticket,
};

/// Largest request from the edge, in bytes: a login event and the signature's particulars.
const MAX_REQUEST_BYTES: usize = MAX_LINK_MESSAGE_BYTES + 4096;

/// What a link's socket remembers while the desk sleeps.
#[derive(Debug, Serialize, Deserialize)]
struct Attachment {
    /// The link's id: the `webhook-id` of its handshake, which no other link can have.
    link: String,
    greeting: Option<Greeting>,
}

/// What the object holds.
#[derive(Debug)]
pub struct DeskObject {
    state: State,
    env: Env,
    store: Lazy<DeskStore>,
    /// Built by the first event that needs it.
    desk: Loaded<Desk>,
    /// For the next deadline.
    alarm: Alarm,
}

durable_object!(LoginDeskDo, DeskObject);

impl ObjectHandlers for DeskObject {
    fn new(state: State, env: Env) -> Self {
        websocket::answer_pings(&state);
        Self {
            state,
            env,
            store: Lazy::default(),
            desk: Loaded::default(),
            alarm: Alarm::default(),
        }
    }

    async fn fetch(self: &Rc<Self>, request: &Request) -> worker::Result<Response> {
        let request = request.inner();
        let head = Head::read(request);
        let reply = self.answer(request, &head).await;
        Ok(request::finish(reply, &head, &Cors::none())?.into())
    }

    async fn alarm(self: &Rc<Self>) -> Result<(), Error> {
        self.alarm.rang();
        self.wake().await
    }

    async fn message(
        self: &Rc<Self>,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<(), Error> {
        match read(message) {
            Ok(message) => self.hear(socket, message).await,
            Err(refusal) => {
                websocket::close(socket, refusal.code, refusal.reason);
                self.closed(socket).await
            }
        }
    }

    async fn closed(self: &Rc<Self>, socket: &WebSocket) -> Result<(), Error> {
        let Some(Attachment { link, .. }) = socket.deserialize_attachment()? else {
            return Ok(());
        };
        let now_ms = platform::now_ms();
        let effects = self.with_desk(|desk| desk.close_link(&link, now_ms))?;
        self.perform(effects, now_ms)?;
        self.arm().await
    }
}

impl DeskObject {
    async fn answer(&self, request: &web_sys::Request, head: &Head) -> Result<Reply, Error> {
        match (head.method.as_str(), head.path.as_str()) {
            ("POST", "/logins") => self.enqueue(request, head.now_ms).await,
            ("GET", "/origin/link") => self.open_link(request, head).await,
            _ => Err(Error::NotFound),
        }
    }

    async fn enqueue(&self, request: &web_sys::Request, now_ms: u64) -> Result<Reply, Error> {
        let body = platform::read_body(request, MAX_REQUEST_BYTES).await?;
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
            && let Some((ticket, digest)) = store.used(&login_key(&webhook.id), now_ms)?
        {
            return Ok(if digest == webhook.digest {
                Enqueued::Repeated { ticket }
            } else {
                Enqueued::Conflict
            });
        }
        let id = Uuid::try_parse(&login.event.id)
            .map_err(|error| Error::Platform(format!("a login's id: {error}")))?;
        self.check_links(now_ms)?;
        // The event is there before its login can be leased.
        store.add(id, &login.event)?;
        let Ok(effects) = self.with_desk(|desk| desk.enqueue(id, now_ms))? else {
            store.delete(id)?;
            return Ok(Enqueued::Full);
        };
        if let Some(webhook) = &login.webhook {
            let ticket = login.event.subject.as_deref().unwrap_or_default();
            store.use_id(&login_key(&webhook.id), ticket, &webhook.digest, now_ms)?;
        }
        self.perform(effects, now_ms)?;
        Ok(Enqueued::Stored)
    }

    async fn open_link(&self, request: &web_sys::Request, head: &Head) -> Result<Reply, Error> {
        let settings = config::of(&self.env);
        let config = config::ready(&settings)?;
        let link = platform::header(request, ID_HEADER).unwrap_or_default();
        let store = self.store()?;
        if store.used(&link_key(&link), head.now_ms)?.is_some() {
            return Err(Error::LinkReplayed);
        }
        store.use_id(&link_key(&link), "", "", head.now_ms)?;
        self.with_desk(|desk| desk.open_link(&link, head.now_ms))?;
        let (client, server) = websocket::pair()?;
        self.state.accept_websocket_with_tags(&server, &[&link]);
        server.serialize_attachment(Attachment {
            link,
            greeting: None,
        })?;
        let desk = head.query_value("desk").and_then(|desk| desk.parse().ok());
        server.send(&FromEdge::Welcome {
            desk: desk.unwrap_or_default(),
            desks: config.desks,
            lease_ms: config.lease_ms,
        })?;
        self.arm().await?;
        Ok(Answer::socket(&client).into())
    }

    async fn hear(&self, socket: &WebSocket, message: FromOrigin) -> Result<(), Error> {
        let Some(Attachment { link, .. }) = socket.deserialize_attachment()? else {
            return Ok(());
        };
        let now_ms = platform::now_ms();
        self.check_links(now_ms)?;
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
            FromOrigin::Ack { lease } => desk.ack(&link, &lease, now_ms),
            FromOrigin::Release { lease } => desk.release(&link, &lease, now_ms),
            FromOrigin::Drain {} => {
                desk.drain(&link);
                vec![]
            }
        })?;
        let greeting = self.with_desk(|desk| desk.greeting(&link).cloned())?;
        socket.serialize_attachment(Attachment { link, greeting })?;
        self.perform(effects, now_ms)?;
        self.arm().await
    }

    /// Does what is due: the alarm's work.
    async fn wake(&self) -> Result<(), Error> {
        let now_ms = platform::now_ms();
        self.check_links(now_ms)?;
        let effects = self.with_desk(|desk| desk.tick(now_ms))?;
        let failures = self.perform(effects, now_ms)?;
        join_all(
            failures
                .into_iter()
                .map(|(login, reason)| self.tell_failure(login, reason)),
        )
        .await;
        let any_used = self.store()?.forget(now_ms)?;
        self.arm().await?;
        if any_used {
            let forget_at = now_ms + REPLAY_MEMORY_MS;
            self.alarm.set(&self.state, forget_at).await?;
        }
        Ok(())
    }

    /// Finds out which links are dead, of those that the desk has not heard for long. One that has never
    /// pinged does not tell: it counts as alive.
    fn check_links(&self, now_ms: u64) -> Result<(), Error> {
        for link in self.with_desk(|desk| desk.unheard(now_ms))? {
            let sockets = self.state.get_websockets_with_tag(&link);
            let heard_at = sockets
                .first()
                .map_or(0, |socket| self.last_ping(socket, now_ms));
            let effects = self.with_desk(|desk| desk.last_heard(&link, heard_at, now_ms))?;
            self.perform(effects, now_ms)?;
        }
        Ok(())
    }

    fn last_ping(&self, socket: &WebSocket, now_ms: u64) -> u64 {
        websocket::last_ping_ms(&self.state, socket).unwrap_or(now_ms)
    }

    /// Carries out what the desk decided, except telling failures, which takes time: those it gives back.
    fn perform(&self, effects: Vec<Effect>, now_ms: u64) -> Result<Vec<(Uuid, String)>, Error> {
        self.try_perform(effects, now_ms).inspect_err(|_| {
            // What could not be stored did not happen: the next event builds the desk from what was.
            self.desk.forget();
        })
    }

    fn try_perform(&self, effects: Vec<Effect>, now_ms: u64) -> Result<Vec<(Uuid, String)>, Error> {
        let store = self.store()?;
        let mut failures = Vec::new();
        let mut todo = effects;
        while !todo.is_empty() {
            let mut broken = Vec::new();
            let mut effects = todo.into_iter().peekable();
            while let Some(effect) = effects.next() {
                if let (Effect::Save(id, _), Some(Effect::Save(next, _))) =
                    (&effect, effects.peek())
                    && id == next
                {
                    // It is stored again at once: a login that is leased as soon as it comes.
                    continue;
                }
                match effect {
                    Effect::Save(id, login) => store.save(id, &login)?,
                    Effect::Delete(id) => store.delete(id)?,
                    Effect::Lease {
                        link,
                        login,
                        lease,
                        expires_in_ms,
                    } => {
                        if !self.send_lease(&link, login, &lease, expires_in_ms)? {
                            broken.push((link, lease));
                        }
                    }
                    Effect::Fail { login, reason } => failures.push((login, reason)),
                    Effect::Close { link, why } => self.close_link(link, why)?,
                }
            }
            todo = Vec::new();
            for (link, lease) in broken {
                todo.extend(self.with_desk(|desk| desk.undelivered(&link, &lease, now_ms))?);
            }
        }
        Ok(failures)
    }

    /// Sends a lease; false when the link is gone.
    fn send_lease(
        &self,
        link: &str,
        login: Uuid,
        lease: &str,
        expires_in_ms: u64,
    ) -> Result<bool, Error> {
        let Some(event) = self.store()?.event(login)? else {
            console_warn!("login {login} has no event");
            return Ok(true);
        };
        let message = FromEdge::Lease {
            lease: lease.to_owned(),
            expires_in_ms,
            event: Box::new(event),
        };
        let sockets = self.state.get_websockets_with_tag(link);
        Ok(sockets
            .first()
            .is_some_and(|socket| socket.send(&message).is_ok()))
    }

    /// Closes the socket of a link that the desk has closed.
    fn close_link(&self, link: String, why: CloseReason) -> Result<(), Error> {
        let (code, reason) = match why {
            CloseReason::Replaced => (websocket::REPLACED, "another link has said hello"),
            CloseReason::Dead => (websocket::TIMED_OUT, "nothing was heard for too long"),
        };
        console_log!("link {link} is closed: {reason}");
        if let Some(socket) = self.state.get_websockets_with_tag(&link).first() {
            // The platform may have it for a while: a desk that is built anew leases nothing to it.
            let greeting = None;
            socket.serialize_attachment(Attachment { link, greeting })?;
            websocket::close(socket, code, reason);
        }
        Ok(())
    }

    /// Settles the ticket of a login as failed. What does not work now is tried again by the alarm.
    async fn tell_failure(&self, login: Uuid, reason: String) {
        match self.settle_as_failed(login, &reason).await {
            Ok(()) => console_log!("login {login} failed: {reason}"),
            // Nobody can wait for either.
            Err(Error::Ticket(TicketError::Expired)) => {}
            Err(Error::Ticket(TicketError::Unknown)) => {
                console_warn!("login {login} is dropped: its ticket is of a key that is gone");
            }
            Err(error) => return error.log(),
        }
        let told = self
            .with_desk(|desk| desk.failure_told(login))
            .and_then(|effects| self.perform(effects, platform::now_ms()));
        if let Err(error) = told {
            error.log();
        }
    }

    async fn settle_as_failed(&self, login: Uuid, reason: &str) -> Result<(), Error> {
        let settings = config::of(&self.env);
        let config = config::ready(&settings)?;
        let event = self.store()?.event(login)?;
        let Some(text) = event.and_then(|event| event.subject) else {
            return Ok(());
        };
        let ticket = Ticket::admit(
            &text,
            &config.ticket_keys,
            platform::now_ms(),
            config.ticket_times,
        )?;
        let settlement = Settlement {
            event_id: format!("{login}-undelivered"),
            source: "/edge/desk".to_owned(),
            attributes: Attributes::default(),
            stamps: Stamps::default(),
            outcome: Outcome::Failed {
                reason: reason.to_owned(),
            },
        };
        // Whether it is taken or another event was first, the ticket has settled.
        ticket::client::settle(&self.env, &ticket, &settlement.to_event(&ticket)).await?;
        Ok(())
    }

    /// Sets the alarm for the next deadline.
    async fn arm(&self) -> Result<(), Error> {
        match self.with_desk(|desk| desk.next_deadline())? {
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

    /// Builds the desk from what is stored and the sockets that are open.
    fn restore(&self) -> Result<(), Error> {
        let settings = config::of(&self.env);
        let config = config::ready(&settings)?;
        let times = DeskTimes {
            lease_ms: config.lease_ms,
            login_timeout_ms: config.login_timeout_ms,
        };
        let now_ms = platform::now_ms();
        let links = self
            .state
            .get_websockets()
            .into_iter()
            .filter_map(|socket| {
                let Attachment { link, greeting } = socket.deserialize_attachment().ok()??;
                Some((link, greeting, self.last_ping(&socket, now_ms)))
            });
        let (desk, effects) = Desk::restore(times, self.store()?.logins()?, links, now_ms);
        self.desk.load(desk);
        self.perform(effects, now_ms)?;
        Ok(())
    }
}

/// Why a link is closed, as its origin is told.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    code: u16,
    reason: &'static str,
}

/// Reads a message from a link.
fn read(message: WebSocketIncomingMessage) -> Result<FromOrigin, Refusal> {
    let refuse = |code, reason| Err(Refusal { code, reason });
    let text = match message {
        WebSocketIncomingMessage::Binary(_) => {
            return refuse(websocket::UNSUPPORTED, "messages must be text");
        }
        WebSocketIncomingMessage::String(text) => text,
    };
    if text.len() > MAX_LINK_MESSAGE_BYTES {
        return refuse(websocket::TOO_BIG, "the message is too large");
    }
    let Ok(message) = serde_json::from_str(&text) else {
        return refuse(websocket::MALFORMED, "not a message of this link");
    };
    match &message {
        FromOrigin::Hello { origin, .. }
            if origin.is_empty()
                || origin.len() > MAX_ATTRIBUTE_BYTES
                || origin.chars().any(char::is_control) =>
        {
            refuse(
                websocket::POLICY,
                "the origin needs a name of up to 256 bytes",
            )
        }
        FromOrigin::Hello { instance, .. } if instance.len() > MAX_ATTRIBUTE_BYTES => refuse(
            websocket::POLICY,
            "an instance has a name of up to 256 bytes",
        ),
        _ => Ok(message),
    }
}

/// Returns under what the `webhook-id` of a login is remembered.
fn login_key(id: &str) -> String {
    format!("login:{id}")
}

/// Returns under what the `webhook-id` of a handshake is remembered.
fn link_key(id: &str) -> String {
    format!("link:{id}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(json: &str) -> WebSocketIncomingMessage {
        WebSocketIncomingMessage::String(json.to_owned())
    }

    #[test]
    fn a_message_of_the_link_is_read() {
        let message = read(text(r#"{"ack":{"lease":"a.1"}}"#)).unwrap();
        let lease = "a.1".to_owned();
        assert_eq!(message, FromOrigin::Ack { lease });
    }

    #[test]
    fn anything_else_closes_the_link_with_a_fitting_code() {
        let long = "x".repeat(MAX_LINK_MESSAGE_BYTES + 1);
        let nameless = r#"{"hello":{"origin":"","capacity":1,"held":[]}}"#;
        let instance = "x".repeat(MAX_ATTRIBUTE_BYTES + 1);
        let hello = json!({ "origin": "a", "instance": instance, "capacity": 1, "held": [] });
        let long_instance = json!({ "hello": hello }).to_string();
        for (message, code) in [
            (WebSocketIncomingMessage::Binary(vec![1]), 1003),
            (text(&long), 1009),
            (text("{"), 1007),
            (text(r#"{"shutdown":{}}"#), 1007),
            (text(nameless), 1008),
            (text(&long_instance), 1008),
        ] {
            assert_eq!(read(message).unwrap_err().code, code);
        }
    }
}
