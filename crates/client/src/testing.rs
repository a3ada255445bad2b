//! An edge with topics, as far as the origin's side of them needs one: it takes updates, numbers and
//! keeps them, tells its subscribers, and fails as it is told.
#![expect(
    clippy::missing_panics_doc,
    reason = "a stand-in fails its test by panicking"
)]

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State as Shared},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{SinkExt, StreamExt, stream};
use headstart_protocol::{
    channel::{Down, Gap, Up, Welcome},
    cursor::Cursors,
    event::{Data, Event, TYPE_UPDATE},
    keys::Key,
    problem::Problem,
    report::{EventResult, PublishReport, Status},
    signature,
    sse::{Frame, MEDIA_TYPE},
    topic::TopicName,
    update,
};
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use tokio::{net::TcpListener, sync::broadcast, task::JoinHandle};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role},
    },
};

use crate::clock::now_ms;

/// Returns a key made of one byte.
pub fn key(fill: u8) -> Key {
    Key::from_bytes(&[fill; 32]).expect("32 bytes are a key")
}

/// Returns an update of `topic` with this id.
pub fn update(topic: &str, id: &str) -> Event {
    let mut event = Event::new(id, "/origin/test", TYPE_UPDATE);
    event.subject = Some(topic.to_owned());
    event.data = Some(Data::Json(
        RawValue::from_string(format!("{{ \"n\":\"{id}\" }}")).expect("is JSON"),
    ));
    event
}

/// The edge. It listens until it is dropped.
#[derive(Debug)]
pub struct TopicEdge {
    /// Where it listens.
    pub url: String,
    edge: Edge,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Edge {
    state: Arc<Mutex<State>>,
    live: broadcast::Sender<Signal>,
}

/// What it has, and what it is told to do.
#[derive(Debug, Default)]
pub struct State {
    /// Statuses that whole publishing requests are answered with, used up one after the other.
    pub failures: Vec<StatusCode>,
    /// Every publishing request fails.
    pub is_down: bool,
    /// Ids of updates that are refused.
    pub rejected: Vec<String>,
    /// What each topic took, in its order.
    pub topics: HashMap<String, Vec<Event>>,
    /// Statuses that subscribing requests are answered with, used up one after the other.
    pub refusals: Vec<StatusCode>,
    /// The token that opens it.
    pub token: Option<String>,
    /// The first update that is kept, of every topic.
    pub first_kept: u64,
    /// Updates that are not told as they come; whoever asks later gets them.
    pub untold: Vec<u64>,
    /// Every update is told twice.
    pub tells_twice: bool,
    /// The cursor, or `latest=1`, of each subscribing request.
    pub asked: Vec<Option<String>>,
    /// What was acked, and under which subscriber.
    pub acks: Vec<(String, u64)>,
    /// What the messages of subscribers said, acks left out.
    pub said: Vec<Up>,
}

#[derive(Debug, Clone)]
enum Signal {
    Tell(TopicName, Box<Event>),
    Say(Box<Down>),
    Close(u16),
    Cut,
}

impl State {
    fn publish(&mut self, mut event: Event, live: &broadcast::Sender<Signal>) -> EventResult {
        let id = event.id.clone();
        let topic = event.subject.clone().unwrap_or_default();
        let taken = self.topics.entry(topic.clone()).or_default();
        let status = if self.rejected.contains(&id) {
            Status::Rejected
        } else if taken
            .iter()
            .any(|one| (&one.source, &one.id) == (&event.source, &event.id))
        {
            Status::Duplicate
        } else {
            let sequence = taken.len() as u64 + 1;
            update::number(&mut event, sequence, now_ms());
            taken.push(event.clone());
            let topic = TopicName::parse(&topic).unwrap();
            for _ in 0..if self.tells_twice { 2 } else { 1 } {
                if !self.untold.contains(&sequence) {
                    // Nobody may be listening.
                    let _ = live.send(Signal::Tell(topic.clone(), Box::new(event.clone())));
                }
            }
            Status::Accepted
        };
        EventResult {
            id,
            status,
            reason: (status == Status::Rejected).then(|| "not wanted".to_owned()),
        }
    }

    fn head(&self, topic: &TopicName) -> u64 {
        self.topics.get(topic.as_str()).map_or(0, Vec::len) as u64
    }

