//! An object that has subscribers: how they connect, what they say, and how they go. The same at a
//! topic's root, which knows by itself what somebody missed, and at a relay, which may have to ask.

use std::{future::Future, rc::Rc, time::Duration};

use headstart_edge_rules::{
    lookup::Tier,
    topic::{catch_up::Missed, groups::group_key, sessions::Session, subscription::Subscription},
};
use headstart_protocol::{
    channel::Up, event::Event, limits::MAX_ACK_BODY_BYTES, report::Status, topic::TopicName, update,
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
    topic::sessions::{
        Sessions,
        ack::AckBody,
        session::{self, Asked},
    },
};

/// How long a WebSocket may take to say who it is.
const AUTH_WITHIN: Duration = Duration::from_secs(10);

/// The object.
pub trait SubscriberObject: Sized + 'static {
    /// Returns who is connected.
    fn sessions(&self) -> &Sessions;

    /// Returns the bindings of its deployment.
    fn env(&self) -> &Env;

    /// Loads what was here before, if the object has just begun anew. Returns whether there is anything.
    fn begin_again(self: &Rc<Self>, config: &Config) -> Result<bool, Error>;

    /// Returns when it has something to do, in milliseconds since the Unix epoch.
    fn next_due(&self) -> Result<Option<u64>, Error>;

    /// Returns what the secret ids of its sessions begin with.
    fn address(&self) -> Result<String, Error>;

    /// Returns what a subscriber missed, of each of its topics. Nothing may be awaited between the moment
    /// this is true of and the end of the future.
    fn catch_up(
        self: &Rc<Self>,
        subscription: Subscription,
    ) -> impl Future<Output = Result<Vec<Missed>, Error>>;

    /// Publishes an update of a subscriber, as it may, which is to be told what becomes of it.
    fn publish(
        self: &Rc<Self>,
        socket: &WebSocket,
        topic: TopicName,
        event: Event,
    ) -> Result<(), Error>;

    /// Notes that nobody is left for these topics.
    fn emptied(&self, topics: Vec<TopicName>) -> Result<(), Error>;
}

/// Opens what the client has asked for: a stream or a WebSocket.
///
/// # Errors
/// [`Error::Platform`].
pub fn open<H: SubscriberObject>(
    object: &Rc<H>,
    subscription: Subscription,
    config: &Config,
) -> Result<Reply, Error> {
    let node = subscription.node.clone();
    let session = Session {
        id: session::new_id(&object.address()?)?,
        connected_at_ms: platform::now_ms(),
        subscription,
    };
    let answer = if session.subscription.wire.codec().is_socket() {
        open_socket(object, session)?
    } else {
        open_stream(object, session, config)
    };
    Ok(served_from_here(answer, &node))
}

fn open_stream<H: SubscriberObject>(object: &Rc<H>, session: Session, config: &Config) -> Answer {
    let stream = object.sessions().sockets.open_stream(
        &session.id,
        &session,
        &group_of(&session),
        config.stream_life,
        session.subscription.right_lasts(session.connected_at_ms),
    );
    let_in(object, session, None);
    stream_headers(Answer::new(200)).stream(stream)
}

fn open_socket<H: SubscriberObject>(object: &Rc<H>, session: Session) -> Result<Answer, Error> {
    let sessions = object.sessions();
    let (client, ours) = websocket::pair()?;
    sessions
        .sockets
        .accept(&ours, &session, &group_of(&session))?;
    if session.subscription.awaited {
        sessions.wait_for(&session.id);
        sessions.state().wait_until(async move {
            Delay::from(AUTH_WITHIN).await;
            if sockets::attachment::<Session>(&ours)
                .is_some_and(|session| session.subscription.awaited)
            {
                session::refuse(&ours, &Error::TokenRequired);
            }
        });
    } else {
        let_in(object, session, Some(ours));
    }
    Ok(Answer::socket(&client))
}

fn group_of(session: &Session) -> String {
    let subscription = &session.subscription;
    group_key(&subscription.topics(), subscription.wire)
}

