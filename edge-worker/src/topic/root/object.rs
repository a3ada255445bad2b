//! What a topic's root object does: numbers updates, stores and tells them, answers who asks for them,
//! and puts the latest value to KV. Its rules are in `headstart_edge_rules::topic`; how it
//! speaks to relays is in `relays.rs`, who is connected to the topic in `presence.rs`.

use std::{
    cell::{OnceCell, RefCell},
    rc::Rc,
    time::Duration,
};

use headstart_edge_rules::topic::{
    batch::Batch,
    catch_up::Missed,
    coalesce::{Coalesce, Flush},
    fanout::Fanout,
    history::{Appended, History, Identity, Replay},
    kv_pace::KvPace,
    relay_name::ROOT,
    subscription::Subscription,
    update::{EventJson, Update},
};
use headstart_protocol::{
    channel::Gap,
    event::Event,
    kv::{TopicMetadata, topic_key},
    limits::{MAX_EVENTS_BODY_BYTES, MAX_WAIT_SECONDS},
    report::{EventResult, Status},
    stamps::Stamps,
    topic::TopicName,
    update,
};
use serde::Serialize;
use worker::{Delay, Env, State, WebSocket, web_sys};

use crate::{
    config::{self, Config},
    http::{answer::Answer, error::Error, head::Head, request::Reply},
    platform::{self, wake},
    topic::{
        root::{
            self,
            presence::Presence,
            store::{KV_SEQUENCE, SENT, TopicStore},
        },
        sessions::{self, Sessions, object::SubscriberObject, session},
    },
};

/// How many bytes of updates one answer brings; the rest is asked for again.
const ANSWER_BYTES: usize = 1024 * 1024;

/// After how long a write to KV that nothing was heard of is looked after, in milliseconds: the object
/// may have ended in the middle of it.
const LOOK_AFTER_MS: u64 = 5_000;

/// What the object holds, shared with what it does later.
#[derive(Debug)]
pub struct Root {
    pub(super) env: Env,
    pub(super) connections: Sessions,
    pub(super) store: OnceCell<TopicStore>,
    /// Loaded by the first request.
    pub(super) memory: RefCell<Option<Memory>>,
}