    /// Returns what a new subscriber is told first.
    fn welcome(&self, topics: &[TopicName], cursor: Option<&str>) -> VecDeque<Down> {
        let heads: BTreeMap<_, _> = topics
            .iter()
            .map(|topic| (topic.clone(), self.head(topic)))
            .collect();
        let mut downs = VecDeque::from([Down::Welcome(Welcome {
            subscriber: "secret-1".to_owned().into(),
            topics: heads,
        })]);
        for topic in topics {
            let head = self.head(topic);
            let after = match cursor {
                Some("latest=1") => head.saturating_sub(1),
                Some(cursor) => Cursors::parse(cursor, topics)
                    .unwrap()
                    .get(topic)
                    .unwrap_or(head),
                None => head,
            };
            let first = self.first_kept.max(1);
            let lacks = after < head && after + 1 < first;
            let from = if lacks || after > head {
                first
            } else {
                after + 1
            };
            if lacks || after > head {
                downs.push_back(Down::Gap(Gap {
                    topic: topic.clone(),
                    after,
                    first,
                }));
            }
            let kept = self.topics.get(topic.as_str()).into_iter().flatten();
            let missed: Vec<Event> = kept
                .filter(|event| update::sequence_of(event).unwrap() >= from)
                .cloned()
                .collect();
            if !missed.is_empty() {
                downs.push_back(Down::Updates(missed));
            }
        }
        downs
    }
}

/// One subscriber's connection.
struct Feed {
    topics: Vec<TopicName>,
    first: VecDeque<Down>,
    live: broadcast::Receiver<Signal>,
}

impl Feed {
    async fn next(&mut self) -> Signal {
        if let Some(down) = self.first.pop_front() {
            return Signal::Say(Box::new(down));
        }
        loop {
            match self.live.recv().await {
                Ok(Signal::Tell(topic, event)) if self.topics.contains(&topic) => {
                    return Signal::Say(Box::new(Down::Updates(vec![*event])));
                }
                Ok(Signal::Tell(..)) => {}
                Ok(signal) => return signal,
                Err(_) => return Signal::Cut,
            }
        }
    }
}

impl TopicEdge {
    /// Starts it on a port of its own.
    pub async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let edge = Edge {
            state: Arc::default(),
            live: broadcast::Sender::new(10_000),
        };
        let router = Router::new()
            .route("/events", post(publish))
            .route("/topics", get(several))
            .route("/topics/{*path}", get(one).post(ack))
            .with_state(edge.clone());
        let server = tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
        Self { url, edge, server }
    }

