//! What delivery of updates promises.

use std::{collections::HashSet, sync::Mutex};

use headstart_client::http_client;
use headstart_protocol::{
    report::{EventResult, PublishReport, Status},
    stamps::{Point, Stamps},
};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::mpsc;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use super::*;
use crate::{
    deliver::{Counters, Listeners, Outcome},
    outbox::{Entry, Outbox, TopicUpdate, Way},
    testing::{self, delivered, key, update},
};

/// An edge whose topics take updates in the order of a batch, and stop at the first that they do not
/// take; it says `retry` to the rest.
#[derive(Clone, Default)]
struct FakeEdge(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Answers for whole requests, used up one after the other.
    whole: Vec<ResponseTemplate>,
    /// How often each update is not taken before it is.
    retries: HashMap<String, usize>,
    /// Updates that are refused.
    rejected: Vec<String>,
    /// Batches larger than this are too large.
    most: usize,
    /// How long each answer takes.
    delay: Duration,
    /// Until when, at least, nobody has the answer to what came last of a topic.
    unanswered: HashMap<String, Instant>,
    /// What came, batch by batch.
    batches: Vec<Vec<Event>>,
    /// What each topic took, in its order.
    taken: HashMap<String, Vec<String>>,
}

impl Respond for FakeEdge {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let events: Vec<Event> = Event::batch_from_json(&request.body)
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert!(request.body.len() <= MAX_EVENTS_BODY_BYTES);
        state.batches.push(events.clone());
        let (now, answered) = (Instant::now(), Instant::now() + state.delay);
        let topics: HashSet<String> = events
            .iter()
            .filter_map(|event| event.subject.clone())
            .collect();
        for topic in topics {
            let before = state.unanswered.insert(topic, answered);
            assert!(
                before.is_none_or(|before| before <= now),
                "sent before the answer"
            );
        }
        if let Some(answer) = state.whole.pop() {
            return answer;
        }
        if state.most > 0 && events.len() > state.most {
            return ResponseTemplate::new(413);
        }
        let mut stopped: Vec<String> = Vec::new();
        let mut results = Vec::new();
        for event in events {
            let topic = event.subject.clone().unwrap();
            let retries = state.retries.entry(event.id.clone()).or_default();
            let status = if stopped.contains(&topic) {
                Status::Retry
            } else if *retries > 0 {
                *retries -= 1;
                stopped.push(topic);
                Status::Retry
            } else if state.rejected.contains(&event.id) {
                Status::Rejected
            } else {
                let taken = state.taken.entry(topic).or_default();
                if taken.contains(&event.id) {
                    Status::Duplicate
                } else {
                    taken.push(event.id.clone());
                    Status::Accepted
                }
            };
            results.push(EventResult {
                id: event.id,
                status,
                reason: None,
            });
        }
        ResponseTemplate::new(200)
            .set_delay(state.delay)
            .set_body_json(PublishReport { results })
    }
}

struct Running {
    edge: FakeEdge,
    outbox: Outbox,
    outcomes: mpsc::Receiver<Outcome>,
    shutdown: Shutdown,
    lane: Option<EventLane>,
    _server: MockServer,
    _folder: TempDir,
}

impl Running {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let edge = FakeEdge::default();
        Mock::given(any())
            .respond_with(edge.clone())
            .mount(&server)
            .await;
        let (outbox, folder) = testing::outbox(true);
        let shutdown = Shutdown::default();
        let (send, outcomes) = mpsc::channel(1000);
        let lane = EventLane {
            poster: Poster {
                name: "edge".to_owned(),
                url: format!("{}/events", server.uri()),
                key: key(2),
                client: http_client::build().unwrap(),
                outbox: outbox.clone(),
                counters: Arc::new(Counters::default()),
                listeners: Listeners {
                    outcomes: Some(send),
                    refused: None,
                },
            },
            way: Way::Update,
            ticket_keys: None,
            recovered: watch::channel(()).1,
            stalled: watch::Sender::new(false),
            shutdown: shutdown.clone(),
        };
        Self {
            edge,
            outbox,
            outcomes,
            shutdown,
            lane: Some(lane),
            _server: server,
            _folder: folder,
        }
    }

    async fn commit(&self, updates: Vec<TopicUpdate>) {
        let entries = updates.into_iter().map(Entry::from).collect();
        self.outbox.commit_all(entries).await.unwrap();
    }

    /// Keeps updates, then lets them be delivered.
    async fn deliver(&mut self, updates: Vec<TopicUpdate>) {
        self.commit(updates).await;
        if let Some(lane) = self.lane.take() {
            tokio::spawn(lane.run());
        }
        delivered(&self.outbox, Way::Update).await;
    }

    fn taken(&self, topic: &str) -> Vec<String> {
        let state = self.edge.0.lock().unwrap();
        state.taken.get(topic).cloned().unwrap_or_default()
    }

    fn batches(&self) -> Vec<Vec<String>> {
        let state = self.edge.0.lock().unwrap();
        let ids = |batch: &Vec<Event>| batch.iter().map(|event| event.id.clone()).collect();
        state.batches.iter().map(ids).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.end();
    }
}

