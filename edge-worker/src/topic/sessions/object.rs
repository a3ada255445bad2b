//! An object that has subscribers: how they connect, what they say, and how they go. The same at a
//! topic's root, which knows by itself what somebody missed, and at a relay, which may have to ask.

use std::{future::Future, rc::Rc, time::Duration};

use headstart_edge_rules::{
    lookup::Tier,
    topic::{catch_up::Missed, groups::group_key},
};
use headstart_protocol::{
    channel::Up, event::Event, limits::MAX_ACK_BODY_BYTES, presence::Transport, report::Status,
    topic::TopicName, update,
};
use worker::{Delay, Env, WebSocket, WebSocketIncomingMessage, web_sys};

use crate::{
    config::{self, Config},
    http::{
        answer::Answer,
        cache_status::{Served, Timings, with_cache_status},
        error::Error,
        request::Reply,
    },
    platform::{self, sockets, websocket},
    ticket::routes::stream_headers,
    topic::{
        sessions::{
            ack::AckBody,
            connections::Connections,
            session::{self, Asked, Session},
        },
        subscription::Subscription,
    },
};

/// How long a WebSocket may take to say who it is.
const AUTH_WITHIN: Duration = Duration::from_secs(10);

/// The object.
pub trait SubscriberObject: Sized + 'static {
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
pub fn open_stream<H: SubscriberObject>(
    object: &Rc<H>,
    subscription: Subscription,
    config: &Config,
) -> Result<Reply, Error> {
    let connections = object.connections();
    let node = subscription.node.clone();
    let session = open_session(object, subscription, Transport::Sse)?;
    let group = group_key(&session.subscription.topics());
    let at_most = session.subscription.right_lasts(session.connected_at_ms);
    let stream =
        connections
            .sockets
            .open_stream(&session.id, &session, &group, config.stream_life, at_most);
    let_in(object, &session, None);
    let answer = stream_headers(Answer::new(200)).stream(stream);
    Ok(served_from_here(answer, &node))
}

/// Opens a WebSocket.
///
/// # Errors
/// [`Error::Platform`].
pub fn open_socket<H: SubscriberObject>(
    object: &Rc<H>,
    subscription: Subscription,
) -> Result<Reply, Error> {
    let connections = object.connections();
    let node = subscription.node.clone();
    let (client, ours) = websocket::pair()?;
    let session = open_session(object, subscription, Transport::Ws)?;
    let group = group_key(&session.subscription.topics());
    connections.sockets.accept(&ours, &session, &group)?;
    if session.subscription.awaited {
        connections.awaits(&session.id);
        connections.state().wait_until(async move {
            Delay::from(AUTH_WITHIN).await;
            if sockets::attachment::<Session>(&ours)
                .is_some_and(|session| session.subscription.awaited)
            {
                session::refuse(&ours, &Error::TokenRequired);
            }
        });
    } else {
        let_in(object, &session, Some(ours));
    }
    Ok(served_from_here(Answer::socket(&client), &node))
}

fn open_session<H: SubscriberObject>(
    object: &Rc<H>,
    subscription: Subscription,
    transport: Transport,
) -> Result<Session, Error> {
    Ok(Session {
        id: session::new_id(&object.address()?)?,
        connected_at_ms: platform::now_ms(),
        transport,
        subscription,
    })
}

