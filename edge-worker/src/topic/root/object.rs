//! The Durable Object of a topic, its root. Its requests are listed in `client.rs`, its rules are in
//! `headstart_edge_rules::topic::root`; it stores and tells updates, answers who asks for them, and puts
//! the latest value to KV. How it speaks to relays is in `relays.rs`, who is connected to the topic in
//! `presence.rs`.
//!
//! Touches its own SQLite (`store.rs`), KV, its alarm, its connections (`sockets.rs`), and its relays.

use std::{cell::RefCell, rc::Rc, time::Duration};

use headstart_edge_rules::topic::{
    batch::Batch,
    catch_up::Missed,
    fanout::{self, PUSH_BYTES},
    follower::Applied,
    history::History,
    relay_name::ROOT,
    root::{RootEffect, RootLimits, RootState, Stored},
    root_presence::RootPresence,
    subscription::Subscription,
    update::{EventJson, Update},
};
use headstart_protocol::{
    channel::Gap,
    event::Event,
    kv::{TopicMetadata, topic_key},
    limits::{MAX_EVENTS_BODY_BYTES, MAX_WAIT_SECONDS},
    report::EventResult,
    stamps::Stamps,
    topic::TopicName,
};
use serde::Serialize;
use worker::{Delay, Env, State, WebSocket, WebSocketIncomingMessage, web_sys};

use crate::{
    config::{self, Config},
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
        root::{
            self,
            store::{KV_SEQUENCE, SENT, TopicStore},
        },
        sessions::{self, Sessions, object::SubscriberObject, session},
    },
};

/// How many bytes of updates one answer brings; the rest is asked for again.
const ANSWER_BYTES: usize = 1024 * 1024;

/// What the object holds, shared with what it does later.
#[derive(Debug)]
pub struct Root {
    pub(super) env: Env,
    pub(super) sessions: Sessions,
    store: Lazy<TopicStore>,
    /// Loaded by the first request, and anew after a write that failed.
    pub(super) state: Loaded<RootState>,
    /// What is known of who is connected.
    pub(super) presence: RefCell<RootPresence>,
}

/// The body of the answer to `?since=`.
#[derive(Serialize)]
struct Since<'a> {
    topic: &'a TopicName,
    latest: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
    updates: Vec<&'a EventJson>,
    more: bool,
}

durable_object!(TopicDo, Root);

