//! What a relay does: follows its topics at their roots while somebody is here for them, takes what is
//! pushed, tells its subscribers, and hands on to the other relays of its region. How far it has got is
//! in `follower.rs`.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, VecDeque},
    pin::pin,
    rc::Rc,
    time::Duration,
};

use futures_util::{future::join_all, poll};
use headstart_edge_rules::topic::{
    batch::Batch,
    catch_up::Missed,
    fanout::PUSH_BYTES,
    follower::{Applied, Follower, Resume},
    history::Replay,
    messages::{Follow, FollowAnswer, Push, PushAnswer, Standing},
    relay_name::RelayName,
    subscription::{Subscription, Wanted},
};
use headstart_protocol::{event::Event, report::Status, topic::TopicName};
use worker::{Delay, Env, State, WebSocket, web_sys};

use crate::{
    config::{self, Config},
    events,
    http::{answer::Answer, error::Error, head::Head, request::Reply},
    platform::{self, wake},
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

/// Most updates of a subscriber that one request to a root holds.
const PUBLISH_COUNT: usize = 100;

/// What the object holds, shared with what it does later.
#[derive(Debug)]
pub struct Relay {
    pub(super) env: Env,
    connections: Sessions,
    store: OnceCell<RelayStore>,
    /// Loaded by the first request.
    memory: RefCell<Option<Memory>>,
}

#[derive(Debug)]
struct Memory {
    name: RelayName,
    capacity: u32,
    legs: BTreeMap<TopicName, Leg>,
    /// What subscribers have published, on its way to the roots, in their order.
    published: VecDeque<(WebSocket, TopicName, Event)>,
    publishing: bool,
}

impl Memory {
    /// The relay's way to a topic, which begins where there is none.
    fn leg(&mut self, topic: &TopicName) -> &mut Leg {
        let capacity = self.capacity;
        self.legs
            .entry(topic.clone())
            .or_insert_with(|| Leg::new(capacity, None))
    }
}

/// The relay's way to one topic.
#[derive(Debug)]
struct Leg {
    follower: Follower,
    /// The number of the last follow.
    asked: u64,
    /// One is on its way.
    asking: bool,
    /// The number of the last one that was answered.
    answered: u64,
}

impl Leg {
    fn new(capacity: u32, head: Option<u64>) -> Self {
        Self {
            follower: Follower::new(capacity, head),
            asked: 0,
            asking: false,
            answered: 0,
        }
    }
}

/// A subscriber's way to the head of one topic.
#[derive(Debug)]
struct CatchUp {
    wanted: Wanted,
    /// Up to where it has everything.
    at: Option<u64>,
    /// A follow that was sent after it came has been answered.
    followed: bool,
    parts: Vec<Replay>,
}

/// What a subscriber's way needs next.
enum Needs {
    /// The answer to a follow that is yet to be sent: the one with this number.
    Follow(u64),
    /// What came after this, from the root.
    Root(u64),
}

impl Relay {
    /// The object as it begins: nothing is loaded yet.
    pub(super) fn new(state: State, env: Env) -> Self {
        Self {
            connections: Sessions::of(state),
            env,
            store: OnceCell::new(),
            memory: RefCell::new(None),
        }
    }

    pub(super) async fn answer(
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
                let mut list = self.connections.list(&topic(head)?);
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
        if self.memory.borrow().is_some() {
            return Ok(());
        }
        self.connections.restore();
        let capacity = config.topics.relay_capacity;
        let mut legs = BTreeMap::new();
        if let Some(store) = self.stored()? {
            for (topic, head) in store.heads()? {
                if self.connections.subscribers(&topic) > 0 {
                    legs.insert(topic, Leg::new(capacity, Some(head)));
                } else {
                    store.forget_head(&topic)?;
                }
            }
        }
        *self.memory.borrow_mut() = Some(Memory {
            name: name.clone(),
            capacity,
            legs,
            published: VecDeque::new(),
            publishing: false,
        });
        Ok(())
    }

    fn subscribe(
        self: &Rc<Self>,
        request: &web_sys::Request,
        config: &Config,
    ) -> Result<Reply, Error> {
        let subscription: Subscription = platform::read_subscription(request)?;
        if self.connections.count() >= config.topics.relay_capacity {
            return Err(Error::TooManySubscribers);
        }
        // It outlives the memory of the object, which must know then what it is.
        self.store()?;
        sessions::object::open(self, subscription, config)
    }

    /// What still lies between subscribers and their topics' heads; `None` for those that are there.
    fn needs(
        &self,
        ways: &mut [CatchUp],
        subscription: &Subscription,
    ) -> Result<Vec<Option<Needs>>, Error> {
        self.with(|memory| {
            let mut needs = Vec::with_capacity(ways.len());
            for way in ways {
                let topic = &way.wanted.topic;
                let leg = memory.leg(topic);
                if let (None, Some(head)) = (way.at, leg.follower.head()) {
                    way.at = Some(subscription.begins_after(way.wanted.cursor, head));
                }
                let at = way.at.or(way.wanted.cursor);
                needs.push(match leg.follower.resume(at, way.followed) {
                    Resume::Ready(replay) => {
                        way.parts.push(replay);
                        None
                    }
                    Resume::Follow => Some(Needs::Follow(leg.asked + 1)),
                    Resume::AskRoot => Some(Needs::Root(at.unwrap_or(0))),
                });
            }
            needs
        })
    }

    /// Brings a subscriber one step nearer to the head of a topic.
    async fn step(self: &Rc<Self>, way: &mut CatchUp, needs: Option<Needs>) -> Result<(), Error> {
        let topic = &way.wanted.topic;
        match needs {
            None => {
                // Another topic keeps the subscriber waiting: by then there may be more.
                let ready = way.parts.last();
                way.at = ready.map(Replay::reaches).or(way.at);
            }
            Some(Needs::Follow(number)) => {
                self.followed(topic, number).await?;
                way.followed = true;
            }
            Some(Needs::Root(after)) => {
                let missed = root::client::missed(&self.env, topic, after);
                let missed = platform::within(ASK_WITHIN, missed).await?;
                let part = self.with(|memory| match memory.legs.get(topic) {
                    Some(leg) => leg.follower.up_to_head(missed),
                    None => Replay {
                        more: true,
                        ..Replay::at_head(after)
                    },
                })?;
                way.at = Some(part.reaches());
                way.parts.push(part);
            }
        }
        Ok(())
    }

    /// Waits until the follow with this number, or a later one, has been answered. One is on its way at
    /// a time, for all who wait.
    async fn followed(self: &Rc<Self>, topic: &TopicName, number: u64) -> Result<(), Error> {
        loop {
            let (answered, asked, asking) = self.with(|memory| {
                let leg = memory.legs.get(topic);
                leg.map_or((0, 0, false), |leg| (leg.answered, leg.asked, leg.asking))
            })?;
            if answered >= number {
                return Ok(());
            }
            if asking {
                wake::wait(&self.waiting_for(topic), ASK_WITHIN).await;
            } else if asked >= number {
                return Err(Error::Platform("the topic cannot be followed".to_owned()));
            } else {
                self.follow(topic).await?;
            }
        }
    }

    /// Follows a topic, or tells again that it does.
    async fn follow(self: &Rc<Self>, topic: &TopicName) -> Result<(), Error> {
        let subscribers = self.connections.subscribers(topic);
        let random = random()?;
        let (number, follow) = self.with(|memory| {
            let (name, now) = (memory.name.clone(), platform::now_ms());
            let leg = memory.leg(topic);
            leg.asked += 1;
            leg.asking = true;
            let follow = leg.follower.follow(name, subscribers, random, now);
            (leg.asked, follow)
        })?;
        let answer = root::client::follow(&self.env, topic, &follow);
        let answer = platform::within(ASK_WITHIN, answer).await;
        let told = self.answered(topic, number, &follow, answer);
        wake::wake_all(&self.waiting_for(topic));
        told?;
        sessions::object::set_alarm(self.as_ref()).await
    }

    fn answered(
        &self,
        topic: &TopicName,
        number: u64,
        follow: &Follow,
        answer: Result<FollowAnswer, Error>,
    ) -> Result<(), Error> {
        let now = platform::now_ms();
        let applied = self.with(|memory| {
            let leg = memory.legs.get_mut(topic)?;
            leg.asking = false;
            match answer {
                Ok(answer) => {
                    leg.answered = number;
                    Some(leg.follower.caught_up(follow, &answer.missed, now))
                }
                Err(error) => {
                    error.log();
                    leg.follower.follow_failed(now);
                    None
                }
            }
        })?;
        match applied {
            Some(applied) => self.hand_out(topic, &applied),
            None => Ok(()),
        }
    }

    fn waiting_for(&self, topic: &TopicName) -> String {
        format!("{} follows {topic}", self.connections.sockets.object())
    }

    /// Hands everyone here what is new of a topic, and remembers how far they have got.
    fn hand_out(&self, topic: &TopicName, applied: &Applied) -> Result<(), Error> {
        let store = self.store()?;
        let head = self.with(|memory| memory.legs.get(topic)?.follower.head())?;
        if self.connections.subscribers(topic) == 0 {
            return self.emptied(vec![topic.clone()]);
        }
        if let Some(head) = head {
            store.set_head(topic, head)?;
        }
        if applied.is_empty() {
            return Ok(());
        }
        let flush = Batch {
            topic,
            gap: applied.gap,
            updates: &applied.updates,
            delivered_at_ms: platform::now_ms(),
        };
        let memory = self.memory.borrow();
        let head = |topic: &TopicName| {
            let leg = memory.as_ref()?.legs.get(topic)?;
            leg.follower.head()
        };
        self.connections
            .tell(&flush, |topic| head(topic).unwrap_or(0));
        Ok(())
    }

    /// `POST .../push`. The answer begins at once: whoever pushes has but six requests that wait for the
    /// beginning of one.
    async fn push(self: &Rc<Self>, request: &web_sys::Request) -> Result<Reply, Error> {
        let body = platform::read_body(request, MAX_PUSH_BYTES).await?;
        let push: Push = serde_json::from_slice(&body)
            .map_err(|error| Error::Platform(format!("a push: {error}")))?;
        let relay = Rc::clone(self);
        let answers = platform::body_of(async move {
            let answers = relay.take(push).await?;
            serde_json::to_string(&answers)
                .map_err(|error| Error::Platform(format!("a push's answer: {error}")))
        });
        Ok(Answer::new(200).stream(answers).into())
    }

    /// Takes a push and hands it on, which begins first.
    async fn take(self: &Rc<Self>, push: Push) -> Result<Vec<PushAnswer>, Error> {
        let handed_on = push.forwards().map(|(to, push)| async move {
            let answers =
                platform::within(HAND_ON_WITHIN, relay::client::push(&self.env, to, &push));
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
        let mut answers = vec![self.apply(&push)?];
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
        let subscribers = self.connections.subscribers(&push.topic);
        let (applied, answer) = self.with(|memory| {
            let name = memory.name.clone();
            match memory.legs.get_mut(&push.topic) {
                Some(leg) => leg.follower.pushed(name, push, subscribers),
                None => (
                    Applied::default(),
                    PushAnswer {
                        relay: name,
                        epoch: push.epoch,
                        subscribers: 0,
                        standing: Standing::Unfollow,
                    },
                ),
            }
        })?;
        self.hand_out(&push.topic, &applied)?;
        Ok(answer)
    }

    /// Sends what subscribers have published to the topics' roots, in its order.
    async fn publish_all(self: &Rc<Self>) -> Result<(), Error> {
        loop {
            let together = self.with(|memory| {
                let topic = memory.published.front().map(|(_, topic, _)| topic.clone());
                memory.publishing = topic.is_some();
                let topic = topic?;
                let of_topic = |next: &(WebSocket, TopicName, Event)| next.1 == topic;
                let mut together = Vec::new();
                while together.len() < PUBLISH_COUNT
                    && memory.published.front().is_some_and(of_topic)
                    && let Some((socket, _, event)) = memory.published.pop_front()
                {
                    together.push((socket, event));
                }
                Some((topic, together))
            })?;
            let Some((topic, together)) = together else {
                return Ok(());
            };
            let events: Vec<&Event> = together.iter().map(|(_, event)| event).collect();
            let published = root::client::publish(&self.env, &topic, &events);
            match platform::within(ASK_WITHIN, published).await {
                Ok(results) => {
                    for ((socket, _), result) in together.iter().zip(results) {
                        session::published(socket, result);
                    }
                }
                Err(error) => {
                    error.log();
                    for (socket, event) in &together {
                        session::publish_failed(socket, &event.id, Status::Retry, events::AGAIN);
                    }
                }
            }
        }
    }

    /// The alarm: does what is due.
    pub(super) async fn wake(self: &Rc<Self>) -> Result<(), Error> {
        let settings = config::of(&self.env);
        if !self.begin_again(config::ready(&settings)?)? {
            return Ok(());
        }
        self.connections.alarm_rang();
        sessions::object::forget_ended(self.as_ref())?;
        self.follow_all(self.due()?).await?;
        sessions::object::set_alarm(self.as_ref()).await
    }

    /// The topics that it is time to follow, or to follow again.
    fn due(&self) -> Result<Vec<TopicName>, Error> {
        let now = platform::now_ms();
        let mut due = self.connections.topics();
        self.with(|memory| {
            due.retain(|topic| {
                let subscribers = self.connections.subscribers(topic);
                let leg = memory.legs.get(topic);
                leg.is_none_or(|leg| !leg.asking && leg.follower.follow_due(subscribers, now))
            });
        })?;
        Ok(due)
    }

    async fn follow_all(self: &Rc<Self>, topics: Vec<TopicName>) -> Result<(), Error> {
        let followed = join_all(topics.iter().map(|topic| self.follow(topic)));
        followed.await.into_iter().collect()
    }

    /// Where so many have come that a root must know of it, tells it.
    fn tell_how_full(self: &Rc<Self>) -> Result<(), Error> {
        let due = self.due()?;
        if !due.is_empty() {
            let relay = Rc::clone(self);
            self.connections.state().wait_until(async move {
                if let Err(error) = relay.follow_all(due).await {
                    error.log();
                }
            });
        }
        Ok(())
    }

    /// The store, if there is one.
    fn stored(&self) -> Result<Option<&RelayStore>, Error> {
        if self.store.get().is_none()
            && let Some(store) = RelayStore::find(&self.connections.state().storage().sql())?
        {
            let _ = self.store.set(store);
        }
        Ok(self.store.get())
    }

    /// The store of the relay that is loaded, which is made if there is none.
    fn store(&self) -> Result<&RelayStore, Error> {
        if let Some(store) = self.stored()? {
            return Ok(store);
        }
        let store = RelayStore::open(self.connections.state().storage().sql())?;
        self.with(|memory| store.set_name(&memory.name))??;
        Ok(self.store.get_or_init(|| store))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> Result<T, Error> {
        self.memory
            .borrow_mut()
            .as_mut()
            .map(act)
            .ok_or_else(|| Error::Platform("a relay that was not loaded".to_owned()))
    }
}

impl SubscriberObject for Relay {
    fn sessions(&self) -> &Sessions {
        &self.connections
    }

    fn env(&self) -> &Env {
        &self.env
    }

    fn begin_again(self: &Rc<Self>, config: &Config) -> Result<bool, Error> {
        if self.memory.borrow().is_some() {
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
        self.with(|memory| {
            let legs = memory.legs.iter();
            legs.filter(|(topic, leg)| !leg.asking && self.connections.subscribers(topic) > 0)
                .map(|(_, leg)| leg.follower.next_follow())
                .min()
        })
    }

    fn address(&self) -> Result<String, Error> {
        self.with(|memory| memory.name.address())
    }

    async fn catch_up(self: &Rc<Self>, subscription: Subscription) -> Result<Vec<Missed>, Error> {
        let wanted = subscription.wanted.iter();
        let mut ways: Vec<CatchUp> = wanted
            .map(|wanted| CatchUp {
                wanted: wanted.clone(),
                at: None,
                followed: false,
                parts: vec![],
            })
            .collect();
        loop {
            let needs = self.needs(&mut ways, &subscription)?;
            if needs.iter().all(Option::is_none) {
                break;
            }
            let steps = ways.iter_mut().zip(needs);
            // None of them is given up half-way, even where another one has failed.
            let steps = join_all(steps.map(|(way, needs)| self.step(way, needs)));
            steps.await.into_iter().collect::<Result<(), Error>>()?;
        }
        self.tell_how_full()?;
        let ways = ways.into_iter();
        Ok(ways
            .map(|way| {
                let first = way.parts.first().map_or(0, |part| part.after);
                let head = way.parts.last().map_or(0, |part| part.head);
                Missed {
                    topic: way.wanted.topic,
                    after: first,
                    head,
                    parts: way.parts,
                }
            })
            .collect())
    }

    fn publish(
        self: &Rc<Self>,
        socket: &WebSocket,
        topic: TopicName,
        event: Event,
    ) -> Result<(), Error> {
        let begin = self.with(|memory| {
            memory.published.push_back((socket.clone(), topic, event));
            !std::mem::replace(&mut memory.publishing, true)
        })?;
        if begin {
            let relay = Rc::clone(self);
            self.connections.state().wait_until(async move {
                if let Err(error) = relay.publish_all().await {
                    error.log();
                }
            });
        }
        Ok(())
    }

    /// Nobody is at the heads of these topics any more.
    fn emptied(&self, topics: Vec<TopicName>) -> Result<(), Error> {
        if topics.is_empty() {
            return Ok(());
        }
        let store = self.store()?;
        for topic in topics {
            self.with(|memory| {
                if let Some(leg) = memory.legs.get_mut(&topic) {
                    leg.follower.emptied();
                    // Somebody may still wait for what is on its way.
                    if !leg.asking {
                        memory.legs.remove(&topic);
                    }
                }
            })?;
            store.forget_head(&topic)?;
        }
        Ok(())
    }
}

/// The topic that a request names.
fn topic(head: &Head) -> Result<TopicName, Error> {
    Ok(TopicName::parse(
        head.query_value("topic").unwrap_or_default(),
    )?)
}

/// How many subscribers a list is to have at most.
fn most(head: &Head) -> usize {
    let most = head.query_value("most");
    most.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn random() -> Result<u64, Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| Error::Platform(error.to_string()))?;
    Ok(u64::from_be_bytes(random))
}
