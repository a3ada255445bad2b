//! The Durable Object of a relay. Its requests are listed in `client.rs`, its rules are in
//! `headstart_edge_rules::topic::relay`; it sends follows to the topics' roots, hands pushes on to other
//! relays of its region, stores heads, tells subscribers, and brings what they publish to the roots.
//!
//! Touches its own SQLite (`store.rs`), its alarm, its connections (`sockets.rs`), its topics' roots and
//! the other relays of its region.

use std::{cell::RefCell, pin::pin, rc::Rc, time::Duration};

use futures_util::{future::join_all, poll};
use headstart_edge_rules::topic::{
    batch::Batch,
    catch_up::Missed,
    fanout::PUSH_BYTES,
    follower::Applied,
    history::Replay,
    messages::{FollowAnswer, Push, PushAnswer},
    publish_queue::PublishQueue,
    relay::{FollowOrder, Need, Progress, RelayEffect, RelayState},
    relay_name::RelayName,
    subscription::Subscription,
};
use headstart_protocol::{event::Event, report::Status, topic::TopicName};
use worker::{Delay, Env, State, WebSocket, WebSocketIncomingMessage, web_sys};

use crate::{
    config::{self, Config},
    events,
    http::{
        answer::Answer,
        error::Error,
        head::Head,
        request::{self, Reply},
    },
    platform::{
        self,
        durable_object::{ObjectHandlers, durable_object},
        lazy::{Lazy, Loaded},
        sql, wake, websocket,
    },
    topic::{
        relay::{self, store::RelayStore},
        root,
        sessions::{self, Sessions, object::SubscriberObject, session},
    },
};

/// How long the root may take to answer.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// How long a push that is handed on may take. Shorter than the root waits for all of it.
const HAND_ON_WITHIN: Duration = Duration::from_secs(3);

/// Largest push, in bytes: what fits, one update that does not, and whom it is handed on to.
const MAX_PUSH_BYTES: usize = 2 * PUSH_BYTES;

/// What the object holds, shared with what it does later.
#[derive(Debug)]
pub struct Relay {
    env: Env,
    sessions: Sessions,
    store: Lazy<RelayStore>,
    /// Loaded by the first request, and anew after a write that failed.
    state: Loaded<RelayState>,
    /// What subscribers publish, each with the WebSocket that it came over.
    queue: RefCell<PublishQueue<(WebSocket, Event)>>,
}

durable_object!(RelayDo, Relay);

impl ObjectHandlers for Relay {
    fn new(state: State, env: Env) -> Self {
        websocket::answer_pings(&state);
        Self {
            sessions: Sessions::of(state),
            env,
            store: Lazy::default(),
            state: Loaded::default(),
            queue: RefCell::default(),
        }
    }

    async fn fetch(
        self: &Rc<Self>,
        request: &web_sys::Request,
    ) -> worker::Result<web_sys::Response> {
        request::answer_object(&self.env, request, async |request, head, config| {
            self.answer(request, head, config).await
        })
        .await
    }

    async fn alarm(self: &Rc<Self>) -> Result<(), Error> {
        self.wake().await
    }

    async fn message(
        self: &Rc<Self>,
        socket: &WebSocket,
        message: WebSocketIncomingMessage,
    ) -> Result<(), Error> {
        sessions::object::hear(self, socket, message).await
    }

    async fn closed(self: &Rc<Self>, socket: &WebSocket) -> Result<(), Error> {
        sessions::object::leave(self, socket)
    }
}

impl Relay {
    async fn answer(
        self: &Rc<Self>,
        request: &web_sys::Request,
        head: &Head,
        config: &Config,
    ) -> Result<Reply, Error> {
        let (name, what) = head
            .path
            .strip_prefix("/relays/")
            .and_then(|rest| rest.rsplit_once('/'))
            .ok_or(Error::NotFound)?;
        let name = RelayName::parse(name).map_err(|_| Error::NotFound)?;
        self.begin(&name, config)?;
        sessions::object::forget_ended(self.as_ref())?;
        let reply = match (head.method.as_str(), what) {
            ("GET", "subscribe") => self.subscribe(request, config),
            ("POST", "push") => self.push(request).await,
            ("GET", "subscribers") => {
                let mut list = self.sessions.list(&topic(head)?);
                list.subscribers.truncate(most(head));
                Ok(Answer::json(200, &list).into())
            }
            ("POST", "acks") => sessions::object::ack(self.as_ref(), request, &topic(head)?).await,
            _ => Err(Error::NotFound),
        }?;
        sessions::object::set_alarm(self.as_ref()).await?;
        Ok(reply)
    }

