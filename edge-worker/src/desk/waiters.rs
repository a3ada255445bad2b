//! Whoever waits at a desk for a ticket to settle: by a stream, a long poll, or a hibernating WebSocket.
//! Streams and long polls keep the object in memory, so their number is bounded for the whole desk; a
//! WebSocket costs hardly anything while it waits.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::Duration,
};

use headstart_protocol::{
    limits::MAX_WAITERS,
    settlement::Settlement,
    sse,
    ticket::{self, Ticket},
};
use uuid::Uuid;
use wasm_bindgen::{JsCast, JsValue};
use worker::{State, WebSocket, web_sys::ReadableStream, worker_sys::DurableObjectState};

use crate::{
    desk::attachment::Attachment,
    http::error::Error,
    platform::{self, sockets::Streams, wake, websocket},
    ticket::delivery,
};

/// The tag of every WebSocket that waits. The id of a link has no space.
const TAG: &str = "all waiters";

/// Most WebSockets that wait at one desk. The platform takes 32,768 at an object, links included.
const MAX_SOCKETS: usize = 30_000;

/// Who waits at one desk.
#[derive(Debug)]
pub struct Waiters {
    state: State,
    streams: Streams,
    polls: Cell<u32>,
    /// At most so many WebSockets wait.
    sockets: Cell<usize>,
    /// The tickets that somebody has waited for and that have not settled, the oldest first, since their
    /// names begin with the time of minting.
    tickets: RefCell<BTreeMap<Uuid, String>>,
}

impl Waiters {
    /// Returns who waits at an object: after a sleep, those with a WebSocket.
    pub fn of(state: &State) -> Self {
        let raw: &JsValue = state.as_raw().as_ref();
        let state = State::from(raw.clone().unchecked_into::<DurableObjectState>());
        let sockets = state.get_websockets_with_tag(TAG);
        let count = sockets.len();
        let tickets =
            sockets
                .into_iter()
                .filter_map(|socket| match socket.deserialize_attachment() {
                    Ok(Some(Attachment::Waiter { ticket })) => {
                        let (name, _) = ticket.split_once('.')?;
                        Some((Uuid::try_parse(name).ok()?, ticket))
                    }
                    _ => None,
                });
        Self {
            tickets: RefCell::new(tickets.collect()),
            streams: Streams::of(&state),
            polls: Cell::new(0),
            sockets: Cell::new(count),
            state,
        }
    }

    /// Opens a stream to somebody who waits for a ticket. It ends after about `life`.
    ///
    /// # Errors
    /// [`Error::TooManyWaiters`].
    pub fn stream(
        &self,
        ticket: &Ticket,
        life: Duration,
        most: u32,
    ) -> Result<ReadableStream, Error> {
        self.admit(ticket, most)?;
        let opening = sse::opening(platform::random());
        let group = ticket.uuid().to_string();
        Ok(self.streams.open(&group, &opening, life, None))
    }

    /// Waits until a ticket settles or expires, at most for `time`.
    ///
    /// # Errors
    /// [`Error::TooManyWaiters`].
    pub async fn poll(&self, ticket: &Ticket, time: Duration, most: u32) -> Result<(), Error> {
        self.admit(ticket, most)?;
        let _poll = Poll::begin(&self.polls);
        wake::wait(&self.at(&ticket.uuid().to_string()), time).await;
        Ok(())
    }

    /// Accepts a WebSocket that waits for a ticket.
    ///
    /// # Errors
    /// [`Error::TooManyWaiters`], [`Error::Platform`].
    pub fn accept(&self, socket: &WebSocket, ticket: &Ticket) -> Result<(), Error> {
        let tag = ticket.uuid().to_string();
        let of_ticket = self.state.get_websockets_with_tag(&tag).len();
        if self.sockets.get() >= MAX_SOCKETS {
            // To list them takes the longer the more there are, so those that have gone are found out only now.
            let sockets = self.state.get_websockets_with_tag(TAG).len();
            self.sockets.set(sockets);
        }
        if of_ticket >= MAX_WAITERS as usize || self.sockets.get() >= MAX_SOCKETS {
            return Err(Error::TooManyWaiters);
        }
        self.sockets.set(self.sockets.get() + 1);
        self.state.accept_websocket_with_tags(socket, &[&tag, TAG]);
        self.expect(ticket);
        let ticket = ticket.as_str().to_owned();
        socket.serialize_attachment(Attachment::Waiter { ticket })?;
        Ok(())
    }

