//! Who is connected at one object, which topics each of them has, and what everybody is told: the same
//! at a topic's root and at a relay. How they come and what they say is in `object.rs`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use headstart_edge_rules::topic::{
    catch_up::{Missed, Opening},
    groups::{Batch, GroupKey, TopicGroups},
    presence::{self, Roster},
};
use headstart_protocol::{
    channel::{CLOSE_TOKEN, Place},
    limits::SILENT_AFTER_MS,
    presence::SubscriberList,
    topic::TopicName,
};
use worker::{State, WebSocket, js_sys::Array, wasm_bindgen::JsValue};

use crate::{
    http::error::Error,
    platform::{
        self,
        alarm::Alarm,
        sockets::{self, Sockets},
        websocket,
    },
    ticket::delivery,
    topic::sessions::session::Session,
};

/// The connections of one object.
#[derive(Debug)]
pub struct Connections {
    /// What is open.
    pub sockets: Sockets,
    state: State,
    book: RefCell<Book>,
    /// For what is due next, and the next right that ends.
    alarm: Alarm,
}

#[derive(Debug, Default)]
struct Book {
    groups: TopicGroups,
    rosters: BTreeMap<TopicName, Roster>,
    /// By their secret ids.
    members: HashMap<String, Member>,
    /// WebSockets that have not said yet who they are.
    awaited: HashSet<String>,
    /// When the rights of WebSockets end, in milliseconds since the Unix epoch.
    expiries: BTreeSet<(u64, String)>,
}

#[derive(Debug)]
struct Member {
    group: GroupKey,
    session: Session,
}

impl Book {
    fn join(&mut self, session: &Session) {
        self.awaited.remove(&session.id);
        let topics = session.subscription.topics();
        let group = self.groups.join(&topics, session.transport);
        self.expires(session);
        let session = session.clone();
        self.members
            .insert(session.id.clone(), Member { group, session });
    }

    /// Gives the topics that nobody is left for.
    fn leave(&mut self, id: &str) -> Vec<TopicName> {
        self.awaited.remove(id);
        let Some(Member { group, session }) = self.members.remove(id) else {
            return vec![];
        };
        self.forget_expiry(&session);
        for topic in session.subscription.topics() {
            if let Some(roster) = self.rosters.get_mut(&topic) {
                roster.left(id);
            }
        }
        let emptied = self.groups.leave(&group, session.transport);
        for topic in &emptied {
            self.rosters.remove(topic);
        }
        emptied
    }

    fn expires(&mut self, session: &Session) {
        if let Some(at) = session.socket_expires_at_ms() {
            self.expiries.insert((at, session.id.clone()));
        }
    }

    fn forget_expiry(&mut self, session: &Session) {
        if let Some(at) = session.socket_expires_at_ms() {
            self.expiries.remove(&(at, session.id.clone()));
        }
    }

    /// A connection was told everything just now, or earlier where the object has slept meanwhile.
    fn present(&mut self, session: &Session, now: u64) {
        for topic in session.subscription.topics() {
            let place = session.subscription.place.clone();
            let roster = self.rosters.entry(topic).or_default();
            roster.connected(
                &session.id,
                session.transport,
                place,
                session.connected_at_ms,
                now,
            );
        }
    }

    fn heard(&mut self, id: &str, place: Option<Place>, now: u64) -> bool {
        let Some(Member { session, .. }) = self.members.get(id) else {
            return false;
        };
        for wanted in &session.subscription.wanted {
            if let Some(roster) = self.rosters.get_mut(&wanted.topic) {
                roster.heard(id, place, now);
            }
        }
        true
    }
}

impl Connections {
    /// The connections of an object, of whom nothing is known until [`Connections::restore`].
    pub fn of(state: State) -> Self {
        Self {
            sockets: Sockets::of(&state),
            state,
            book: RefCell::default(),
            alarm: Alarm::default(),
        }
    }