    /// Loads the relay.
    fn begin(self: &Rc<Self>, name: &RelayName, config: &Config) -> Result<(), Error> {
        if self.state.is_loaded() {
            return Ok(());
        }
        self.sessions.restore();
        let heads = match self.stored()? {
            Some(store) => store.heads()?,
            None => vec![],
        };
        let capacity = config.topics.relay_capacity;
        let (relay, effects) = RelayState::restore(name.clone(), capacity, heads, |topic| {
            self.sessions.subscribers(topic)
        });
        self.state.load(relay);
        self.carry_out(effects)
    }

    fn subscribe(
        self: &Rc<Self>,
        request: &web_sys::Request,
        config: &Config,
    ) -> Result<Reply, Error> {
        let subscription: Subscription = platform::read_subscription(request)?;
        if self.sessions.count() >= config.topics.relay_capacity {
            return Err(Error::TooManySubscribers);
        }
        // It outlives the memory of the object, which must know then what it is.
        self.store()?;
        sessions::object::open(self, subscription, config)
    }

    /// Brings a subscriber what it needs. Gives what the root said, if that was asked.
    async fn bring(self: &Rc<Self>, need: Need) -> Result<Option<(TopicName, Replay)>, Error> {
        match need {
            Need::Follow(order) => self.follow(order).await?,
            Need::FollowAnswer(topic) => wake::wait(&self.waiting_for(&topic), ASK_WITHIN).await,
            Need::Missed { topic, after } => {
                let missed = root::client::missed(&self.env, &topic, after);
                let missed = platform::within(ASK_WITHIN, missed).await?;
                return Ok(Some((topic, missed)));
            }
        }
        Ok(None)
    }

    /// Sends a follow; whoever waits for its answer goes on then.
    async fn follow(self: &Rc<Self>, order: FollowOrder) -> Result<(), Error> {
        let loads = self.state.loads();
        let answer = root::client::follow(&self.env, &order.topic, &order.follow);
        let answer = platform::within(ASK_WITHIN, answer).await;
        if loads != self.state.loads() {
            // It was loaded anew: its follows are numbered from the beginning.
            return Ok(());
        }
        let told = self.follow_ended(&order, answer);
        wake::wake_all(&self.waiting_for(&order.topic));
        told?;
        sessions::object::set_alarm(self.as_ref()).await
    }

    fn follow_ended(
        &self,
        order: &FollowOrder,
        answer: Result<FollowAnswer, Error>,
    ) -> Result<(), Error> {
        let now = platform::now_ms();
        match answer {
            Ok(FollowAnswer { missed, .. }) => {
                let subscribers = self.sessions.subscribers(&order.topic);
                let effects =
                    self.with(|relay| relay.follow_answered(order, &missed, subscribers, now))?;
                self.carry_out(effects)
            }
            Err(error) => {
                error.log();
                self.with(|relay| relay.follow_failed(order, now))
            }
        }
    }

    /// Takes the next batch of what subscribers publish out of the queue.
    fn next_batch(&self) -> Option<(TopicName, Vec<(WebSocket, Event)>)> {
        self.queue.borrow_mut().next_batch()
    }

    fn waiting_for(&self, topic: &TopicName) -> String {
        format!("{} follows {topic}", self.sessions.sockets.object())
    }

    /// Where a write fails, what was decided is forgotten, and nobody is told: the next event loads what is
    /// stored.
    fn carry_out(&self, effects: Vec<RelayEffect>) -> Result<(), Error> {
        let saved = effects.iter().try_for_each(|effect| match effect {
            RelayEffect::SaveHead(topic, head) => self.store()?.set_head(topic, *head),
            RelayEffect::ForgetHead(topic) => self.store()?.forget_head(topic),
            RelayEffect::Tell(..) => Ok(()),
        });
        if saved.is_err() {
            self.state.forget();
            return saved;
        }
        for effect in effects {
            if let RelayEffect::Tell(topic, applied) = effect {
                self.tell(&topic, &applied);
            }
        }
        Ok(())
    }