    /// Tells everyone who waits for a ticket what it has settled to: streams once that is durable, and the
    /// platform holds back all else until then.
    pub fn tell(&self, settlement: &Settlement, ticket: &Ticket) {
        if self.tickets.borrow_mut().remove(&ticket.uuid()).is_none() {
            return;
        }
        let name = ticket.uuid().to_string();
        if self.streams.count_of(&name) > 0 {
            let frame = delivery::frame(settlement, ticket, platform::now_ms());
            self.streams.finish(&name, &frame);
        }
        wake::wake_all(&self.at(&name));
        for socket in self.state.get_websockets_with_tag(&name) {
            tell_socket(&socket, settlement, ticket);
        }
    }

    /// Lets whoever waits for a ticket go that cannot settle, because its key is gone.
    pub fn dismiss(&self, ticket: Uuid) {
        self.tickets.borrow_mut().remove(&ticket);
        let name = ticket.to_string();
        wake::wake_all(&self.at(&name));
        for socket in self.state.get_websockets_with_tag(&name) {
            websocket::close(&socket, websocket::POLICY, "this is not a ticket of ours");
        }
    }

    /// Returns the tickets that somebody waits for and that were minted before `ms`.
    pub fn minted_before(&self, ms: u64) -> Vec<(Uuid, String)> {
        let tickets = self.tickets.borrow();
        let old = tickets.range(..ticket::first_uuid(ms));
        old.map(|(uuid, text)| (*uuid, text.clone())).collect()
    }

    /// Returns when the oldest ticket that somebody waits for was minted, in milliseconds since the Unix
    /// epoch.
    pub fn oldest_minted_at_ms(&self) -> Option<u64> {
        let tickets = self.tickets.borrow();
        let (uuid, _) = tickets.first_key_value()?;
        Some(ticket::minted_at_ms(*uuid))
    }

    /// Lets one more wait by a stream or a long poll, of `most` at this desk.
    fn admit(&self, ticket: &Ticket, most: u32) -> Result<(), Error> {
        let name = ticket.uuid().to_string();
        let of_ticket = self.streams.count_of(&name) + wake::count(&self.at(&name));
        if of_ticket >= MAX_WAITERS || self.streams.count() + self.polls.get() >= most {
            return Err(Error::TooManyWaiters);
        }
        self.expect(ticket);
        Ok(())
    }

    fn expect(&self, ticket: &Ticket) {
        let text = ticket.as_str().to_owned();
        self.tickets.borrow_mut().insert(ticket.uuid(), text);
    }

    /// Returns what names those who wait by long polls: there is one memory for all objects.
    fn at(&self, name: &str) -> String {
        format!("{} {name}", self.state.id())
    }
}

/// Sends the settlement over a socket and closes it.
fn tell_socket(socket: &WebSocket, settlement: &Settlement, ticket: &Ticket) {
    let message = delivery::message(settlement, ticket, platform::now_ms());
    // A socket that is gone is none that waits.
    if socket.send_with_str(message).is_ok() {
        websocket::close(socket, websocket::NORMAL, "delivered");
    }
}

/// Counts one that waits by a long poll, for as long as it is held.
struct Poll<'a>(&'a Cell<u32>);

impl<'a> Poll<'a> {
    fn begin(polls: &'a Cell<u32>) -> Self {
        polls.set(polls.get() + 1);
        Self(polls)
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
