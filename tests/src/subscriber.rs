//! A subscriber of topics, the same over either transport: it follows, answers pings, notes its
//! cursor, and comes back with it.

use std::{collections::VecDeque, fmt::Display};

use headstart_protocol::{
    channel::{Down, Gap, PONG_TEXT, Up, Welcome},
    cursor::Cursors,
    event::Event,
    problem::Problem,
    report::EventResult,
    topic::TopicName,
};
use serde::de::DeserializeOwned;

use crate::{
    answer::Answer,
    client::{Call, Client},
    sse::{Frame, Sse},
    topics::{sequence, topic_path},
    wait::{LONG, until, within, within_time},
    ws::{Heard, Ws},
};

/// How a subscriber is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Server-Sent Events.
    Sse,
    /// A WebSocket.
    Ws,
}

impl Transport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sse, Self::Ws];
}

/// What a subscriber is told.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// An update.
    Update(Event),
    /// Updates that it cannot have any more.
    Gap(Gap),
    /// What became of an update that it published.
    Published(EventResult),
    /// What is wrong.
    Problem(Problem),
    /// The stream has ended, or the connection broke.
    Ended,
    /// The edge closed the WebSocket with this code.
    Closed(u16),
}

/// What a subscriber asks for.
#[derive(Debug, Clone)]
pub struct Subscription {
    client: Client,
    transport: Transport,
    topics: Vec<String>,
    by_query: bool,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    /// A subscription of these topics that is not opened yet.
    #[must_use]
    pub fn subscription(&self, transport: Transport, topics: &[&str]) -> Subscription {
        Subscription {
            client: self.clone(),
            transport,
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
            by_query: topics.len() != 1,
            query: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// Subscribes to one topic, beginning with what comes next.
    pub async fn subscribe(&self, transport: Transport, topic: &str) -> Subscriber {
        self.subscription(transport, &[topic]).open().await
    }
}

impl Subscription {
    /// By the route for several topics, even where it is one.
    #[must_use]
    pub fn by_query(mut self) -> Self {
        self.by_query = true;
        self
    }

    /// That begins after `cursor`.
    #[must_use]
    pub fn after(mut self, cursor: impl Display) -> Self {
        self.query.push(("last_event_id", cursor.to_string()));
        self
    }

    /// That comes back after `cursor`, as a library does that cannot send `Last-Event-ID`.
    #[must_use]
    pub fn reconnected_after(mut self, cursor: impl Display) -> Self {
        self.query.push(("lastEventId", cursor.to_string()));
        self
    }

    /// That begins with the current value.
    #[must_use]
    pub fn latest(mut self) -> Self {
        self.query.push(("latest", "1".to_owned()));
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The path and query that it asks for.
    #[must_use]
    pub fn path(&self) -> String {
        let mut query = self.query.clone();
        let path = match self.topics.as_slice() {
            [topic] if !self.by_query => {
                let way = match self.transport {
                    Transport::Sse => "events",
                    Transport::Ws => "ws",
                };
                format!("{}/{way}", topic_path(topic))
            }
            several => {
                query.extend(several.iter().map(|topic| ("topic", topic.clone())));
                "/topics".to_owned()
            }
        };
        let pairs: Vec<_> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        if pairs.is_empty() {
            path
        } else {
            format!("{path}?{}", pairs.join("&"))
        }
    }

    fn call(&self) -> Call<'_> {
        self.headers
            .iter()
            .fold(self.client.get(&self.path()), |call, (name, value)| {
                call.header(name, value)
            })
    }

    /// Opens the stream or the WebSocket, and reads nothing.
    ///
    /// # Errors
    /// The edge's answer, where it refuses.
    pub async fn connect(&self) -> Result<Connection, Answer> {
        within("a connection", self.try_connect())
            .await
            .expect("the edge can be reached")
    }

    /// As [`Subscription::connect`], unless the edge cannot be reached.
    async fn try_connect(&self) -> reqwest::Result<Result<Connection, Answer>> {
        Ok(match self.transport {
            Transport::Sse => self.call().try_open_sse().await?.map(Connection::Sse),
            Transport::Ws => {
                let opened = self.call().try_open_ws().await?;
                opened.map(|ws| Connection::Ws(Box::new(ws)))
            }
        })
    }

    /// Opens it and reads its welcome.
    ///
    /// # Errors
    /// The edge's answer, where it refuses.
    pub async fn try_open(&self) -> Result<Subscriber, Answer> {
        let connection = self.connect().await?;
        let subscriber = Subscriber::welcomed(self.clone(), connection).await;
        Ok(subscriber.expect("the connection begins with a welcome"))
    }

    /// Opens it and reads its welcome.
    pub async fn open(&self) -> Subscriber {
        self.try_open()
            .await
            .unwrap_or_else(|answer| panic!("not subscribed: {answer:?}"))
    }

    /// As [`Subscription::open`], again and again until the edge, which may be away at any moment, lets
    /// it in.
    pub async fn open_surely(&self) -> Subscriber {
        until("a subscriber to be let in", async || {
            let connection = self.try_connect().await.ok()?.ok()?;
            Subscriber::welcomed(self.clone(), connection).await
        })
        .await
    }

    fn begins_with_latest(&self) -> bool {
        self.query.iter().any(|(name, _)| *name == "latest")
    }
}

/// An open stream or WebSocket.
pub enum Connection {
    /// A stream.
    Sse(Sse),
    /// A WebSocket.
    Ws(Box<Ws>),
}

impl Connection {
    /// The WebSocket.
    #[must_use]
    pub fn into_ws(self) -> Ws {
        match self {
            Self::Ws(ws) => *ws,
            Self::Sse(_) => panic!("this is no WebSocket"),
        }
    }
}

/// A subscriber that has been welcomed.
pub struct Subscriber {
    subscription: Subscription,
    connection: Connection,
    welcome: Welcome,
    /// For each topic, in the order asked, the sequence of the last update that it has.
    cursors: Vec<(TopicName, u64)>,
    news: VecDeque<News>,
    messages: usize,
}

impl Subscriber {
    /// Reads the welcome of a connection; `None` where it ends before.
    async fn welcomed(subscription: Subscription, mut connection: Connection) -> Option<Self> {
        let (welcome, id) = match &mut connection {
            Connection::Sse(stream) => {
                let frame = stream.frame().await?;
                assert_eq!(frame.name, "welcome", "{frame:?}");
                (read::<Welcome>(&frame.data), frame.id)
            }
            Connection::Ws(ws) => match hear(ws).await {
                Ok(Down::Welcome(welcome)) => (welcome, String::new()),
                Err(Heard::Closed(_) | Heard::Broken) => return None,
                other => panic!("waited for a welcome and got {other:?}"),
            },
        };
        let mut subscriber = Self {
            subscription,
            connection,
            welcome,
            cursors: Vec::new(),
            news: VecDeque::new(),
            messages: 0,
        };
        subscriber.cursors = subscriber.beginning(&id);
        Some(subscriber)
    }

    /// Where it begins: where the stream says, else where it asked to, else at each topic's head, or
    /// before it where it wants the latest first.
    fn beginning(&self, id: &str) -> Vec<(TopicName, u64)> {
        let mut topics: Vec<TopicName> = Vec::new();
        for topic in self.subscription.topics.iter().map(|topic| name(topic)) {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        let welcomed: Vec<_> = self.welcome.topics.keys().collect();
        assert!(
            topics.len() == welcomed.len() && welcomed.iter().all(|topic| topics.contains(topic)),
            "welcomed on {welcomed:?}"
        );
        let mut asked = self.subscription.query.iter();
        let asked = asked.rfind(|(name, _)| ["last_event_id", "lastEventId"].contains(name));
        let cursor = if id.is_empty() {
            asked.map_or("", |(_, cursor)| cursor)
        } else {
            id
        };
        let cursors = if cursor.is_empty() {
            Cursors::default()
        } else {
            Cursors::parse(cursor, &topics).unwrap_or_else(|error| panic!("{error}: {cursor}"))
        };
        let before = u64::from(self.subscription.begins_with_latest());
        let begins = |topic: TopicName| {
            let head = self.welcome.topics[&topic];
            let at = cursors.get(&topic).unwrap_or(head.saturating_sub(before));
            (topic, at)
        };
        topics.into_iter().map(begins).collect()
    }

    /// How it is connected.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.subscription.transport
    }

    /// The id that it acks under.
    #[must_use]
    pub fn secret_id(&self) -> &str {
        self.welcome.subscriber.as_str()
    }

    /// Which object holds its connection, by its secret id: `root`, or the beginning of a relay's name,
    /// such as `enam:0`.
    #[must_use]
    pub fn object(&self) -> &str {
        let (object, random) = self
            .secret_id()
            .split_once('.')
            .expect("a secret id names an object");
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        assert!(random.len() == 32 && random.bytes().all(hex), "{object}");
        object
    }

    /// The number of a topic's latest update when it was welcomed.
    #[must_use]
    pub fn head(&self, topic: &str) -> u64 {
        self.welcome.topics[&name(topic)]
    }

    /// The cursor that it would come back with.
    #[must_use]
    pub fn cursor(&self) -> String {
        let at: Vec<_> = self
            .cursors
            .iter()
            .map(|(topic, at)| (topic, *at))
            .collect();
        Cursors::encode(&at)
    }

    /// How many frames or messages have brought it something so far.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// What it is told next. Pings are answered and passed over.
    pub async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.news.pop_front() {
                self.note(&news);
                return news;
            }
            match &mut self.connection {
                Connection::Sse(stream) => {
                    let Some(frame) = stream.frame().await else {
                        return News::Ended;
                    };
                    self.messages += 1;
                    let news = news_of(&frame);
                    self.note(&news);
                    let cursor = self.cursor();
                    assert_eq!(frame.id, cursor, "the id is the cursor: {frame:?}");
                    return news;
                }
                Connection::Ws(ws) => {
                    let down = match hear(ws).await {
                        Ok(down) => down,
                        Err(Heard::Closed(code)) => return News::Closed(code),
                        Err(_) => return News::Ended,
                    };
                    if let Down::Ping { n } = down {
                        // What cannot be answered any more needs no answer.
                        let _ = ws.try_say(Up::Pong { n }.to_json()).await;
                        continue;
                    }
                    self.messages += 1;
                    self.news.extend(all_news(down));
                }
            }
        }
    }