fn numbered(topic: &str, numbers: std::ops::Range<usize>) -> Vec<TopicUpdate> {
    numbers
        .map(|number| update(topic, &format!("{topic}{number}")))
        .collect()
}

fn ids(topic: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{topic}{number}")).collect()
}

#[tokio::test]
async fn an_update_arrives_as_it_was_kept_with_the_stamp_of_its_publishing() {
    let mut running = Running::new().await;
    let before = now_ms();
    let sent = update("scores/nba", "1");
    running.deliver(vec![sent.clone()]).await;
    let mut event = running.edge.0.lock().unwrap().batches[0].remove(0);
    assert!(Stamps::of_event(&event).get(Point::Published).unwrap() >= before);
    event.extensions.clear();
    assert_eq!(&event, sent.event());
    let outcome = running.outcomes.recv().await.unwrap();
    assert_eq!(outcome.subject, "scores/nba");
    assert_eq!(
        (outcome.id.as_str(), outcome.status),
        ("1", Status::Accepted)
    );
}

#[tokio::test]
async fn an_update_that_must_come_again_holds_back_the_later_ones_of_its_topic_and_no_other() {
    let mut running = Running::new().await;
    running
        .edge
        .0
        .lock()
        .unwrap()
        .retries
        .extend([("a1".to_owned(), 2), ("a5".to_owned(), 1)]);
    let mut updates = numbered("a", 0..8);
    updates.extend(numbered("b", 0..3));
    running.commit(updates).await;
    tokio::spawn(running.lane.take().unwrap().run());
    // Those of `b` do not wait until `a` is well again.
    let b = async {
        while running.taken("b").len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.taken("a").len()
    };
    let a = tokio::time::timeout(Duration::from_secs(10), b)
        .await
        .unwrap();
    assert_eq!(a, 1, "a waits");
    running.deliver(numbered("a", 8..9)).await;
    assert_eq!(running.taken("a"), ids("a", 0..9));
}

#[tokio::test]
async fn a_failing_edge_gets_every_update_in_order_once_it_is_well_again() {
    let mut running = Running::new().await;
    running.edge.0.lock().unwrap().whole = vec![
        ResponseTemplate::new(503),
        ResponseTemplate::new(200).set_body_string("no report"),
        ResponseTemplate::new(500).insert_header("retry-after", "0"),
    ];
    running.deliver(numbered("a", 0..300)).await;
    assert_eq!(running.taken("a"), ids("a", 0..300));
}

#[tokio::test]
async fn batches_that_are_too_large_are_halved_and_keep_the_order() {
    let mut running = Running::new().await;
    {
        let mut state = running.edge.0.lock().unwrap();
        state.most = 3;
        state.retries.insert("a2".to_owned(), 1);
    }
    let mut updates = numbered("a", 0..20);
    updates.extend(numbered("b", 0..5));
    running.deliver(updates).await;
    assert_eq!(running.taken("a"), ids("a", 0..20));
    assert_eq!(running.taken("b"), ids("b", 0..5));
}