    /// The object.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Finds those who are connected when the object begins anew. Whoever was just about to be told
    /// what it missed comes again.
    pub fn restore(&self) {
        let now = platform::now_ms();
        let mut book = self.book.borrow_mut();
        for session in self.sockets.stream_attachments::<Session>() {
            book.join(&session);
            book.present(&session, now);
        }
        for socket in self.state.get_websockets() {
            let Some(session) = sockets::attachment::<Session>(&socket) else {
                continue;
            };
            if session.subscription.awaited {
                book.awaited.insert(session.id);
            } else if sockets::is_live(&socket) {
                book.join(&session);
                book.present(&session, now);
            } else {
                websocket::close(&socket, websocket::TRY_AGAIN, "connect again");
            }
        }
    }

    /// How many there are, those that have not said yet who they are among them.
    pub fn count(&self) -> u32 {
        let book = self.book.borrow();
        u32::try_from(book.members.len() + book.awaited.len()).unwrap_or(u32::MAX)
    }

    /// How many have this topic.
    pub fn subscribers(&self, topic: &TopicName) -> u32 {
        self.book.borrow().groups.subscribers(topic)
    }

    /// Every topic that somebody is here for.
    pub fn topics(&self) -> Vec<TopicName> {
        self.book.borrow().groups.topics().cloned().collect()
    }

    /// A WebSocket is here that has to say first who it is.
    pub fn awaits(&self, id: &str) {
        self.book.borrow_mut().awaited.insert(id.to_owned());
    }

    /// A connection is here. It counts from now on, and is told nothing until [`Connections::begin`].
    pub fn join(&self, session: &Session) {
        self.book.borrow_mut().join(session);
    }

    /// A connection has gone. Gives the topics that nobody is left for.
    pub fn leave(&self, id: &str) -> Vec<TopicName> {
        self.book.borrow_mut().leave(id)
    }

    /// Streams end without a word to the object. Gives the topics that nobody is left for, as some have
    /// ended.
    pub fn forget_ended(&self) -> Vec<TopicName> {
        let ended = self.sockets.take_ended();
        let mut book = self.book.borrow_mut();
        ended.iter().flat_map(|id| book.leave(id)).collect()
    }

    /// Tells a connection what it missed, and from now on everything. One that has gone is told nothing.
    ///
    /// # Errors
    /// [`Error::Platform`] when the platform does not take it.
    pub fn begin(
        &self,
        id: &str,
        socket: Option<&WebSocket>,
        missed: &[Missed],
    ) -> Result<(), Error> {
        let now_ms = platform::now_ms();
        let mut book = self.book.borrow_mut();
        let Some(Member { session, .. }) = book.members.get(id) else {
            return Ok(());
        };
        let session = session.clone();
        let opening = Opening { missed, id, now_ms };
        match socket {
            None => {
                let retry = delivery::opening(platform::random());
                self.sockets.begin_stream(id, &opening.frames(&retry));
            }
            Some(socket) => {
                for message in opening.messages() {
                    socket.send_with_str(message)?;
                }
                sockets::go_live(socket)?;
            }
        }
        book.present(&session, now_ms);
        for missed in missed {
            if let Some(roster) = book.rosters.get_mut(&missed.topic) {
                roster.caught_up(id, missed.head, now_ms);
            }
        }
        Ok(())
    }

    /// Ends a connection that could not be told what it missed; it comes again.
    pub fn end(&self, id: &str, socket: Option<&WebSocket>) {
        match socket {
            None => self.sockets.end_stream(id),
            Some(socket) => websocket::close(socket, websocket::TRY_AGAIN, "try again later"),
        }
    }