    /// Notes how far it has got. Fails where the edge has left something out without saying so, or
    /// has told it twice.
    fn note(&mut self, news: &News) {
        let (topic, next) = match news {
            News::Update(event) => {
                let subject = event.subject.as_deref().expect("an update has a topic");
                (name(subject), sequence(event))
            }
            News::Gap(gap) => (gap.topic.clone(), gap.first.saturating_sub(1)),
            News::Published(_) | News::Problem(_) | News::Ended | News::Closed(_) => return,
        };
        let mut cursors = self.cursors.iter_mut();
        let cursor = cursors.find(|(asked, _)| *asked == topic);
        let (_, cursor) = cursor.unwrap_or_else(|| panic!("not asked for: {news:?}"));
        match news {
            News::Update(_) => assert_eq!(next, *cursor + 1, "{news:?}"),
            News::Gap(gap) => assert_eq!(gap.after, *cursor, "{news:?}"),
            _ => {}
        }
        *cursor = next;
    }

    /// The update that comes next.
    pub async fn update(&mut self) -> Event {
        match self.next().await {
            News::Update(event) => event,
            other => panic!("waited for an update and got {other:?}"),
        }
    }

    /// The updates that come next, as many as that.
    pub async fn updates(&mut self, count: usize) -> Vec<Event> {
        let mut updates = Vec::with_capacity(count);
        while updates.len() < count {
            updates.push(self.update().await);
        }
        updates
    }

