//! The sessions of one object, a topic's root or a relay: who is connected there and what they are told.
//! Who that is, and with which topics, is in the rules' `SessionTable`; this carries it out. How they come
//! and what they say is in `object.rs`.

pub mod ack;
pub mod object;
pub mod session;

use std::cell::{Cell, RefCell};

use headstart_edge_rules::topic::{
    batch::Batch,
    catch_up::Missed,
    sessions::{Session, SessionTable},
};
use headstart_protocol::{
    channel::{CLOSE_TOKEN, Place},
    limits::SILENT_AFTER_MS,
    presence::SubscriberList,
    topic::TopicName,
};
use worker::{State, WebSocket};

use crate::{
    http::error::Error,
    platform::{
        self,
        alarm::Alarm,
        sockets::{self, Sockets},
        websocket,
    },
};

/// The sessions of one object.
#[derive(Debug)]
pub struct Sessions {
    /// What is open.
    pub sockets: Sockets,
    state: State,
    table: RefCell<SessionTable>,
    /// Those who were connected when the object began are known.
    restored: Cell<bool>,
    /// For what is due next, and the next right that ends.
    alarm: Alarm,
}

impl Sessions {
    /// Returns the sessions of an object, of which nothing is known until [`Sessions::restore`].
    pub fn of(state: State) -> Self {
        Self {
            sockets: Sockets::of(&state),
            state,
            table: RefCell::default(),
            restored: Cell::new(false),
            alarm: Alarm::default(),
        }
    }

    /// Returns the object.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Finds those who are connected when the object begins anew. Whoever was just about to be told
    /// what it missed comes again. Nothing happens where that was done before.
    pub fn restore(&self) {
        if self.restored.replace(true) {
            return;
        }
        let now = platform::now_ms();
        let mut table = self.table.borrow_mut();
        for session in self.sockets.stream_attachments() {
            table.restore(session, now);
        }
        for socket in self.state.get_websockets() {
            let Some(session) = sockets::attachment::<Session>(&socket) else {
                continue;
            };
            if session.subscription.awaited {
                table.wait_for(&session.id);
            } else if sockets::is_live(&socket) {
                table.restore(session, now);
            } else {
                websocket::close(&socket, websocket::TRY_AGAIN, "connect again");
            }
        }
    }

    /// Returns how many there are, those that have not said yet who they are among them.
    pub fn count(&self) -> u32 {
        self.table.borrow().count()
    }

    /// Returns how many have this topic.
    pub fn subscribers(&self, topic: &TopicName) -> u32 {
        self.table.borrow().subscribers(topic)
    }

    /// Returns every topic that somebody is here for.
    pub fn topics(&self) -> Vec<TopicName> {
        self.table.borrow().topics().cloned().collect()
    }

    /// Adds a WebSocket that has to say first who it is.
    pub fn wait_for(&self, id: &str) {
        self.table.borrow_mut().wait_for(id);
    }

    /// Adds a session. It counts from now on, and is told nothing until [`Sessions::begin`].
    pub fn join(&self, session: Session) {
        self.table.borrow_mut().join(session);
    }

    /// Removes a session. Returns the topics that nobody is left for.
    pub fn leave(&self, id: &str) -> Vec<TopicName> {
        self.table.borrow_mut().leave(id)
    }

    /// Removes the streams that have ended, which they do without a word. Returns the topics that nobody
    /// is left for.
    pub fn forget_ended(&self) -> Vec<TopicName> {
        let ended = self.sockets.take_ended();
        let mut table = self.table.borrow_mut();
        ended.iter().flat_map(|id| table.leave(id)).collect()
    }

    /// Tells a session what it missed, and from now on everything. One that has gone is told nothing.
    ///
    /// # Errors
    /// [`Error::Platform`] when the platform does not take it.
    pub fn begin(
        &self,
        id: &str,
        socket: Option<&WebSocket>,
        missed: Vec<Missed>,
    ) -> Result<(), Error> {
        let (jitter, now) = (platform::random(), platform::now_ms());
        let opening = self.table.borrow_mut().begin(id, missed, jitter, now);
        let Some(opening) = opening else {
            return Ok(());
        };
        match socket {
            None => self.sockets.begin_stream(id, &opening),
            Some(socket) => {
                for message in &opening {
                    websocket::send(socket, message)?;
                }
                sockets::go_live(socket)?;
            }
        }
        Ok(())
    }

    /// Ends a session that could not be told what it missed; its client comes again.
    pub fn end(&self, id: &str, socket: Option<&WebSocket>) {
        match socket {
            None => self.sockets.end_stream(id),
            Some(socket) => websocket::close(socket, websocket::TRY_AGAIN, "try again later"),
        }
    }

    /// Tells everyone who has the batch's topic. All of them are at the `head` of their other topics.
    pub fn tell(&self, batch: &Batch<'_>, head: impl Fn(&TopicName) -> u64) {
        // An alarm may be late, and nobody is told anything after the end of a right.
        self.end_expired();
        let encoded = self.table.borrow_mut().tell(batch, head);
        for encoded in &encoded {
            self.sockets.tell(encoded);
        }
    }

    /// Notes a sign of life of a session, and perhaps where it is.
    pub fn heard(&self, id: &str, place: Option<Place>) {
        let now = platform::now_ms();
        self.table.borrow_mut().heard(id, place, now);
    }

    /// Changes the token or the place of a WebSocket's session.
    ///
    /// # Errors
    /// [`Error::Platform`] when the platform does not take it.
    pub fn keep(&self, socket: &WebSocket, session: &Session) -> Result<(), Error> {
        self.table.borrow_mut().keep(session);
        sockets::attach(socket, session)
    }

    /// Notes that an update has arrived at a session, and perhaps where that is. Returns whether it is
    /// here, with that topic.
    pub fn acked(&self, id: &str, topic: &TopicName, sequence: u64, place: Option<Place>) -> bool {
        let now = platform::now_ms();
        let mut table = self.table.borrow_mut();
        table.acked(id, topic, sequence, place, now)
    }

    /// Returns who is connected to a topic here.
    pub fn list(&self, topic: &TopicName) -> SubscriberList {
        let now = platform::now_ms();
        let mut table = self.table.borrow_mut();
        for socket in self.state.get_websockets() {
            let at = self.sockets.pinged_at_ms(&socket);
            if now.saturating_sub(at) < SILENT_AFTER_MS
                && let Some(session) = sockets::attachment::<Session>(&socket)
            {
                table.heard(&session.id, None, at);
            }
        }
        table.list(topic, now)
    }

    /// Sets the object's alarm, unless it is set for sooner: for `due`, in milliseconds since the Unix
    /// epoch, or when the next right ends.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub async fn set_alarm(&self, due: Option<u64>) -> Result<(), Error> {
        let next_expiry = self.table.borrow().next_expiry();
        match due.into_iter().chain(next_expiry).min() {
            Some(due) => self.alarm.set(&self.state, due).await,
            None => Ok(()),
        }
    }

    /// Does what is due when the object's alarm has rung.
    pub fn alarm_rang(&self) {
        self.alarm.rang();
        self.end_expired();
    }

    /// Ends the WebSockets whose rights have ended.
    fn end_expired(&self) {
        let expired = self.table.borrow_mut().take_expired(platform::now_ms());
        if expired.is_empty() {
            return;
        }
        for socket in self.state.get_websockets() {
            let session = sockets::attachment::<Session>(&socket);
            if session.is_some_and(|session| expired.contains(&session.id)) {
                websocket::close(&socket, CLOSE_TOKEN, "the token has expired");
            }
        }
    }
}