    /// Tells everyone who has the flush's topic. All of them are at the `head` of their other topics.
    pub fn tell(&self, flush: &Batch<'_>, head: impl Fn(&TopicName) -> u64) {
        // An alarm may be late, and nobody is told anything after the end of a right.
        self.end_expired();
        let mut book = self.book.borrow_mut();
        let encoded = book.groups.encode(flush, head);
        for (group, bytes) in &encoded.streams {
            self.sockets.write(group, bytes);
        }
        let messages: Array = encoded.messages.iter().map(JsValue::from).collect();
        for group in &encoded.sockets {
            self.sockets.send(group, &messages);
        }
        if let Some(roster) = book.rosters.get_mut(flush.topic) {
            for update in flush.updates {
                roster.sent(update.sequence, flush.delivered_at_ms);
            }
        }
    }

    /// A connection gave a sign of life, and perhaps said where it is.
    pub fn heard(&self, id: &str, place: Option<Place>) {
        self.book.borrow_mut().heard(id, place, platform::now_ms());
    }

    /// Changes what stands with a WebSocket.
    ///
    /// # Errors
    /// [`Error::Platform`] when the platform does not take it.
    pub fn keep(&self, socket: &WebSocket, session: &Session) -> Result<(), Error> {
        let mut book = self.book.borrow_mut();
        if let Some(members) = book.members.get_mut(&session.id) {
            let before = std::mem::replace(&mut members.session, session.clone());
            book.forget_expiry(&before);
            book.expires(session);
        }
        sockets::attach(socket, session)
    }

    /// A connection says that an update has arrived, and perhaps where it is. Gives whether it is here,
    /// with that topic.
    pub fn acked(&self, id: &str, topic: &TopicName, sequence: u64, place: Option<Place>) -> bool {
        let now = platform::now_ms();
        let mut book = self.book.borrow_mut();
        let heard = book.heard(id, place, now);
        let roster = book.rosters.get_mut(topic);
        heard && roster.is_some_and(|roster| roster.acked(id, sequence, now))
    }

    /// Who is connected to a topic here.
    pub fn list(&self, topic: &TopicName) -> SubscriberList {
        let now = platform::now_ms();
        let mut book = self.book.borrow_mut();
        for socket in self.state.get_websockets() {
            let at = self.sockets.pinged_at_ms(&socket);
            if now.saturating_sub(at) < SILENT_AFTER_MS
                && let Some(session) = sockets::attachment::<Session>(&socket)
            {
                book.heard(&session.id, None, at);
            }
        }
        match book.rosters.get(topic) {
            Some(roster) => roster.list(topic, now),
            None => presence::merge(topic, []),
        }
    }

    /// When the right of the next WebSocket ends, in milliseconds since the Unix epoch; streams end by
    /// themselves.
    fn next_expiry(&self) -> Option<u64> {
        let book = self.book.borrow();
        book.expiries.first().map(|(at, _)| *at)
    }

    /// Sets the object's alarm, unless it is set for sooner: for `due`, in milliseconds since the Unix
    /// epoch, or when the next right ends.
    ///
    /// # Errors
    /// [`Error::Platform`].
    pub async fn set_alarm(&self, due: Option<u64>) -> Result<(), Error> {
        match due.into_iter().chain(self.next_expiry()).min() {
            Some(due) => self.alarm.set(&self.state, due).await,
            None => Ok(()),
        }
    }

    /// The alarm rang.
    pub fn alarm_rang(&self) {
        self.alarm.rang();
        self.end_expired();
    }

    /// Ends the WebSockets whose rights have ended.
    fn end_expired(&self) {
        let now = platform::now_ms();
        if self.next_expiry().is_none_or(|at| at > now) {
            return;
        }
        self.book.borrow_mut().expiries.retain(|(at, _)| *at > now);
        for socket in self.state.get_websockets() {
            let session = sockets::attachment::<Session>(&socket);
            let expires = session.and_then(|session| session.subscription.expires_at_ms());
            if expires.is_some_and(|at| at <= now) {
                websocket::close(&socket, CLOSE_TOKEN, "the token has expired");
            }
        }
    }
}