    /// The gap that comes next.
    pub async fn gap(&mut self) -> Gap {
        match self.next().await {
            News::Gap(gap) => gap,
            other => panic!("waited for a gap and got {other:?}"),
        }
    }

    /// Reads updates until the connection ends, however it does; gives them, and how it ended.
    pub async fn until_end(&mut self) -> (Vec<Event>, News) {
        let mut updates = Vec::new();
        loop {
            match self.next().await {
                News::Update(event) => updates.push(event),
                end @ (News::Ended | News::Closed(_)) => return (updates, end),
                other => panic!("waited for updates or the end and got {other:?}"),
            }
        }
    }

    /// Says something over its WebSocket.
    pub async fn say(&mut self, message: &Up) {
        self.ws().say(message.to_json()).await;
    }

    /// Its WebSocket.
    pub fn ws(&mut self) -> &mut Ws {
        match &mut self.connection {
            Connection::Ws(ws) => ws,
            Connection::Sse(_) => panic!("this is no WebSocket"),
        }
    }

    /// Its stream.
    pub fn sse(&mut self) -> &mut Sse {
        match &mut self.connection {
            Connection::Sse(stream) => stream,
            Connection::Ws(_) => panic!("this is no stream"),
        }
    }

    /// What it would ask for to come back: the same, after its cursor.
    #[must_use]
    pub fn resumption(&self) -> Subscription {
        let mut subscription = self.subscription.clone();
        subscription.query.clear();
        subscription.after(self.cursor())
    }