    /// Returns what it has, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.edge.state.lock().unwrap()
    }

    /// Ids of what a topic took, in its order.
    pub fn accepted(&self, topic: &str) -> Vec<String> {
        let state = self.state();
        let taken = state.topics.get(topic).into_iter().flatten();
        taken.map(|event| event.id.clone()).collect()
    }

    /// Takes an update, as if it had been published.
    pub fn publish(&self, topic: &str, id: &str) {
        let event = update(topic, id);
        let result = self.state().publish(event, &self.edge.live);
        assert_eq!(result.status, Status::Accepted);
    }

    /// Breaks every subscriber's connection.
    pub fn cut(&self) {
        let _ = self.edge.live.send(Signal::Cut);
    }

    /// Closes every WebSocket with this code.
    pub fn close(&self, code: u16) {
        let _ = self.edge.live.send(Signal::Close(code));
    }

    /// Tells every subscriber something.
    pub fn say(&self, down: Down) {
        let _ = self.edge.live.send(Signal::Say(Box::new(down)));
    }

    /// Waits until the state is as `wanted`.
    pub async fn until(&self, wanted: impl Fn(&State) -> bool) {
        let wait = async {
            while !wanted(&self.state()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("it comes to that in time");
    }
}

impl Drop for TopicEdge {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn publish(Shared(edge): Shared<Edge>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    if signature::verify(header, &body, &key(2).into(), now_ms()).is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let mut state = edge.state.lock().unwrap();
    if let Some(status) = state.failures.pop() {
        return status.into_response();
    }
    if state.is_down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let events = Event::batch_from_json(&body).unwrap();
    let results = events
        .into_iter()
        .map(|event| state.publish(event.unwrap(), &edge.live))
        .collect();
    Json(PublishReport { results }).into_response()
}

async fn ack(
    Shared(edge): Shared<Edge>,
    Path(path): Path<String>,
    Json(body): Json<serde_json::Value>,
) -> StatusCode {
    let topic = path.strip_suffix("/acks").unwrap();
    assert_eq!(body["subscriber"], "secret-1");
    let sequence = body["sequence"].as_u64().unwrap();
    edge.state
        .lock()
        .unwrap()
        .acks
        .push((topic.to_owned(), sequence));
    StatusCode::NO_CONTENT
}

async fn one(Shared(edge): Shared<Edge>, Path(path): Path<String>, request: Request) -> Response {
    let (topic, way) = path.rsplit_once('/').unwrap();
    assert_eq!(way == "ws", request.headers().contains_key(header::UPGRADE));
    let topics = vec![TopicName::parse(topic).unwrap()];
    subscribe(&edge, topics, request)
}

async fn several(Shared(edge): Shared<Edge>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let topics = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "topic")
        .map(|(_, topic)| TopicName::parse(&topic).unwrap())
        .collect();
    subscribe(&edge, topics, request)
}

fn subscribe(edge: &Edge, topics: Vec<TopicName>, request: Request) -> Response {
    let headers = request.headers();
    let query = request.uri().query().unwrap_or_default();
    let asked = url::form_urlencoded::parse(query.as_bytes())
        .find_map(|(name, value)| match name.as_ref() {
            "latest" => Some("latest=1".to_owned()),
            "last_event_id" => Some(value.into_owned()),
            _ => None,
        })
        .or_else(|| Some(headers.get("last-event-id")?.to_str().ok()?.to_owned()));
    let mut state = edge.state.lock().unwrap();
    state.asked.push(asked.clone());
    if let Some(status) = state.refusals.pop() {
        return refusal(status, "as it was told");
    }
    if let Some(token) = &state.token {
        let bearer = headers.get(header::AUTHORIZATION);
        if bearer.is_none_or(|value| value != &format!("Bearer {token}")) {
            return refusal(StatusCode::UNAUTHORIZED, "a token is needed");
        }
    }
    let feed = Feed {
        first: state.welcome(&topics, asked.as_deref()),
        topics,
        live: edge.live.subscribe(),
    };
    drop(state);
    let Some(websocket_key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return over_sse(feed);
    };
    let accept = derive_accept_key(websocket_key.as_bytes());
    let edge = edge.clone();
    tokio::spawn(async move {
        let connection = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
        over_socket(edge, feed, socket).await;
    });
    let headers = [
        (header::CONNECTION, "upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn refusal(status: StatusCode, detail: &str) -> Response {
    let problem = Problem::new(status.as_u16(), "told", "Told so", detail);
    (status, problem.to_json()).into_response()
}

fn over_sse(feed: Feed) -> Response {
    let first = stream::iter([Ok(Bytes::from_static(b"retry: 20\n"))]);
    let frames = stream::unfold(feed, |mut feed| async {
        match feed.next().await {
            Signal::Say(down) => Some((Ok::<_, String>(Bytes::from(frames(&down))), feed)),
            _ => Some((Err("cut".to_owned()), feed)),
        }
    });
    let body = Body::from_stream(first.chain(frames));
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
}

fn frames(down: &Down) -> Vec<u8> {
    let frame = |event: &str, id: u64, data: &str| {
        let id = id.to_string();
        Frame {
            event: Some(event),
            id: Some(&id),
            data: Some(data),
        }
        .encode()
    };
    match down {
        Down::Welcome(welcome) => frame("welcome", 0, &serde_json::to_string(welcome).unwrap()),
        Down::Gap(gap) => frame("gap", gap.first - 1, &serde_json::to_string(gap).unwrap()),
        Down::Updates(events) => {
            let of = |event: &Event| {
                frame(
                    "update",
                    update::sequence_of(event).unwrap(),
                    &event.to_json(),
                )
            };
            events.iter().flat_map(of).collect()
        }
        _ => b"event: later\ndata: 1\n\n: comment\n\n".to_vec(),
    }
}

type ServerSocket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn over_socket(edge: Edge, mut feed: Feed, mut socket: ServerSocket) {
    loop {
        tokio::select! {
            signal = feed.next() => match signal {
                Signal::Say(down) => {
                    if socket.send(Message::text(down.to_json())).await.is_err() {
                        return;
                    }
                }
                Signal::Close(code) => {
                    let frame = CloseFrame { code: code.into(), reason: "as it was told".into() };
                    let _ = socket.close(Some(frame)).await;
                    return;
                }
                Signal::Cut | Signal::Tell(..) => return,
            },
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let mut state = edge.state.lock().unwrap();
                    match Up::from_json(&text).unwrap() {
                        Up::Ack(ack) => state.acks.push((ack.topic.to_string(), ack.sequence)),
                        other => state.said.push(other),
                    }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
