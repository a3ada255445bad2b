//! Who is connected to a topic's root object, and who watches that. Its rules are in `presence.rs`.

use std::{rc::Rc, time::Duration};

use headstart_protocol::{
    limits::{MAX_ACK_BODY_BYTES, SILENT_AFTER_MS},
    presence::{SubscriberList, Transport},
    sse::Frame,
};
use serde::Serialize;
use worker::web_sys;

use super::{
    crowd::{self, Readers},
    presence::{self, Roster},
    root_connections::served_from_here,
    root_object::Root,
    seat::Seat,
    subscribers::AckBody,
    subscription::Subscription,
};
use crate::{
    answer::Answer, call::Reply, config::Config, delivery, error::Error, head::Head, platform,
    tickets::stream_headers, waiters,
};

impl Root {
    /// Those who are connected when the object begins anew.
    pub(super) fn roster(&self) -> Roster {
        let now = platform::now_ms();
        let mut roster = Roster::default();
        for seat in self.seats() {
            if !seat.subscription.awaited {
                let place = seat.subscription.place;
                roster.connected(&seat.id, Transport::Ws, place, seat.connected_at_ms, now);
            }
        }
        roster
    }

    pub(super) fn connected(
        &self,
        id: &str,
        transport: Transport,
        subscription: &Subscription,
        connected_at: u64,
    ) -> Result<(), Error> {
        let now = platform::now_ms();
        let ended = self.crowd.take_ended();
        self.with(|memory| {
            for id in &ended {
                memory.roster.left(id);
            }
            let place = subscription.place.clone();
            memory
                .roster
                .connected(id, transport, place, connected_at, now);
            memory.roster.caught_up(id, memory.history.head(), now);
        })
    }

    /// Who is connected now.
    pub(super) fn list(&self) -> Result<SubscriberList, Error> {
        let now = platform::now_ms();
        let ended = self.crowd.take_ended();
        let sockets = self.state.get_websockets();
        let pinged: Vec<(String, u64)> = sockets
            .iter()
            .filter_map(|socket| {
                let at = self.crowd.pinged_at_ms(socket);
                let fresh = now.saturating_sub(at) < SILENT_AFTER_MS;
                let seat: Seat = fresh.then(|| crowd::attachment(socket))??;
                Some((seat.id, at))
            })
            .collect();
        self.with(|memory| {
            for id in &ended {
                memory.roster.left(id);
            }
            for (id, at) in &pinged {
                memory.roster.heard(id, None, *at);
            }
            memory.roster.list(&memory.topic, now)
        })
    }

    pub(super) fn subscribers(&self) -> Result<Reply, Error> {
        Ok(Answer::json(200, &self.list()?).into())
    }

    /// Opens a stream of who is connected: all of them first, then changes.
    pub(super) fn watch(
        self: &Rc<Self>,
        request: &web_sys::Request,
        head: &Head,
        config: &Config,
    ) -> Result<Reply, Error> {
        let subscription: Subscription = platform::read_subscription(request)?;
        if self.crowd.streams(Readers::Watchers) >= waiters::MAX_WAITERS {
            return Err(Error::TooManySubscribers);
        }
        let list = self.list()?;
        let mut first = delivery::opening(platform::random());
        first.extend(frame("subscribers", &list));
        let at_most = subscription
            .expires_at_ms()
            .map(|at| Duration::from_millis(at.saturating_sub(head.now_ms)));
        let stream =
            self.crowd
                .open_stream(Readers::Watchers, "", &first, config.stream_life, at_most);
        let begun = self.with(|memory| {
            let begun = memory.watched.is_none();
            if begun {
                memory.watched = Some(presence::Told::list(&list, head.now_ms));
            }
            begun
        })?;
        if begun {
            self.later(presence::TELL_EVERY_MS, Self::tell_watchers);
        }
        let answer = stream_headers(Answer::new(200)).stream(stream);
        Ok(served_from_here(answer, &subscription.node))
    }

    /// Tells those who watch what has changed, and goes on every second until nobody watches.
    pub(super) fn tell_watchers(self: &Rc<Self>) -> Result<(), Error> {
        let watched = self.crowd.streams(Readers::Watchers) > 0;
        let list = self.list()?;
        let changes = self.with(|memory| {
            if !watched {
                memory.watched = None;
            }
            let told = memory.watched.as_mut()?;
            told.changes(&list, platform::now_ms())
        })?;
        if let Some(changes) = changes {
            self.crowd
                .write(Readers::Watchers, &frame("changes", &changes));
        }
        if watched {
            self.later(presence::TELL_EVERY_MS, Self::tell_watchers);
        }
        Ok(())
    }

    pub(super) async fn ack(&self, request: &web_sys::Request) -> Result<Reply, Error> {
        let body = platform::read_body(request, MAX_ACK_BODY_BYTES).await?;
        let ack: AckBody = serde_json::from_slice(&body)
            .map_err(|error| Error::Platform(format!("an ack: {error}")))?;
        let id = ack.subscriber.as_str();
        let now = platform::now_ms();
        let known = self.with(|memory| {
            memory.roster.heard(id, ack.place, now) && memory.roster.acked(id, ack.sequence, now)
        })?;
        Ok(Answer::json(200, &known).into())
    }
}

/// A frame of the stream of who is connected.
fn frame<T: Serialize>(event: &str, value: &T) -> Vec<u8> {
    Frame {
        event: Some(event),
        // Names and numbers have a JSON form.
        data: Some(&serde_json::to_string(value).unwrap_or_default()),
        ..Frame::default()
    }
    .encode()
}