#[derive(Debug)]
pub struct Memory {
    pub(super) topic: TopicName,
    pub(super) history: History,
    pub(super) latest: KvPace,
    pub(super) coalesce: Coalesce,
    /// Numbered and stored, and not yet told to anyone.
    pub(super) untold: Vec<Update>,
    /// The topic's relays.
    pub(super) fanout: Fanout,
    /// What is known of who is connected.
    pub(super) presence: Presence,
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

impl Root {
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
        let (topic, what) = head
            .path
            .strip_prefix("/topics/")
            .and_then(|rest| rest.rsplit_once('/'))
            .ok_or(Error::NotFound)?;
        let topic = TopicName::parse(topic)?;
        self.begin(&topic, config)?;
        sessions::object::forget_ended(self.as_ref())?;
        let reply = match (head.method.as_str(), what) {
            ("POST", "publish") => self.take_all(request).await,
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
    pub(super) fn begin(self: &Rc<Self>, topic: &TopicName, config: &Config) -> Result<(), Error> {
        if self.memory.borrow().is_some() {
            return Ok(());
        }
        let limits = config.topics.history;
        let mut memory = Memory {
            topic: topic.clone(),
            history: History::restore(limits, [], []),
            latest: KvPace::restore(0, 0),
            coalesce: Coalesce::default(),
            untold: vec![],
            fanout: Fanout::restore(config.topics.relay_capacity, 0, [], []),
            presence: Presence::default(),
        };
        if let Some(store) = self.stored()? {
            memory.history = History::restore(limits, store.history()?, store.taken()?);
            let (sent, head) = (store.number(SENT)?, memory.history.head());
            if sent != head {
                memory.untold = memory.history.replay(sent, usize::MAX).updates;
            }
            memory.latest = KvPace::restore(head, store.number(KV_SEQUENCE)?);
            let (relays, shards) = (store.relays()?, store.shards()?);
            let capacity = config.topics.relay_capacity;
            memory.fanout = Fanout::restore(capacity, head, relays, shards);
        }
        self.connections.restore();
        *self.memory.borrow_mut() = Some(memory);
        self.flush()?;
        self.ask_relays()
    }

    /// A client subscribes here, or is told that its place is at a relay.
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

    async fn take_all(self: &Rc<Self>, request: &web_sys::Request) -> Result<Reply, Error> {
        let body = platform::read_body(request, 2 * MAX_EVENTS_BODY_BYTES).await?;
        let events: Vec<Event> = serde_json::from_slice(&body)
            .map_err(|error| Error::Platform(format!("events to publish: {error}")))?;
        Ok(Answer::json(200, &self.take(events)?).into())
    }

    /// Numbers events, stores them, and tells the subscribers. Nothing is awaited, so all of it is
    /// stored together, and the platform holds back what is sent until it is.
    pub(super) fn take(self: &Rc<Self>, events: Vec<Event>) -> Result<Vec<EventResult>, Error> {
        let now = platform::now_ms();
        let mut results = Vec::with_capacity(events.len());
        for mut event in events {
            let id = event.id.clone();
            let identity = Identity::of(&event.source, &event.id);
            let appended = self.with(|memory| {
                memory.history.append(identity, now, |sequence| {
                    update::number(&mut event, sequence, now);
                    EventJson::of(&event)
                })
            })?;
            let status = match appended {
                Appended::Duplicate { .. } => Status::Duplicate,
                Appended::New { update, trim } => {
                    let store = self.store()?;
                    store.append(&update, identity, now)?;
                    store.trim(trim)?;
                    self.with(|memory| memory.untold.push(update))?;
                    Status::Accepted
                }
            };
            results.push(EventResult {
                id,
                status,
                reason: None,
            });
        }
        let subscribers = self.connections.count();
        let arrived = self.with(|memory| {
            memory.latest.advanced(memory.history.head());
            let news = !memory.untold.is_empty();
            news.then(|| memory.coalesce.arrived(subscribers, now))
        })?;
        match arrived {
            Some(Flush::Now) => self.flush()?,
            Some(Flush::In(ms)) => self.later(ms, |root| async move {
                root.with(|memory| memory.coalesce.flushed(platform::now_ms()))?;
                root.flush()
            }),
            Some(Flush::Scheduled) | None => {}
        }
        self.position();
        Ok(results)
    }

    /// Tells everyone what is untold.
    pub(super) fn flush(self: &Rc<Self>) -> Result<(), Error> {
        let (topic, untold, head) = self.with(|memory| {
            let untold = std::mem::take(&mut memory.untold);
            (memory.topic.clone(), untold, memory.history.head())
        })?;
        if untold.is_empty() {
            return Ok(());
        }
        self.store()?.set_number(SENT, head)?;
        let told = Batch {
            topic: &topic,
            gap: None,
            updates: &untold,
            delivered_at_ms: platform::now_ms(),
        };
        self.connections.tell(&told, |_| head);
        wake::wake_all(self.connections.sockets.object());
        self.push(head)
    }

    pub(super) async fn latest(&self, head: &Head) -> Result<Reply, Error> {
        let than = number(head, "than");
        self.wait(head, |memory| memory.history.head() == than)
            .await?;
        self.with(|memory| match memory.history.latest() {
            None => Answer::new(204).into(),
            Some(latest) => {
                let text = latest.event.as_str();
                let body = format!("{}\n{text}", latest.sequence);
                Answer::new(200).body(body.into_bytes()).into()
            }
        })
    }

    pub(super) async fn since(&self, head: &Head) -> Result<Reply, Error> {
        let after = number(head, "after");
        self.wait(head, |memory| memory.history.head() == after)
            .await?;
        self.with(|memory| {
            let replay = memory.history.replay(after, ANSWER_BYTES);
            let gap = replay.gap.map(|first| Gap {
                topic: memory.topic.clone(),
                after,
                first,
            });
            let since = Since {
                topic: &memory.topic,
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
    pub(super) async fn wait(
        &self,
        head: &Head,
        nothing_new: impl Fn(&Memory) -> bool,
    ) -> Result<(), Error> {
        let seconds = number(head, "wait").min(MAX_WAIT_SECONDS.into());
        let until = platform::now_ms() + seconds * 1000;
        let object = self.connections.sockets.object();
        while self.with(|memory| nothing_new(memory))? {
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

    /// Puts the latest value to KV, if it is time.
    pub(super) fn position(self: &Rc<Self>) {
        let begun = self.with(|memory| {
            let sequence = memory.latest.begin(platform::now_ms())?;
            let event = memory.history.latest()?.event.clone();
            Some((sequence, event, memory.topic.clone()))
        });
        let Ok(Some((sequence, event, topic))) = begun else {
            return;
        };
        let root = Rc::clone(self);
        self.connections.state().wait_until(async move {
            let written = root.write(&topic, sequence, &event).await;
            let now = platform::now_ms();
            let settled = match written {
                Ok(()) => root
                    .with(|memory| memory.latest.done(sequence, now))
                    .and_then(|()| root.store()?.set_number(KV_SEQUENCE, sequence)),
                Err(error) => {
                    error.log();
                    root.with(|memory| memory.latest.failed(now))
                }
            };
            log(settled);
            log(sessions::object::set_alarm(root.as_ref()).await);
        });
    }

    pub(super) async fn write(
        &self,
        topic: &TopicName,
        sequence: u64,
        event: &EventJson,
    ) -> Result<(), Error> {
        let parsed = Event::from_json(event.as_str().as_bytes())?;
        let metadata = TopicMetadata {
            sequence,
            event_id: parsed.id.clone(),
            source: parsed.source.clone(),
            media_type: parsed.media_type().to_owned(),
            stamps: Stamps::of_event(&parsed),
        };
        // Attributes full of characters that JSON escapes do not fit; the event itself has them all.
        let metadata = metadata.to_json().unwrap_or_else(|_| "{}".to_owned());
        platform::write_content(&self.env, &topic_key(topic), event.as_str(), &metadata).await
    }

    /// The alarm: does what is due.
    pub(super) async fn wake(self: &Rc<Self>) -> Result<(), Error> {
        let settings = config::of(&self.env);
        if !self.begin_again(config::ready(&settings)?)? {
            return Ok(());
        }
        let now = platform::now_ms();
        let trim = self.with(|memory| memory.history.trim(now))?;
        self.store()?.trim(trim)?;
        self.connections.alarm_rang();
        self.ask_relays()?;
        self.position();
        sessions::object::set_alarm(self.as_ref()).await
    }

    /// Does something in `ms` milliseconds, while the object stays awake.
    pub(super) fn later<F: Future<Output = Result<(), Error>>>(
        self: &Rc<Self>,
        ms: u64,
        what: impl FnOnce(Rc<Self>) -> F + 'static,
    ) {
        let root = Rc::clone(self);
        self.connections.state().wait_until(async move {
            Delay::from(Duration::from_millis(ms)).await;
            log(what(root).await);
        });
    }

    /// The store, if there is one.
    fn stored(&self) -> Result<Option<&TopicStore>, Error> {
        if self.store.get().is_none()
            && let Some(store) = TopicStore::find(&self.connections.state().storage().sql())?
        {
            let _ = self.store.set(store);
        }
        Ok(self.store.get())
    }

    /// The store of the topic that is loaded, which is made if there is none.
    pub(super) fn store(&self) -> Result<&TopicStore, Error> {
        if let Some(store) = self.stored()? {
            return Ok(store);
        }
        let store = TopicStore::open(self.connections.state().storage().sql())?;
        self.with(|memory| store.set_topic(&memory.topic))??;
        Ok(self.store.get_or_init(|| store))
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> Result<T, Error> {
        self.memory
            .borrow_mut()
            .as_mut()
            .map(act)
            .ok_or_else(|| Error::Platform("a topic that was not loaded".to_owned()))
    }
}

impl SubscriberObject for Root {
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
        self.with(|memory| {
            let value = match memory.latest.next_due() {
                Some(at) => Some(at),
                // Being written right now.
                None if memory.latest.is_behind() => Some(now + LOOK_AFTER_MS),
                None => None,
            };
            let relays = memory.fanout.next_due();
            let due = [value, relays, memory.history.next_due()];
            due.into_iter().flatten().min()
        })
    }

    fn address(&self) -> Result<String, Error> {
        Ok(ROOT.to_owned())
    }

    /// Everyone else is told first what is untold, so that all are at the head.
    async fn catch_up(self: &Rc<Self>, subscription: Subscription) -> Result<Vec<Missed>, Error> {
        self.flush()?;
        self.with(|memory| {
            let head = memory.history.head();
            let topics = subscription.wanted.iter();
            topics
                .map(|wanted| {
                    let after = subscription.begins_after(wanted.cursor, head);
                    let missed = if after == head {
                        Replay::at_head(head)
                    } else {
                        memory.history.replay(after, usize::MAX)
                    };
                    Missed::of(wanted.topic.clone(), missed)
                })
                .collect()
        })
    }

    fn publish(
        self: &Rc<Self>,
        socket: &WebSocket,
        _topic: TopicName,
        event: Event,
    ) -> Result<(), Error> {
        for result in self.take(vec![event])? {
            session::published(socket, result);
        }
        Ok(())
    }

    fn emptied(&self, _topics: Vec<TopicName>) -> Result<(), Error> {
        Ok(())
    }
}

pub(super) fn log(result: Result<(), Error>) {
    if let Err(error) = result {
        error.log();
    }
}

pub(super) fn number(head: &Head, name: &str) -> u64 {
    head.query_value(name)
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}