/// Lets a session in: finds out what it missed, tells it, and from then on everything.
fn let_in<H: SubscriberObject>(object: &Rc<H>, session: Session, socket: Option<WebSocket>) {
    let id = session.id.clone();
    let subscription = session.subscription.clone();
    object.sessions().join(session);
    let object = Rc::clone(object);
    let state = Rc::clone(&object);
    state.sessions().state().wait_until(async move {
        let sessions = object.sessions();
        let begun = match object.catch_up(subscription).await {
            Ok(missed) => sessions.begin(&id, socket.as_ref(), missed),
            Err(error) => Err(error),
        };
        if let Err(error) = begun {
            error.log();
            sessions.end(&id, socket.as_ref());
        }
    });
}

/// Sets the alarm for what is due next.
///
/// # Errors
/// [`Error::Platform`].
pub async fn set_alarm<H: SubscriberObject>(object: &H) -> Result<(), Error> {
    object.sessions().set_alarm(object.next_due()?).await
}

/// Hears what a WebSocket's client says.
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
    let Some(mut session) = sockets::attachment::<Session>(socket) else {
        return Ok(());
    };
    sockets::heard(socket);
    for up in session::hear(socket, &session, message) {
        match session::judge(socket, &mut session, up, config) {
            Asked::Nothing => {}
            Asked::Admit => {
                sockets::attach(socket, &session)?;
                let_in(object, session.clone(), Some(socket.clone()));
            }
            Asked::Note(up) => note(object, socket, &mut session, up)?,
        }
    }
    Ok(())
}

fn note<H: SubscriberObject>(
    object: &Rc<H>,
    socket: &WebSocket,
    session: &mut Session,
    up: Up,
) -> Result<(), Error> {
    let sessions = object.sessions();
    match up {
        Up::Ack(ack) => {
            sessions.acked(&session.id, &ack.topic, ack.sequence, None);
        }
        Up::Here { place } => {
            sessions.heard(&session.id, place);
            // Its token may be a fresh one, and where it is outlives the sleep of the object.
            if let Some(place) = place {
                session.subscription.place.share(place);
            }
            sessions.keep(socket, session)?;
        }
        Up::Publish { event } => {
            sessions.heard(&session.id, None);
            match may_publish(session, &event) {
                Ok(topic) => object.publish(socket, topic, *event)?,
                Err(reason) => {
                    session::publish_failed(socket, &event.id, Status::Rejected, reason);
                }
            }
        }
        Up::Auth { .. } | Up::Pong { .. } => sessions.heard(&session.id, None),
    }
    Ok(())
}

/// Returns the topic of an event that a session may publish; else why it may not.
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

/// Notes that a WebSocket has gone.
///
/// # Errors
/// [`Error::Misconfigured`], [`Error::Platform`].
pub fn leave<H: SubscriberObject>(object: &Rc<H>, socket: &WebSocket) -> Result<(), Error> {
    let settings = config::of(object.env());
    match sockets::attachment::<Session>(socket) {
        Some(session) if object.begin_again(config::ready(&settings)?)? => {
            object.emptied(object.sessions().leave(&session.id))
        }
        _ => Ok(()),
    }
}

/// Notices that streams have ended, which they do without a word.
///
/// # Errors
/// [`Error::Platform`].
pub fn forget_ended<H: SubscriberObject>(object: &H) -> Result<(), Error> {
    object.emptied(object.sessions().forget_ended())
}

/// Answers `POST .../acks`, of a subscriber to `topic`.
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
    let known = object.sessions().acked(id, topic, ack.sequence, ack.place);
    Ok(Answer::json(200, &known).into())
}

/// Returns an answer that the object itself gives.
pub fn served_from_here(answer: Answer, node: &str) -> Reply {
    let mut timings = Timings::default();
    timings.note(Tier::Object, 0);
    with_cache_status(answer, node, Served::Hit(Tier::Object), &timings).into()
}
