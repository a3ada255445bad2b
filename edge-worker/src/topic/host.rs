//! An object that has subscribers: how they connect, what they say, and how they go. The same at a
//! topic's root, which knows by itself what somebody missed, and at a relay, which may have to ask.

use std::{future::Future, rc::Rc, time::Duration};

use headstart_protocol::{
    channel::Up, event::Event, limits::MAX_ACK_BODY_BYTES, presence::Transport, report::Status,
    topic::TopicName, update,
};
use worker::{Delay, Env, WebSocket, WebSocketIncomingMessage, web_sys};

use super::{
    audience::group_key,
    connections::Connections,
    crowd,
    opening::Missed,
    seat::{self, Asked, Seat},
    subscribers::AckBody,
    subscription::Subscription,
};
use crate::{
    answer::Answer,
    cache_status::{Place, Served, Timings, with_cache_status},
    call::Reply,
    config::{self, Config},
    error::Error,
    platform,
    tickets::stream_headers,
    websocket,
};

/// How long a WebSocket may take to say who it is.
const AUTH_WITHIN: Duration = Duration::from_secs(10);

/// The object.
pub trait Host: Sized + 'static {
    /// Who is connected.
    fn connections(&self) -> &Connections;

    /// The bindings of its deployment.
    fn env(&self) -> &Env;

    /// Loads what was here before, if the object has just begun anew. Gives whether there is anything.
    fn begin_again(self: &Rc<Self>, config: &Config) -> Result<bool, Error>;

    /// When it has something to do, in milliseconds since the Unix epoch.
    fn next_due(&self) -> Result<Option<u64>, Error>;

    /// What the secret ids of its connections begin with.
    fn address(&self) -> Result<String, Error>;

    /// What a subscriber missed, of each of its topics. Nothing may be awaited between the moment this is
    /// true of and the end of the future.
    fn catch_up(
        self: &Rc<Self>,
        subscription: Subscription,
    ) -> impl Future<Output = Result<Vec<Missed>, Error>>;

    /// A subscriber publishes an update, as it may, and is to be told what becomes of it.
    fn publish(
        self: &Rc<Self>,
        socket: &WebSocket,
        topic: TopicName,
        event: Event,
    ) -> Result<(), Error>;

    /// Nobody is left for these topics.
    fn emptied(&self, topics: Vec<TopicName>) -> Result<(), Error>;
}

/// Opens a stream.
///
/// # Errors
/// [`Error::Platform`].
pub fn open_stream<H: Host>(
    host: &Rc<H>,
    subscription: Subscription,
    config: &Config,
) -> Result<Reply, Error> {
    let connections = host.connections();
    let node = subscription.node.clone();
    let seat = take_seat(host, subscription, Transport::Sse)?;
    let group = group_key(&seat.subscription.topics());
    let at_most = seat.subscription.right_lasts(seat.connected_at_ms);
    let stream = connections
        .crowd
        .open_stream(&seat, &group, config.stream_life, at_most);
    let_in(host, &seat, None);
    let answer = stream_headers(Answer::new(200)).stream(stream);
    Ok(served_from_here(answer, &node))
}

/// Opens a WebSocket.
///
/// # Errors
/// [`Error::Platform`].
pub fn open_socket<H: Host>(host: &Rc<H>, subscription: Subscription) -> Result<Reply, Error> {
    let connections = host.connections();
    let node = subscription.node.clone();
    let (client, ours) = websocket::pair()?;
    let seat = take_seat(host, subscription, Transport::Ws)?;
    let group = group_key(&seat.subscription.topics());
    connections.crowd.accept(&ours, &seat, &group)?;
    if seat.subscription.awaited {
        connections.awaits(&seat.id);
        connections.state().wait_until(async move {
            Delay::from(AUTH_WITHIN).await;
            if crowd::seat(&ours).is_some_and(|seat| seat.subscription.awaited) {
                seat::refuse(&ours, &Error::TokenRequired);
            }
        });
    } else {
        let_in(host, &seat, Some(ours));
    }
    Ok(served_from_here(Answer::socket(&client), &node))
}

fn take_seat<H: Host>(
    host: &Rc<H>,
    subscription: Subscription,
    transport: Transport,
) -> Result<Seat, Error> {
    Ok(Seat {
        id: seat::new_id(&host.address()?)?,
        connected_at_ms: platform::now_ms(),
        transport,
        subscription,
    })
}

/// Lets a connection in: finds out what it missed, tells it, and from then on everything.
fn let_in<H: Host>(host: &Rc<H>, seat: &Seat, socket: Option<WebSocket>) {
    host.connections().join(seat);
    let id = seat.id.clone();
    let subscription = seat.subscription.clone();
    let host = Rc::clone(host);
    let state = Rc::clone(&host);
    state.connections().state().wait_until(async move {
        let connections = host.connections();
        let begun = match host.catch_up(subscription).await {
            Ok(missed) => connections.begin(&id, socket.as_ref(), &missed),
            Err(error) => Err(error),
        };
        if let Err(error) = begun {
            error.log();
            connections.end(&id, socket.as_ref());
        }
    });
}

