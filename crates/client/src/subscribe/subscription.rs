//! A subscription: keeps one connection to the edge, opens the next one when it breaks, and hands out
//! what comes, each update once and in its topic's order.

use std::{collections::VecDeque, time::Duration};

use headstart_protocol::{
    channel::{Ack, Down, Gap, PONG_TEXT, Secret, Up, Welcome},
    cursor::Cursors,
    event::Event,
    topic::TopicName,
    update,
};
use tokio::time::{Instant, sleep_until, timeout_at};
use url::Url;

use super::{
    SubscribeError,
    acks::Acks,
    line::Line,
    request::{self, From},
    tracker::{Arrival, Tracker},
    transport::Transport,
};
use crate::{backoff::Backoff, clock::now_ms, token::Token};

/// First and longest wait after a connection broke, jitter not counted. An edge may ask for another
/// first one (`retry:`).
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// A connection over which nothing came for this long is dead: the edge sends a comment every 20 s or
/// so, and answers a ping at once.
const DEAD_AFTER: Duration = Duration::from_mins(1);

/// How long a WebSocket may be silent until the edge is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(20);

/// How long the edge may take for its welcome: longer than it waits itself for a token that is missing,
/// so that it can say so.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(15);

/// Where a subscription begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Head,
    /// With the latest update of each topic.
    Latest,
    /// After these, with what the edge still has.
    After(Cursors),
}

/// What to follow, and how.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// The edge.
    pub edge: Url,
    /// The topics: one to 32.
    pub topics: Vec<TopicName>,
    /// How.
    pub transport: Transport,
    /// Where it begins.
    pub start: Start,
    /// Opens private topics.
    pub token: Option<Token>,
    /// Whether the edge is told of each update that it has arrived.
    pub acks: bool,
}

/// An update in hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The topic.
    pub topic: TopicName,
    /// Its number on the topic.
    pub sequence: u64,
    /// When it arrived, by the subscriber's clock, in ms since the Unix epoch.
    pub arrived_at_ms: u64,
    /// The event.
    pub event: Event,
}

/// What happens to a subscriber.
#[derive(Debug, Clone, PartialEq)]
pub enum SubscriptionEvent {
    /// It is connected; the edge named the heads of its topics.
    Connected(Welcome),
    /// An update.
    Update(Box<Update>),
    /// Updates are lost to it.
    Gap(Gap),
    /// The connection broke. It is opened again.
    Lost {
        /// Why.
        reason: String,
        /// After how long.
        retry_in: Duration,
    },
}

/// A subscription.
#[derive(Debug)]
pub struct Subscription {
    plan: Subscribe,
    tracker: Tracker,
    connection: Option<Connection>,
    /// What has come and was not handed out.
    come: VecDeque<SubscriptionEvent>,
    backoff: Backoff,
    resume_at: Instant,
    acks: Option<Acks>,
}

#[derive(Debug)]
struct Connection {
    line: Line,
    /// The secret id under which it acks; none before the welcome.
    subscriber: Option<Secret>,
    opened_at: Instant,
    heard_at: Instant,
    pinged: bool,
}

impl Subscription {
    /// Returns a subscription, which connects when it is first asked for what happens.
    ///
    /// # Errors
    /// [`SubscribeError`], where the HTTP client for acks cannot be built.
    pub fn new(plan: Subscribe) -> Result<Self, SubscribeError> {
        let cursors = match &plan.start {
            Start::After(cursors) => cursors.clone(),
            Start::Head | Start::Latest => Cursors::default(),
        };
        let acks = if plan.acks && plan.transport == Transport::Sse {
            Some(Acks::start(plan.edge.clone(), plan.token.clone())?)
        } else {
            None
        };
        Ok(Self {
            tracker: Tracker::new(plan.topics.clone(), &cursors),
            plan,
            connection: None,
            come: VecDeque::new(),
            backoff: Backoff::new(WAITS.0, WAITS.1),
            resume_at: Instant::now(),
            acks,
        })
    }