/// Lets a connection in: finds out what it missed, tells it, and from then on everything.
fn let_in<H: SubscriberObject>(object: &Rc<H>, session: &Session, socket: Option<WebSocket>) {
    object.connections().join(session);
    let id = session.id.clone();
    let subscription = session.subscription.clone();
    let object = Rc::clone(object);
    let state = Rc::clone(&object);
    state.connections().state().wait_until(async move {
        let connections = object.connections();
        let begun = match object.catch_up(subscription).await {
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
pub async fn set_alarm<H: SubscriberObject>(object: &H) -> Result<(), Error> {
    object.connections().set_alarm(object.next_due()?).await
}

/// A WebSocket's client says something.
///
/// # Errors
/// [`Error::Misconfigured`], [`Error::Platform`].
pub async fn hear<H: SubscriberObject>(
    object: &Rc<H>,
    socket: &WebSocket,
    message: WebSocketIncomingMessage,
) -> Result<(), Error> {
    let settings = config::of(object.env());
    let config = config::ready(&settings)?;
    if !object.begin_again(config)? {
        return Ok(());
    }
    listen(object, socket, message, config)?;
    set_alarm(object.as_ref()).await
}

fn listen<H: SubscriberObject>(
    object: &Rc<H>,
    socket: &WebSocket,
    message: WebSocketIncomingMessage,
    config: &Config,
) -> Result<(), Error> {
    let Some(session) = sockets::attachment::<Session>(socket) else {
        return Ok(());
    };
    sockets::heard(socket);
    match session::hear(socket, session, message, config) {
        Asked::Nothing => Ok(()),
        Asked::Admit(session) => {
            sockets::attach(socket, &session)?;
            let_in(object, &session, Some(socket.clone()));
            Ok(())
        }
        Asked::Note(session, up) => note(object, socket, session, *up),
    }
}

fn note<H: SubscriberObject>(
    object: &Rc<H>,
    socket: &WebSocket,
    mut session: Session,
    up: Up,
) -> Result<(), Error> {
    let connections = object.connections();
    match up {
        Up::Ack(ack) => {
            connections.acked(&session.id, &ack.topic, ack.sequence, None);
        }
        Up::Here { place } => {
            connections.heard(&session.id, place);
            // Its token may be a fresh one, and where it is outlives the sleep of the object.
            if let Some(place) = place {
                session.subscription.place.share(place);
            }
            connections.keep(socket, &session)?;
        }
        Up::Publish { event } => {
            connections.heard(&session.id, None);
            match may_publish(&session, &event) {
                Ok(topic) => object.publish(socket, topic, *event)?,
                Err(reason) => {
                    session::publish_failed(socket, &event.id, Status::Rejected, reason);
                }
            }
        }
        Up::Auth { .. } | Up::Pong { .. } => connections.heard(&session.id, None),
    }
    Ok(())
}

/// The topic of an event that a connection may publish; else why it may not.
fn may_publish(session: &Session, event: &Event) -> Result<TopicName, String> {
    let topic = update::check(event).map_err(|error| error.to_string())?;
    let may = session.subscription.claims.as_ref().is_some_and(|claims| {
        claims.may_publish(&topic) && platform::now_ms() < claims.expires_at_ms()
    });
    if may && session.subscription.has(&topic) {
        Ok(topic)
    } else {
        Err("the token does not allow to publish on this topic".to_owned())
    }
}

/// A WebSocket has gone.
///
/// # Errors
/// [`Error::Misconfigured`], [`Error::Platform`].
pub fn leave<H: SubscriberObject>(object: &Rc<H>, socket: &WebSocket) -> Result<(), Error> {
    let settings = config::of(object.env());
    match sockets::attachment::<Session>(socket) {
        Some(session) if object.begin_again(config::ready(&settings)?)? => {
            object.emptied(object.connections().leave(&session.id))
        }
        _ => Ok(()),
    }
}

/// Notices that streams have ended, which they do without a word.
///
/// # Errors
/// [`Error::Platform`].
pub fn forget_ended<H: SubscriberObject>(object: &H) -> Result<(), Error> {
    object.emptied(object.connections().forget_ended())
}

/// `POST .../acks`, of a subscriber to `topic`.
///
/// # Errors
/// [`Error::Platform`].
pub async fn ack<H: SubscriberObject>(
    object: &H,
    request: &web_sys::Request,
    topic: &TopicName,
) -> Result<Reply, Error> {
    let body = platform::read_body(request, MAX_ACK_BODY_BYTES).await?;
    let ack: AckBody = serde_json::from_slice(&body)
        .map_err(|error| Error::Platform(format!("an ack: {error}")))?;
    let id = ack.subscriber.as_str();
    let known = object
        .connections()
        .acked(id, topic, ack.sequence, ack.place);
    Ok(Answer::json(200, &known).into())
}

/// An answer that the object itself gives.
pub fn served_from_here(answer: Answer, node: &str) -> Reply {
    let mut timings = Timings::default();
    timings.note(Tier::Object, 0);
    with_cache_status(answer, node, Served::Hit(Tier::Object), &timings).into()
}