    fn tell(&self, topic: &TopicName, applied: &Applied) {
        let batch = Batch {
            topic,
            gap: applied.gap,
            updates: &applied.updates,
            delivered_at_ms: platform::now_ms(),
        };
        let head = |topic: &TopicName| self.with(|relay| relay.head(topic));
        self.sessions
            .tell(&batch, |topic| head(topic).ok().flatten().unwrap_or(0));
    }

    /// `POST .../push`. The answer begins at once: whoever pushes has but six requests that wait for the
    /// beginning of one.
    async fn push(self: &Rc<Self>, request: &web_sys::Request) -> Result<Reply, Error> {
        let body = platform::read_body(request, MAX_PUSH_BYTES).await?;
        let push: Push = serde_json::from_slice(&body)
            .map_err(|error| Error::Platform(format!("a push: {error}")))?;
        let relay = Rc::clone(self);
        let answers = platform::body_of(async move {
            let answers = relay.pushed(push).await?;
            serde_json::to_string(&answers)
                .map_err(|error| Error::Platform(format!("a push's answer: {error}")))
        });
        Ok(Answer::new(200).stream(answers).into())
    }

    /// Hands a push on, which begins first, and applies it.
    async fn pushed(self: &Rc<Self>, push: Push) -> Result<Vec<PushAnswer>, Error> {
        let (handed_on, own) = push.hand_on();
        let handed_on = handed_on.iter().map(|(to, push)| async move {
            let answers =
                platform::within(HAND_ON_WITHIN, relay::client::push(&self.env, to, push));
            // The root asks by itself for those that are missing.
            answers.await.unwrap_or_else(|error| {
                error.log();
                vec![]
            })
        });
        let mut handed_on = pin!(join_all(handed_on));
        let handed_on_at_once = poll!(&mut handed_on);
        // What is on its way leaves, and the answer begins, when this turn ends.
        Delay::from(Duration::ZERO).await;
        let mut answers = vec![self.apply(&own)?];
        let others = match handed_on_at_once {
            std::task::Poll::Ready(others) => others,
            std::task::Poll::Pending => handed_on.await,
        };
        answers.extend(others.into_iter().flatten());
        sessions::object::set_alarm(self.as_ref()).await?;
        Ok(answers)
    }

    fn apply(&self, push: &Push) -> Result<PushAnswer, Error> {
        sessions::object::forget_ended(self)?;
        let subscribers = self.sessions.subscribers(&push.topic);
        let (answer, effects) = self.with(|relay| relay.apply(push, subscribers))?;
        self.carry_out(effects)?;
        Ok(answer)
    }

    /// Sends what subscribers have published to the topics' roots, in its order.
    async fn publish_all(self: &Rc<Self>) -> Result<(), Error> {
        while let Some((topic, batch)) = self.next_batch() {
            let events: Vec<&Event> = batch.iter().map(|(_, event)| event).collect();
            let published = root::client::publish(&self.env, &topic, &events);
            match platform::within(ASK_WITHIN, published).await {
                Ok(results) => {
                    for ((socket, _), result) in batch.iter().zip(results) {
                        session::published(socket, result);
                    }
                }
                Err(error) => {
                    error.log();
                    for (socket, event) in &batch {
                        session::publish_failed(socket, &event.id, Status::Retry, events::AGAIN);
                    }
                }
            }
        }
        Ok(())
    }

    /// The alarm: does what is due.
    async fn wake(self: &Rc<Self>) -> Result<(), Error> {
        let settings = config::of(&self.env);
        if !self.begin_again(config::ready(&settings)?)? {
            return Ok(());
        }
        self.sessions.alarm_rang();
        sessions::object::forget_ended(self.as_ref())?;
        self.follow_all(self.due()?).await?;
        sessions::object::set_alarm(self.as_ref()).await
    }

    /// Returns the follows that are due.
    fn due(&self) -> Result<Vec<FollowOrder>, Error> {
        let now = platform::now_ms();
        let random = random()?;
        let topics = self.sessions.topics().into_iter().map(|topic| {
            let subscribers = self.sessions.subscribers(&topic);
            (topic, subscribers)
        });
        self.with(|relay| relay.tick(topics, random, now))
    }

    async fn follow_all(self: &Rc<Self>, orders: Vec<FollowOrder>) -> Result<(), Error> {
        let followed = join_all(orders.into_iter().map(|order| self.follow(order)));
        followed.await.into_iter().collect()
    }