    /// Returns what happens next. Waits as long as it takes; it may be dropped and asked again.
    ///
    /// # Errors
    /// [`SubscribeError`], where trying again does not help.
    pub async fn next(&mut self) -> Result<SubscriptionEvent, SubscribeError> {
        loop {
            if let Some(event) = self.come.pop_front() {
                if let SubscriptionEvent::Update(update) = &event {
                    self.ack(update.topic.clone(), update.sequence).await;
                }
                return Ok(event);
            }
            let step = if self.connection.is_none() {
                self.connect().await
            } else {
                self.hear().await
            };
            if let Err(error) = step {
                if !error.is_passing() {
                    return Err(error);
                }
                self.lose(&error);
            }
        }
    }

    /// Ends it, and waits a moment for the last acks to arrive.
    pub async fn close(self) {
        if let Some(mut connection) = self.connection {
            connection.line.close().await;
        }
        if let Some(acks) = self.acks {
            acks.end().await;
        }
    }

    async fn connect(&mut self) -> Result<(), SubscribeError> {
        sleep_until(self.resume_at).await;
        let from = match (self.tracker.cursor(), &self.plan.start) {
            (Some(cursor), _) => From::Cursor(cursor),
            (None, Start::Latest) => From::Latest,
            (None, _) => From::Head,
        };
        let Subscribe {
            edge,
            topics,
            transport,
            token,
            ..
        } = &self.plan;
        let request = request::subscribe(edge, topics, *transport, &from, token.as_ref())?;
        let line = Line::open(&request, *transport).await?;
        let now = Instant::now();
        self.connection = Some(Connection {
            line,
            subscriber: None,
            opened_at: now,
            heard_at: now,
            pinged: false,
        });
        Ok(())
    }

