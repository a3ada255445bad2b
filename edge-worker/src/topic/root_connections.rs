//! Subscribers of a topic's root object: how they connect, what they say, and how they go.

use std::{rc::Rc, time::Duration};

use headstart_protocol::{channel::Up, presence::Transport, update};
use worker::{WebSocket, WebSocketIncomingMessage, web_sys};

use super::{
    crowd::{self, Readers},
    history::Replay,
    opening::Opening,
    root_object::Root,
    seat::{self, Asked, Seat},
    subscription::Subscription,
};
use crate::{
    answer::Answer,
    cache_status::{Place, Served, Timings, with_cache_status},
    call::Reply,
    config::{self, Config},
    delivery,
    error::Error,
    head::Head,
    platform,
    tickets::stream_headers,
    websocket,
};

/// How long a WebSocket may take to say who it is.
const AUTH_WITHIN: Duration = Duration::from_secs(10);

impl Root {
    pub(super) fn events(
        &self,
        request: &web_sys::Request,
        head: &Head,
        config: &Config,
    ) -> Result<Reply, Error> {
        let subscription: Subscription = platform::read_subscription(request)?;
        self.make_room(config)?;
        let (after, missed) = self.missed(&subscription)?;
        let id = new_id()?;
        let opening = Opening {
            topic: &subscription.topic,
            after,
            missed: &missed,
            id: &id,
            now_ms: head.now_ms,
        };
        let frames = opening.frames(&delivery::opening(platform::random()));
        let life = subscription
            .expires_at_ms()
            .map(|at| Duration::from_millis(at.saturating_sub(head.now_ms)));
        let life = (config.stream_life, life);
        let stream = self
            .crowd
            .open_stream(Readers::Subscribers, &id, &frames, life.0, life.1);
        self.connected(&id, Transport::Sse, &subscription, head.now_ms)?;
        let answer = stream_headers(Answer::new(200)).stream(stream);
        Ok(served_from_here(answer, &subscription.node))
    }

    pub(super) fn socket(
        self: &Rc<Self>,
        request: &web_sys::Request,
        config: &Config,
    ) -> Result<Reply, Error> {
        let subscription: Subscription = platform::read_subscription(request)?;
        self.make_room(config)?;
        let node = subscription.node.clone();
        let (client, ours) = websocket::pair()?;
        let seat = Seat {
            id: new_id()?,
            connected_at_ms: platform::now_ms(),
            subscription,
        };
        self.with(|memory| memory.sockets.insert(seat.id.clone()))?;
        if seat.subscription.awaited {
            self.crowd.accept(&ours, false, &seat)?;
            self.later_ms(AUTH_WITHIN, move |_| {
                let seat: Option<Seat> = crowd::attachment(&ours);
                if seat.is_some_and(|seat| seat.subscription.awaited) {
                    seat::refuse(&ours, &Error::TokenRequired);
                }
                Ok(())
            });
        } else {
            self.crowd.accept(&ours, false, &seat)?;
            self.seat(&ours, &seat)?;
        }
        Ok(served_from_here(Answer::socket(&client), &node))
    }

    /// Lets a connection in: tells it who it is and what it missed, and from then on everything.
    pub(super) fn seat(&self, socket: &WebSocket, seat: &Seat) -> Result<(), Error> {
        let (after, missed) = self.missed(&seat.subscription)?;
        let opening = Opening {
            topic: &seat.subscription.topic,
            after,
            missed: &missed,
            id: &seat.id,
            now_ms: platform::now_ms(),
        };
        for message in opening.messages() {
            socket.send_with_str(message)?;
        }
        crowd::attach(socket, true, seat)?;
        let connected_at = seat.connected_at_ms;
        self.connected(&seat.id, Transport::Ws, &seat.subscription, connected_at)
    }