impl ObjectHandlers for Root {
    fn new(state: State, env: Env) -> Self {
        websocket::answer_pings(&state);
        Self {
            sessions: Sessions::of(state),
            env,
            store: Lazy::default(),
            state: Loaded::default(),
            presence: RefCell::default(),
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

impl Root {
    async fn answer(
        self: &Rc<Self>,
        request: &web_sys::Request,
        head: &Head,
        config: &Config,
    ) -> Result<Reply, Error> {
        let (topic, what) = head
            .path
            .strip_prefix("/topics/")
            .and_then(|rest| rest.rsplit_once('/'))
            .ok_or(Error::NotFound)?;
        let topic = TopicName::parse(topic)?;
        self.begin(&topic, config)?;
        sessions::object::forget_ended(self.as_ref())?;
        let reply = match (head.method.as_str(), what) {
            ("POST", "publish") => self.publish_all(request).await,
            ("GET", "latest") => self.latest(head).await,
            ("GET", "since") => self.since(head).await,
            ("GET", "subscribe") => self.subscribe(request, config),
            ("POST", "follow") => self.follow(request).await,
            ("GET", "missed") => self.missed(head),
            ("GET", "subscribers") => self.subscribers().await,
            ("GET", "watch") => self.watch(request, head, config).await,
            ("POST", "acks") => sessions::object::ack(self.as_ref(), request, &topic).await,
            _ => Err(Error::NotFound),
        }?;
        sessions::object::set_alarm(self.as_ref()).await?;
        Ok(reply)
    }

    /// Loads the topic. What an earlier life of the object had stored and not told is told now.
    fn begin(self: &Rc<Self>, topic: &TopicName, config: &Config) -> Result<(), Error> {
        if self.state.is_loaded() {
            return Ok(());
        }
        let stored = match self.stored()? {
            Some(store) => store.load()?,
            None => Stored::default(),
        };
        let limits = RootLimits {
            history: config.topics.history,
            relay_capacity: config.topics.relay_capacity,
            push_bytes: PUSH_BYTES,
        };
        let now = platform::now_ms();
        let (root, effects) = RootState::restore(topic.clone(), limits, stored, now);
        self.sessions.restore();
        self.state.load(root);
        self.carry_out(effects)
    }

    /// Opens a client's subscription here, or answers that its place is at a relay.
    fn subscribe(
        self: &Rc<Self>,
        request: &web_sys::Request,
        config: &Config,
    ) -> Result<Reply, Error> {
        let subscription: Subscription = platform::read_subscription(request)?;
        if let Some(shards) = self.relays_of(subscription.region, config)? {
            return Ok(root::client::at_relays(shards).into());
        }
        if subscription.wire.codec().is_socket() {
            // It outlives the memory of the object, which must know then what it is.
            self.store()?;
        }
        sessions::object::open(self, subscription, config)
    }

    async fn publish_all(self: &Rc<Self>, request: &web_sys::Request) -> Result<Reply, Error> {
        let body = platform::read_body(request, 2 * MAX_EVENTS_BODY_BYTES).await?;
        let events: Vec<Event> = serde_json::from_slice(&body)
            .map_err(|error| Error::Platform(format!("events to publish: {error}")))?;
        Ok(Answer::json(200, &self.publish_events(events)?).into())
    }

    fn publish_events(self: &Rc<Self>, events: Vec<Event>) -> Result<Vec<EventResult>, Error> {
        let own = self.sessions.count();
        let now = platform::now_ms();
        let (results, effects) = self.with(|root| root.publish(events, own, now))?;
        self.carry_out(effects)?;
        Ok(results)
    }

    /// Stores what is to be stored, all of it or nothing, and then does the rest. Nothing is awaited in here,
    /// so the platform holds back what is sent until it is stored.
    ///
    /// Where a write fails, what was decided is forgotten, and nobody is told: the next event loads what is
    /// stored.
    pub(super) fn carry_out(self: &Rc<Self>, effects: Vec<RootEffect>) -> Result<(), Error> {
        let (writes, others): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(RootEffect::is_write);
        if !writes.is_empty()
            && let Err(error) = self.save(writes)
        {
            self.state.forget();
            return Err(error);
        }
        for effect in others {
            match effect {
                RootEffect::Tell(untold) => self.tell(&untold)?,
                RootEffect::FlushIn(ms) => self.later(ms, |root| async move {
                    let now = platform::now_ms();
                    let effects = root.with(|root| root.flush_due(now))?;
                    root.carry_out(effects)
                }),
                RootEffect::WriteKv(update) => {
                    self.later(0, |root| async move { root.write_kv(update).await });
                }
                RootEffect::Fanout(fanout::Effect::Push(order)) => {
                    self.later(0, |root| async move { root.carry_push(order).await });
                }
                // It is a write.
                _ => {}
            }
        }
        Ok(())
    }

    fn save(&self, writes: Vec<RootEffect>) -> Result<(), Error> {
        let store = self.store()?;
        sql::transaction(self.sessions.state(), || {
            writes.into_iter().try_for_each(|write| match write {
                RootEffect::Append {
                    update,
                    identity,
                    at_ms,
                } => store.append(&update, identity, at_ms),
                RootEffect::Trim(trim) => store.trim(trim),
                RootEffect::SaveTold(head) => store.set_number(SENT, head),
                RootEffect::SaveInKv(sequence) => store.set_number(KV_SEQUENCE, sequence),
                RootEffect::Fanout(fanout::Effect::Save(relay)) => store.save_relay(&relay),
                RootEffect::Fanout(fanout::Effect::Forget(relay)) => store.forget_relay(&relay),
                RootEffect::Fanout(fanout::Effect::SaveShards(region, shards)) => {
                    store.save_shards(region, shards)
                }
                // It is no write.
                _ => Ok(()),
            })
        })
    }

    /// Tells the subscribers that are here.
    fn tell(&self, untold: &Applied) -> Result<(), Error> {
        let (topic, head) = self.with(|root| (root.topic().clone(), root.history().head()))?;
        let batch = Batch {
            topic: &topic,
            gap: untold.gap,
            updates: &untold.updates,
            delivered_at_ms: platform::now_ms(),
        };
        self.sessions.tell(&batch, |_| head);
        wake::wake_all(self.sessions.sockets.object());
        Ok(())
    }

    async fn latest(&self, head: &Head) -> Result<Reply, Error> {
        let than = number(head, "than");
        self.wait(head, |history| history.head() == than).await?;
        self.with(|root| match root.history().latest() {
            None => Answer::new(204).into(),
            Some(latest) => {
                let text = latest.event.as_str();
                let body = format!("{}\n{text}", latest.sequence);
                Answer::new(200).body(body.into_bytes()).into()
            }
        })
    }

    async fn since(&self, head: &Head) -> Result<Reply, Error> {
        let after = number(head, "after");
        self.wait(head, |history| history.head() == after).await?;
        self.with(|root| {
            let topic = root.topic();
            let replay = root.history().replay(after, ANSWER_BYTES);
            let gap = replay.gap.map(|first| Gap {
                topic: topic.clone(),
                after,
                first,
            });
            let since = Since {
                topic,
                latest: replay.head,
                gap,
                updates: replay.updates.iter().map(|update| &update.event).collect(),
                more: replay.more,
            };
            Answer::json(200, &since).into()
        })
    }

    /// Waits for an update while there is none that `nothing_new` does not know, as long as the request
    /// says.
    async fn wait(&self, head: &Head, nothing_new: impl Fn(&History) -> bool) -> Result<(), Error> {
        let seconds = number(head, "wait").min(MAX_WAIT_SECONDS.into());
        let until = platform::now_ms() + seconds * 1000;
        let object = self.sessions.sockets.object();
        while self.with(|root| nothing_new(root.history()))? {
            let left = until.saturating_sub(platform::now_ms());
            if left == 0 {
                break;
            }
            if wake::is_full(object) {
                return Err(Error::TooManySubscribers);
            }
            wake::wait(object, Duration::from_millis(left)).await;
        }
        Ok(())
    }

    /// Writes the latest value to KV.
    async fn write_kv(self: &Rc<Self>, update: Update) -> Result<(), Error> {
        let topic = self.with(|root| root.topic().clone())?;
        let written = self.write(&topic, &update).await;
        let now = platform::now_ms();
        match written {
            Ok(()) => {
                let effects = self.with(|root| root.kv_written(update.sequence, now))?;
                self.carry_out(effects)?;
            }
            Err(error) => {
                error.log();
                self.with(|root| root.kv_failed(now))?;
            }
        }
        sessions::object::set_alarm(self.as_ref()).await
    }

    async fn write(&self, topic: &TopicName, update: &Update) -> Result<(), Error> {
        let text = update.event.as_str();
        let event = Event::from_json(text.as_bytes())?;
        let metadata = TopicMetadata {
            sequence: update.sequence,
            event_id: event.id.clone(),
            source: event.source.clone(),
            media_type: event.media_type().to_owned(),
            stamps: Stamps::of_event(&event),
        };
        // Attributes full of characters that JSON escapes do not fit; the event itself has them all.
        let metadata = metadata.to_json().unwrap_or_else(|_| "{}".to_owned());
        platform::write_content(&self.env, &topic_key(topic), text, &metadata).await
    }

    /// The alarm: does what is due.
    async fn wake(self: &Rc<Self>) -> Result<(), Error> {
        let settings = config::of(&self.env);
        if !self.begin_again(config::ready(&settings)?)? {
            return Ok(());
        }
        self.sessions.alarm_rang();
        let now = platform::now_ms();
        let effects = self.with(|root| root.tick(now))?;
        self.carry_out(effects)?;
        sessions::object::set_alarm(self.as_ref()).await
    }

    /// Does something in `ms` milliseconds, or at once where that is 0, while the object stays awake.
    pub(super) fn later<F: Future<Output = Result<(), Error>>>(
        self: &Rc<Self>,
        ms: u64,
        what: impl FnOnce(Rc<Self>) -> F + 'static,
    ) {
        let root = Rc::clone(self);
        self.sessions.state().wait_until(async move {
            if ms > 0 {
                Delay::from(Duration::from_millis(ms)).await;
            }
            if let Err(error) = what(root).await {
                error.log();
            }
        });
    }

    /// Returns the store, if there is one.
    fn stored(&self) -> Result<Option<&TopicStore>, Error> {
        self.store
            .find(|| TopicStore::find(&self.sessions.state().storage().sql()))
    }

    /// Returns the store of the topic that is loaded, which is made if there is none.
    fn store(&self) -> Result<&TopicStore, Error> {
        if let Some(store) = self.stored()? {
            return Ok(store);
        }
        self.store.get(|| {
            let state = self.sessions.state();
            sql::transaction(state, || {
                let store = TopicStore::open(state.storage().sql())?;
                self.with(|root| store.set_topic(root.topic()))??;
                Ok(store)
            })
        })
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut RootState) -> T) -> Result<T, Error> {
        self.state.with(work)
    }
}

impl SubscriberObject for Root {
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
        let topic = match self.stored()? {
            Some(store) => store.topic()?,
            None => None,
        };
        if let Some(topic) = &topic {
            self.begin(topic, config)?;
        }
        Ok(topic.is_some())
    }

    fn next_due(&self) -> Result<Option<u64>, Error> {
        let now = platform::now_ms();
        self.with(|root| root.next_due(now))
    }

    fn address(&self) -> Result<String, Error> {
        Ok(ROOT.to_owned())
    }

    async fn catch_up(self: &Rc<Self>, subscription: Subscription) -> Result<Vec<Missed>, Error> {
        let Subscription { wanted, latest, .. } = subscription;
        let now = platform::now_ms();
        let (missed, effects) = self.with(|root| root.catch_up(&wanted, latest, now))?;
        self.carry_out(effects)?;
        Ok(missed)
    }

    fn publish(
        self: &Rc<Self>,
        socket: &WebSocket,
        _topic: TopicName,
        event: Event,
    ) -> Result<(), Error> {
        for result in self.publish_events(vec![event])? {
            session::published(socket, result);
        }
        Ok(())
    }

    fn emptied(&self, _topics: Vec<TopicName>) -> Result<(), Error> {
        Ok(())
    }
}

pub(super) fn number(head: &Head, name: &str) -> u64 {
    head.query_value(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}