#[tokio::test]
async fn no_two_batches_on_their_way_have_a_topic_in_common() {
    let mut running = Running::new().await;
    running.edge.0.lock().unwrap().delay = Duration::from_millis(30);
    let task = tokio::spawn(running.lane.take().unwrap().run());
    for number in 0..20 {
        running.commit(numbered("a", number..number + 1)).await;
        running.commit(numbered("b", number..number + 1)).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    delivered(&running.outbox, Way::Update).await;
    assert!(!task.is_finished());
    for topic in ["a", "b"] {
        assert_eq!(running.taken(topic), ids(topic, 0..20));
    }
    // While one batch was on its way, what came of its topics gathered for the next.
    assert!(running.batches().len() < 40);
}

#[tokio::test]
async fn a_refused_update_is_dropped_and_told_and_the_next_ones_go_on() {
    let mut running = Running::new().await;
    running.edge.0.lock().unwrap().rejected = vec!["a1".to_owned()];
    running.deliver(numbered("a", 0..3)).await;
    assert_eq!(running.taken("a"), ["a0", "a2"]);
    let mut told = Vec::new();
    while told.len() < 3 {
        let one = running.outcomes.recv().await.unwrap();
        told.push((one.id, one.status));
    }
    let expected = [
        ("a0", Status::Accepted),
        ("a1", Status::Rejected),
        ("a2", Status::Accepted),
    ];
    assert_eq!(told, expected.map(|(id, status)| (id.to_owned(), status)));
}

#[tokio::test]
async fn what_expired_is_not_sent_and_told() {
    let mut running = Running::new().await;
    let expired = TopicUpdate::new(update("a", "1").event().clone(), now_ms()).unwrap();
    running.deliver(vec![expired, update("a", "2")]).await;
    assert_eq!(running.taken("a"), ["2"]);
    let outcome = running.outcomes.recv().await.unwrap();
    assert_eq!(
        (outcome.id.as_str(), outcome.status),
        ("1", Status::Rejected)
    );
}

#[tokio::test]
async fn the_same_id_on_two_topics_is_two_updates_with_a_result_each() {
    let mut running = Running::new().await;
    // Only the first of the two is asked for again.
    running
        .edge
        .0
        .lock()
        .unwrap()
        .retries
        .insert("1".to_owned(), 1);
    running
        .deliver(vec![update("a", "1"), update("b", "1")])
        .await;
    assert_eq!(
        (running.taken("a"), running.taken("b")),
        (vec!["1".to_owned()], vec!["1".to_owned()])
    );
    assert_eq!(running.batches(), [vec!["1", "1"], vec!["1"]]);
}

#[tokio::test]
async fn no_body_is_larger_than_an_edge_takes() {
    let mut running = Running::new().await;
    let large = |number: usize| {
        let mut event = update("a", &format!("a{number}")).event().clone();
        event.datacontenttype = Some("text/plain".to_owned());
        event.data = Some(headstart_protocol::event::Data::Text("\"".repeat(30_000)));
        TopicUpdate::new(event, now_ms() + 60_000).unwrap()
    };
    running.deliver((0..150).map(large).collect()).await;
    assert_eq!(running.taken("a"), ids("a", 0..150));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the edge does not take at first, and however it fails, each topic gets its updates in
    /// their order, each once.
    #[test]
    fn no_update_is_overtaken_lost_or_doubled(
        topics in proptest::collection::vec(0_usize..3, 1..60),
        retries in proptest::collection::vec((0_usize..60, 1_usize..3), 0..5),
        failures in 0_usize..2,
        most in 0_usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut running = Running::new().await;
            let names = ["a", "b", "c"];
            let updates: Vec<TopicUpdate> = topics.iter().enumerate()
                .map(|(number, topic)| update(names[*topic], &number.to_string()))
                .collect();
            {
                let mut state = running.edge.0.lock().unwrap();
                state.most = most;
                state.whole = vec![ResponseTemplate::new(500); failures];
                state.retries = retries.into_iter().map(|(id, times)| (id.to_string(), times)).collect();
            }
            running.deliver(updates).await;
            for (topic, name) in names.into_iter().enumerate() {
                let expected: Vec<String> = topics.iter().enumerate()
                    .filter(|(_, of)| **of == topic).map(|(number, _)| number.to_string()).collect();
                assert_eq!(running.taken(name), expected);
            }
        });
    }
}