/// Sets the alarm for what is due next.
///
/// # Errors
/// [`Error::Platform`].
pub async fn set_alarm<H: Host>(host: &H) -> Result<(), Error> {
    host.connections().set_alarm(host.next_due()?).await
}

/// A WebSocket's client says something.
///
/// # Errors
/// [`Error::Misconfigured`], [`Error::Platform`].
pub async fn hear<H: Host>(
    host: &Rc<H>,
    socket: &WebSocket,
    message: WebSocketIncomingMessage,
) -> Result<(), Error> {
    let settings = config::of(host.env());
    let config = config::ready(&settings)?;
    if !host.begin_again(config)? {
        return Ok(());
    }
    listen(host, socket, message, config)?;
    set_alarm(host.as_ref()).await
}

fn listen<H: Host>(
    host: &Rc<H>,
    socket: &WebSocket,
    message: WebSocketIncomingMessage,
    config: &Config,
) -> Result<(), Error> {
    let Some(seat) = crowd::seat(socket) else {
        return Ok(());
    };
    crowd::heard(socket);
    match seat::hear(socket, seat, message, config) {
        Asked::Nothing => Ok(()),
        Asked::Admit(seat) => {
            crowd::attach(socket, &seat)?;
            let_in(host, &seat, Some(socket.clone()));
            Ok(())
        }
        Asked::Note(seat, up) => note(host, socket, seat, *up),
    }
}

fn note<H: Host>(host: &Rc<H>, socket: &WebSocket, mut seat: Seat, up: Up) -> Result<(), Error> {
    let connections = host.connections();
    match up {
        Up::Ack(ack) => {
            connections.acked(&seat.id, &ack.topic, ack.sequence, None);
        }
        Up::Here { place } => {
            connections.heard(&seat.id, place);
            // Its token may be a fresh one, and where it is outlives the sleep of the object.
            if let Some(place) = place {
                seat.subscription.place.share(place);
            }
            connections.keep(socket, &seat)?;
        }
        Up::Publish { event } => {
            connections.heard(&seat.id, None);
            match may_publish(&seat, &event) {
                Ok(topic) => host.publish(socket, topic, *event)?,
                Err(reason) => {
                    seat::publish_failed(socket, &event.id, Status::Rejected, reason);
                }
            }
        }
        Up::Auth { .. } | Up::Pong { .. } => connections.heard(&seat.id, None),
    }
    Ok(())
}

/// The topic of an event that a connection may publish; else why it may not.
fn may_publish(seat: &Seat, event: &Event) -> Result<TopicName, String> {
    let topic = update::check(event).map_err(|error| error.to_string())?;
    let may = seat.subscription.claims.as_ref().is_some_and(|claims| {
        claims.may_publish(&topic) && platform::now_ms() < claims.expires_at_ms()
    });
    if may && seat.subscription.has(&topic) {
        Ok(topic)
    } else {
        Err("the token does not allow to publish on this topic".to_owned())
    }
}

/// A WebSocket has gone.
///
/// # Errors
/// [`Error::Misconfigured`], [`Error::Platform`].
pub fn leave<H: Host>(host: &Rc<H>, socket: &WebSocket) -> Result<(), Error> {
    let settings = config::of(host.env());
    match crowd::seat(socket) {
        Some(seat) if host.begin_again(config::ready(&settings)?)? => {
            host.emptied(host.connections().leave(&seat.id))
        }
        _ => Ok(()),
    }
}

/// Notices that streams have ended, which they do without a word.
///
/// # Errors
/// [`Error::Platform`].
pub fn forget_ended<H: Host>(host: &H) -> Result<(), Error> {
    host.emptied(host.connections().forget_ended())
}

/// `POST .../acks`, of a subscriber to `topic`.
///
/// # Errors
/// [`Error::Platform`].
pub async fn ack<H: Host>(
    host: &H,
    request: &web_sys::Request,
    topic: &TopicName,
) -> Result<Reply, Error> {
    let body = platform::read_body(request, MAX_ACK_BODY_BYTES).await?;
    let ack: AckBody = serde_json::from_slice(&body)
        .map_err(|error| Error::Platform(format!("an ack: {error}")))?;
    let id = ack.subscriber.as_str();
    let known = host.connections().acked(id, topic, ack.sequence, ack.place);
    Ok(Answer::json(200, &known).into())
}

/// An answer that the object itself gives.
pub fn served_from_here(answer: Answer, node: &str) -> Reply {
    let mut timings = Timings::default();
    timings.note(Place::Hub, 0);
    with_cache_status(answer, node, Served::Hit(Place::Hub), &timings).into()
}