    /// Where a subscriber begins, and what it missed. Everyone else is told first what is untold, so
    /// that all are at the head.
    pub(super) fn missed(&self, subscription: &Subscription) -> Result<(u64, Replay), Error> {
        self.flush()?;
        self.with(|memory| {
            let head = memory.history.head();
            let after = subscription.begins_after(head);
            let missed = if after == head {
                Replay::at_head(head)
            } else {
                memory.history.replay(after, usize::MAX)
            };
            (after, missed)
        })
    }

    /// A WebSocket is gone.
    pub(super) fn leave(&self, socket: &WebSocket) {
        if let Some(Seat { id, .. }) = crowd::attachment(socket) {
            // An object that is not loaded has no roster yet.
            let _ = self.with(|memory| {
                memory.sockets.remove(&id);
                memory.roster.left(&id);
            });
        }
    }

    pub(super) fn make_room(&self, config: &Config) -> Result<(), Error> {
        let sockets = self.with(|memory| memory.sockets.len())?;
        let all = self.crowd.streams(Readers::Subscribers) as usize + sockets;
        if all >= config.topics.subscribers as usize {
            return Err(Error::TooManySubscribers);
        }
        Ok(())
    }

    /// What stands with the WebSockets, which outlive the sleep of the object.
    pub(super) fn seats(&self) -> impl Iterator<Item = Seat> {
        let sockets = self.state.get_websockets().into_iter();
        sockets.filter_map(|socket| crowd::attachment(&socket))
    }

    pub(super) async fn hear(
        self: &Rc<Self>,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<(), Error> {
        let settings = config::of(&self.env);
        let config = config::ready(&settings)?;
        let Some(seat) = crowd::attachment::<Seat>(socket) else {
            return Ok(());
        };
        self.begin(&seat.subscription.topic, config)?;
        crowd::heard(socket);
        match seat::hear(socket, seat, message, config) {
            Asked::Nothing => {}
            Asked::Admit(seat) => self.seat(socket, &seat)?,
            Asked::Note(seat, up) => self.note(socket, seat, *up)?,
        }
        self.set_alarm().await
    }

    pub(super) fn note(
        self: &Rc<Self>,
        socket: &WebSocket,
        mut seat: Seat,
        up: Up,
    ) -> Result<(), Error> {
        let now = platform::now_ms();
        let here = match &up {
            Up::Here { place } => *place,
            _ => None,
        };
        self.with(|memory| {
            memory.roster.heard(&seat.id, here, now);
            if let Up::Ack(ack) = &up
                && ack.topic == memory.topic
            {
                memory.roster.acked(&seat.id, ack.sequence, now);
            }
        })?;
        if let Up::Publish { event } = up {
            let topic = match update::check(&event) {
                Ok(topic) => topic,
                Err(error) => {
                    seat::publish_refused(socket, &event.id, error.to_string());
                    return Ok(());
                }
            };
            let may = seat.subscription.claims.as_ref().is_some_and(|claims| {
                claims.may_publish(&topic) && platform::now_ms() < claims.expires_at_ms()
            });
            let here = self.with(|memory| memory.topic == topic)?;
            if !may || !here {
                let reason = "the token does not allow to publish on this topic".to_owned();
                seat::publish_refused(socket, &event.id, reason);
                return Ok(());
            }
            for result in self.take(vec![*event])? {
                seat::published(socket, result);
            }
        } else if let Up::Here { .. } = up {
            // Its token may be a fresh one, and where it is outlives the sleep of the object.
            if let Some(place) = here {
                let known = &mut seat.subscription.place;
                known.latitude = Some(place.latitude());
                known.longitude = Some(place.longitude());
                known.shared = true;
            }
            crowd::attach(socket, true, &seat)?;
        }
        Ok(())
    }
}

/// A new connection's secret id: 128 random bits, and before them where it is.
fn new_id() -> Result<String, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Platform(error.to_string()))?;
    Ok(format!("root.{:032x}", u128::from_be_bytes(random)))
}

pub(super) fn served_from_here(answer: Answer, node: &str) -> Reply {
    let mut timings = Timings::default();
    timings.note(Place::Hub, 0);
    with_cache_status(answer, node, Served::Hit(Place::Hub), &timings).into()
}