    /// Follows each of these topics up to the update that it ends with, comes back whenever it is cut
    /// off, and gives all it got. Nothing is missing in it and nothing comes twice, or this fails.
    pub async fn follow_to(mut self, ends: &[(&str, u64)]) -> Vec<Event> {
        let ends: Vec<_> = ends.iter().map(|(topic, at)| (name(topic), *at)).collect();
        let mut got = Vec::new();
        within_time(LONG, "all updates", async {
            while !ends.iter().all(|end| self.cursors.contains(end)) {
                match self.next().await {
                    News::Update(event) => got.push(event),
                    News::Ended | News::Closed(_) => {
                        self = self.resumption().open_surely().await;
                    }
                    other => panic!("waited for updates and got {other:?}"),
                }
            }
        })
        .await;
        got
    }

    /// Drops the connection and comes back with its cursor, as soon as there is room.
    pub async fn resume(self) -> Self {
        let subscription = self.resumption();
        drop(self.connection);
        subscription.open_in_a_crowd().await
    }
}

/// A topic's name.
#[must_use]
pub fn name(topic: &str) -> TopicName {
    TopicName::parse(topic).unwrap_or_else(|error| panic!("{error}: {topic}"))
}

/// The next message of a WebSocket.
///
/// # Errors
/// What came in place of a message.
pub async fn hear(ws: &mut Ws) -> Result<Down, Heard> {
    match ws.hear().await {
        // What the edge answers to the text `ping` is no JSON.
        Heard::Text(text) if text == PONG_TEXT => Err(Heard::Text(text)),
        Heard::Text(text) => Ok(read(&text)),
        other => Err(other),
    }
}

fn read<T: DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn news_of(frame: &Frame) -> News {
    match frame.name.as_str() {
        "update" => News::Update(
            Event::from_json(frame.data.as_bytes())
                .unwrap_or_else(|error| panic!("{error}: {frame:?}")),
        ),
        "gap" => News::Gap(read(&frame.data)),
        other => panic!("unexpected {other}: {frame:?}"),
    }
}

fn all_news(down: Down) -> Vec<News> {
    match down {
        Down::Updates(events) => events.into_iter().map(News::Update).collect(),
        Down::Gap(gap) => vec![News::Gap(gap)],
        Down::Published(result) => vec![News::Published(result)],
        Down::Problem(problem) => vec![News::Problem(problem)],
        other => panic!("unexpected: {other:?}"),
    }
}

/// `value` as it stands in a query.
#[must_use]
pub fn encoded(value: &str) -> String {
    use std::fmt::Write as _;
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a string takes any text");
        }
        text
    })
}