    /// Waits for the next that the edge says, and takes it in.
    async fn hear(&mut self) -> Result<(), SubscribeError> {
        let Some(connection) = &mut self.connection else {
            return Ok(());
        };
        let downs = connection.hear(self.plan.transport).await?;
        for down in downs {
            self.apply(down).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, down: Down) -> Result<(), SubscribeError> {
        match down {
            Down::Welcome(welcome) => {
                let with_latest = self.plan.start == Start::Latest;
                self.tracker.welcome(&welcome.topics, with_latest);
                if let Some(connection) = &mut self.connection {
                    connection.subscriber = Some(welcome.subscriber.clone());
                }
                self.come.push_back(SubscriptionEvent::Connected(welcome));
            }
            Down::Updates(events) => {
                for event in events {
                    self.arrive(event)?;
                }
            }
            Down::Gap(gap) => {
                self.tracker.gap(&gap);
                self.come.push_back(SubscriptionEvent::Gap(gap));
            }
            Down::Ping { n } => {
                if let Some(connection) = &mut self.connection {
                    connection.line.say(&Up::Pong { n }).await?;
                }
            }
            Down::Problem(problem) => {
                tracing::warn!(
                    status = problem.status,
                    detail = problem.detail,
                    "the edge has a problem with this subscriber"
                );
            }
            Down::Published(_) => {}
        }
        Ok(())
    }

    fn arrive(&mut self, event: Event) -> Result<(), SubscribeError> {
        let no_update =
            || SubscribeError::Malformed("an update without topic or sequence".to_owned());
        let subject = event.subject.as_deref().ok_or_else(no_update)?;
        let topic = TopicName::parse(subject).map_err(|_| no_update())?;
        let sequence = update::sequence_of(&event).ok_or_else(no_update)?;
        match self.tracker.arrive(&topic, sequence) {
            Arrival::Known => return Ok(()),
            Arrival::Next => self.backoff.after_success(),
            Arrival::Early => {
                return Err(SubscribeError::Malformed(format!(
                    "{topic} {sequence} came before an earlier update"
                )));
            }
            Arrival::AfterGap(gap) => self.come.push_back(SubscriptionEvent::Gap(gap)),
        }
        self.come
            .push_back(SubscriptionEvent::Update(Box::new(Update {
                topic,
                sequence,
                arrived_at_ms: now_ms(),
                event,
            })));
        Ok(())
    }

    async fn ack(&mut self, topic: TopicName, sequence: u64) {
        if !self.plan.acks {
            return;
        }
        let Some(connection) = &mut self.connection else {
            return;
        };
        if let (Some(acks), Some(subscriber)) = (&self.acks, &connection.subscriber) {
            acks.send(subscriber.clone(), topic, sequence);
        } else if let Err(error) = connection.line.say(&Up::Ack(Ack { topic, sequence })).await {
            // Reading shows it too, and then the next connection is opened.
            tracing::debug!(%error, "an ack was not sent");
        }
    }

    fn lose(&mut self, error: &SubscribeError) {
        if let Some(lost) = self.connection.take() {
            if lost.opened_at.elapsed() > WAITS.1 {
                self.backoff.after_success();
            }
            if let Some(retry_ms) = lost.line.retry_ms() {
                let first = Duration::from_millis(retry_ms).min(WAITS.1);
                self.backoff.begin_with(first);
            }
        }
        let asked = match error {
            SubscribeError::Refused { retry_after, .. } => retry_after.map(Duration::from_secs),
            _ => None,
        };
        let retry_in = self.backoff.after_failure().max(asked.unwrap_or_default());
        self.resume_at = Instant::now() + retry_in;
        self.come.push_back(SubscriptionEvent::Lost {
            reason: error.to_string(),
            retry_in,
        });
    }
}

impl Connection {
    /// Returns what the edge says next, however many messages came at once.
    async fn hear(&mut self, transport: Transport) -> Result<Vec<Down>, SubscribeError> {
        let may_ping = transport == Transport::Ws && !self.pinged;
        let patience = match &self.subscriber {
            None => WELCOME_TIMEOUT,
            Some(_) if may_ping => PING_AFTER,
            Some(_) => DEAD_AFTER,
        };
        let mut downs = Ok(Vec::new());
        let next = self.line.next(|frame| {
            let Ok(all) = &mut downs else { return };
            let read = match transport {
                Transport::Sse => read_frame(frame.event, frame.data),
                Transport::Ws => read_message(frame.data),
            };
            match read {
                Ok(down) => all.extend(down),
                Err(error) => downs = Err(error),
            }
        });
        match timeout_at(self.heard_at + patience, next).await {
            Ok(heard) => heard?,
            Err(_) if may_ping && self.subscriber.is_some() => {
                self.line.ping().await?;
                self.pinged = true;
                return Ok(Vec::new());
            }
            Err(_) => {
                let silent = format!("nothing heard for {} s", patience.as_secs());
                return Err(SubscribeError::Connection(silent));
            }
        }
        self.heard_at = Instant::now();
        self.pinged = false;
        downs
    }
}

/// Returns what a message of a WebSocket says; `None` for one that only a later edge sends.
fn read_message(data: &[u8]) -> Result<Option<Down>, SubscribeError> {
    let malformed = |error: &dyn std::fmt::Display| SubscribeError::Malformed(error.to_string());
    let text = std::str::from_utf8(data).map_err(|error| malformed(&error))?;
    if text == PONG_TEXT {
        return Ok(None);
    }
    Down::from_json(text).map_err(|error| malformed(&error))
}

/// Returns what a frame of a stream says; `None` for one that only a later edge sends.
fn read_frame(event: &[u8], data: &[u8]) -> Result<Option<Down>, SubscribeError> {
    let malformed = |error: &dyn std::fmt::Display| SubscribeError::Malformed(error.to_string());
    match event {
        b"welcome" => serde_json::from_slice(data)
            .map(|welcome| Some(Down::Welcome(welcome)))
            .map_err(|error| malformed(&error)),
        b"update" => serde_json::from_slice(data)
            .map(|event| Some(Down::Updates(vec![event])))
            .map_err(|error| malformed(&error)),
        b"gap" => serde_json::from_slice(data)
            .map(|gap| Some(Down::Gap(gap)))
            .map_err(|error| malformed(&error)),
        _ => Ok(None),
    }
}