    /// Where so many have come that a root must know of it, tells it.
    fn tell_how_full(self: &Rc<Self>) -> Result<(), Error> {
        let due = self.due()?;
        if !due.is_empty() {
            self.later(|relay| async move { relay.follow_all(due).await });
        }
        Ok(())
    }

    /// Does something that the object stays awake for.
    fn later<F: Future<Output = Result<(), Error>>>(
        self: &Rc<Self>,
        what: impl FnOnce(Rc<Self>) -> F + 'static,
    ) {
        let relay = Rc::clone(self);
        self.sessions.state().wait_until(async move {
            if let Err(error) = what(relay).await {
                error.log();
            }
        });
    }

    /// Returns the store, if there is one.
    fn stored(&self) -> Result<Option<&RelayStore>, Error> {
        self.store
            .find(|| RelayStore::find(&self.sessions.state().storage().sql()))
    }

    /// Returns the store of the relay that is loaded, which is made if there is none.
    fn store(&self) -> Result<&RelayStore, Error> {
        if let Some(store) = self.stored()? {
            return Ok(store);
        }
        self.store.get(|| {
            let state = self.sessions.state();
            sql::transaction(state, || {
                let store = RelayStore::open(state.storage().sql())?;
                self.with(|relay| store.set_name(relay.name()))??;
                Ok(store)
            })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut RelayState) -> T) -> Result<T, Error> {
        self.state.with(work)
    }
}

impl SubscriberObject for Relay {
    fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    fn env(&self) -> &Env {
        &self.env
    }

    fn begin_again(self: &Rc<Self>, config: &Config) -> Result<bool, Error> {
        if self.state.is_loaded() {
            return Ok(true);
        }
        let name = match self.stored()? {
            Some(store) => store.name()?,
            None => None,
        };
        if let Some(name) = &name {
            self.begin(name, config)?;
        }
        Ok(name.is_some())
    }

    fn next_due(&self) -> Result<Option<u64>, Error> {
        let subscribers = |topic: &TopicName| self.sessions.subscribers(topic);
        self.with(|relay| relay.next_due(subscribers))
    }

    fn address(&self) -> Result<String, Error> {
        self.with(|relay| relay.name().address())
    }

    async fn catch_up(self: &Rc<Self>, subscription: Subscription) -> Result<Vec<Missed>, Error> {
        let Subscription { wanted, latest, .. } = subscription;
        let mut catch_up = self.with(|relay| relay.catch_up(wanted, latest))?;
        loop {
            let (random, now) = (random()?, platform::now_ms());
            let subscribers = |topic: &TopicName| self.sessions.subscribers(topic);
            let progress =
                self.with(|relay| relay.advance(&mut catch_up, subscribers, random, now))?;
            let needs = match progress {
                Progress::Ready(missed) => {
                    self.tell_how_full()?;
                    return Ok(missed);
                }
                Progress::Needs(needs) => needs,
                Progress::Failed => {
                    return Err(Error::Platform("a topic cannot be followed".to_owned()));
                }
                Progress::Gone => return Ok(vec![]),
            };
            // None of them is given up half-way, even where another one has failed.
            for brought in join_all(needs.into_iter().map(|need| self.bring(need))).await {
                if let Some((topic, missed)) = brought? {
                    self.with(|relay| relay.missed(&mut catch_up, &topic, missed))?;
                }
            }
        }
    }

    fn publish(
        self: &Rc<Self>,
        socket: &WebSocket,
        topic: TopicName,
        event: Event,
    ) -> Result<(), Error> {
        let update = (socket.clone(), event);
        let is_first = self.queue.borrow_mut().push(topic, update);
        if is_first {
            self.later(|relay| async move { relay.publish_all().await });
        }
        Ok(())
    }

    fn emptied(&self, topics: Vec<TopicName>) -> Result<(), Error> {
        for topic in topics {
            let effects = self.with(|relay| relay.emptied(&topic))?;
            self.carry_out(effects)?;
        }
        Ok(())
    }
}

/// Returns the topic that a request names.
fn topic(head: &Head) -> Result<TopicName, Error> {
    Ok(TopicName::parse(
        head.query_value("topic").unwrap_or_default(),
    )?)
}

/// Returns how many subscribers a list is to have at most.
fn most(head: &Head) -> usize {
    let most = head.query_value("most");
    most.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn random() -> Result<u64, Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Error::Platform(error.to_string()))?;
    Ok(u64::from_be_bytes(random))
}
