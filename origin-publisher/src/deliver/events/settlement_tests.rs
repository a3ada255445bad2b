//! What delivery of settlements promises.

use std::{collections::HashMap, sync::Mutex, time::Instant as StdInstant};

use headstart_client::http_client;
use headstart_protocol::{
    event::MEDIA_TYPE_BATCH,
    report::{EventResult, PublishReport, Status},
    settlement::{Content, Settlement},
    signature,
};
use tempfile::TempDir;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

use super::*;
use crate::{
    deliver::{Counters, Listeners},
    outbox::{Outbox, TicketSettlement},
    testing::{self, delivered, entry, key, offer, ticket_keys},
};

/// An edge that answers each event as told, and remembers what it got.
#[derive(Clone, Default)]
struct FakeEdge(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Answers for whole requests, used up one after the other.
    whole: Vec<ResponseTemplate>,
    /// Answers for an event's next comings; then it is accepted.
    of_event: HashMap<String, Vec<Status>>,
    /// What came, batch by batch.
    batches: Vec<Vec<Event>>,
    /// Batches larger than this are too large.
    most: usize,
    /// Whether it takes its time.
    slow: bool,
}

impl Respond for FakeEdge {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let header = |name: &str| Some(request.headers.get(name)?.to_str().unwrap().to_owned());
        signature::verify(header, &request.body, &key(2).into(), now_ms())
            .expect("a good signature");
        assert_eq!(request.headers["content-type"], MEDIA_TYPE_BATCH);
        if let Some(answer) = state.whole.pop() {
            return answer;
        }
        let events: Vec<Event> = Event::batch_from_json(&request.body)
            .unwrap()
            .into_iter()
            .map(Result::unwrap)
            .collect();
        if state.most > 0 && events.len() > state.most {
            return ResponseTemplate::new(413);
        }
        let results = events
            .iter()
            .map(|event| EventResult {
                id: event.id.clone(),
                status: state
                    .of_event
                    .get_mut(&event.id)
                    .and_then(Vec::pop)
                    .unwrap_or(Status::Accepted),
                reason: None,
            })
            .collect();
        state.batches.push(events);
        let delay = Duration::from_millis(if state.slow { 300 } else { 0 });
        ResponseTemplate::new(200)
            .set_delay(delay)
            .set_body_json(PublishReport { results })
    }
}

impl FakeEdge {
    /// Returns how often each event came, by its id.
    fn comings(&self) -> HashMap<String, usize> {
        let mut comings = HashMap::new();
        for event in self.0.lock().unwrap().batches.iter().flatten() {
            *comings.entry(event.id.clone()).or_default() += 1;
        }
        comings
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().batches.concat()
    }
}

struct Running {
    edge: FakeEdge,
    outbox: Outbox,
    counters: Arc<Counters>,
    recovery: watch::Sender<()>,
    stalled: watch::Sender<bool>,
    shutdown: Shutdown,
    lane: Option<EventLane>,
    server: MockServer,
    _folder: TempDir,
}

impl Running {
    /// Returns a lane that is ready to run, without KV.
    async fn new() -> Self {
        let server = MockServer::start().await;
        let edge = FakeEdge::default();
        Mock::given(any())
            .respond_with(edge.clone())
            .mount(&server)
            .await;
        let (outbox, folder) = testing::outbox(false);
        let (counters, shutdown) = (Arc::new(Counters::default()), Shutdown::default());
        let (recovery, stalled) = (watch::Sender::new(()), watch::Sender::new(false));
        let lane = EventLane {
            poster: Poster {
                name: "edge".to_owned(),
                url: format!("{}/events", server.uri()),
                key: key(2),
                client: http_client::build().unwrap(),
                outbox: outbox.clone(),
                counters: Arc::clone(&counters),
                listeners: Listeners::default(),
            },
            way: Way::Event,
            ticket_keys: Some(ticket_keys()),
            recovered: recovery.subscribe(),
            stalled: stalled.clone(),
            shutdown: shutdown.clone(),
        };
        Self {
            edge,
            outbox,
            counters,
            recovery,
            stalled,
            shutdown,
            lane: Some(lane),
            server,
            _folder: folder,
        }
    }

    /// Keeps settlements, then lets them be delivered.
    async fn deliver(&mut self, entries: Vec<TicketSettlement>) {
        for entry in entries {
            self.outbox.commit(entry).await.unwrap();
        }
        self.run();
        delivered(&self.outbox, Way::Event).await;
    }

    fn run(&mut self) {
        if let Some(lane) = self.lane.take() {
            tokio::spawn(lane.run());
        }
    }

    /// Announces an offer once the lane listens.
    async fn announce(&mut self, entry: &TicketSettlement) {
        self.run();
        while !self.outbox.is_listened_to() {
            tokio::task::yield_now().await;
        }
        self.outbox.announce(entry);
    }

    /// Waits until the edge has been asked so often in all.
    async fn asked(&self, count: usize) {
        while self.server.received_requests().await.unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.end();
    }
}

#[tokio::test]
async fn what_waits_travels_together_and_arrives_as_it_was_kept() {
    let mut running = Running::new().await;
    let failure = entry(Outcome::Failed {
        reason: "no luck".to_owned(),
    });
    let entries = vec![offer(b"{ \"a\": 1 }"), failure];
    let before = now_ms();
    running.deliver(entries.clone()).await;
    assert_eq!(running.edge.0.lock().unwrap().batches.len(), 1);
    for (event, entry) in running.edge.events().into_iter().zip(entries) {
        let (subject, settlement) = Settlement::of_event(event).unwrap();
        assert_eq!(subject, entry.ticket.as_str());
        assert_eq!(settlement.outcome, entry.settlement.outcome);
        assert!(settlement.stamps.get(Point::Published).unwrap() >= before);
    }
    assert_eq!(running.counters.counts().delivered, 2);
}

#[tokio::test]
async fn an_offer_that_comes_later_is_delivered_at_once() {
    let mut running = Running::new().await;
    running.deliver(vec![offer(b"1")]).await;
    let start = StdInstant::now();
    running.deliver(vec![offer(b"2")]).await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(running.edge.events().len(), 2);
}

#[tokio::test]
async fn an_offer_goes_ahead_of_its_commit_and_only_once() {
    let mut running = Running::new().await;
    let offer = offer(b"1");
    running.announce(&offer).await;
    running.asked(1).await;
    assert_eq!(running.outbox.pending("edge", Way::Event).await.unwrap(), 0);
    running.deliver(vec![offer.clone()]).await;
    let (subject, settlement) = Settlement::of_event(running.edge.events().remove(0)).unwrap();
    assert_eq!(subject, offer.ticket.as_str());
    assert_eq!(settlement.outcome, offer.settlement.outcome);
    assert_eq!(running.server.received_requests().await.unwrap().len(), 1);
    assert_eq!(running.counters.counts().delivered, 1);
}

#[tokio::test]
async fn an_offer_that_is_committed_while_it_goes_ahead_does_not_go_beside_it() {
    let mut running = Running::new().await;
    running.edge.0.lock().unwrap().slow = true;
    let offer = offer(b"1");
    running.announce(&offer).await;
    running.deliver(vec![offer]).await;
    assert_eq!(running.server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_edge_did_not_take_ahead_goes_once_it_is_committed() {
    for answer in [422, 503] {
        let mut running = Running::new().await;
        running.edge.0.lock().unwrap().whole = vec![ResponseTemplate::new(answer)];
        let asked_again = offer(b"2");
        let id = asked_again.settlement.event_id.clone();
        {
            let mut state = running.edge.0.lock().unwrap();
            state.of_event.insert(id.clone(), vec![Status::Retry]);
        }
        let refused = offer(b"1");
        running.announce(&refused).await;
        running.asked(1).await;
        running.deliver(vec![refused.clone()]).await;
        running.announce(&asked_again).await;
        running.asked(3).await;
        running.deliver(vec![asked_again]).await;
        let expected = HashMap::from([(refused.settlement.event_id, 1), (id, 2)]);
        assert_eq!(running.edge.comings(), expected, "{answer}");
        assert_eq!(running.counters.counts().delivered, 2);
    }
}

#[tokio::test]
async fn only_an_offer_that_its_event_carries_goes_ahead() {
    let mut running = Running::new().await;
    let failure = entry(Outcome::Failed {
        reason: "no luck".to_owned(),
    });
    let large = offer(&vec![b'1'; 300 * 1024]);
    let small = offer(b"1");
    for entry in [&failure, &large, &small] {
        running.announce(entry).await;
    }
    running.asked(1).await;
    assert_eq!(running.edge.comings().len(), 1);
    assert_eq!(running.edge.comings()[&small.settlement.event_id], 1);
}

#[tokio::test]
async fn only_what_the_edge_asks_for_again_is_sent_again() {
    let mut running = Running::new().await;
    let entries: Vec<_> = (0..5).map(|_| offer(b"1")).collect();
    let ids: Vec<String> = entries
        .iter()
        .map(|entry| entry.settlement.event_id.clone())
        .collect();
    {
        let mut state = running.edge.0.lock().unwrap();
        state
            .of_event
            .insert(ids[0].clone(), vec![Status::Duplicate]);
        state.of_event.insert(ids[1].clone(), vec![Status::Ignored]);
        state
            .of_event
            .insert(ids[2].clone(), vec![Status::Rejected]);
        state
            .of_event
            .insert(ids[3].clone(), vec![Status::Retry, Status::Retry]);
    }
    running.deliver(entries).await;
    let comings = running.edge.comings();
    let comings: Vec<usize> = ids.iter().map(|id| comings[id]).collect();
    assert_eq!(comings, [1, 1, 1, 3, 1]);
    let counts = running.counters.counts();
    assert_eq!(
        (counts.delivered, counts.retried, counts.refused),
        (4, 2, 1)
    );
}

#[tokio::test]
async fn a_failing_edge_gets_everything_once_it_is_well_again() {
    let mut running = Running::new().await;
    running.edge.0.lock().unwrap().whole = vec![
        ResponseTemplate::new(503),
        ResponseTemplate::new(401),
        ResponseTemplate::new(200).set_body_string("no report"),
        ResponseTemplate::new(500).insert_header("retry-after", "0"),
    ];
    running.deliver(vec![offer(b"1"), offer(b"2")]).await;
    assert!(running.edge.comings().values().all(|count| *count == 1));
    assert_eq!(running.counters.counts().retried, 8);
}

#[tokio::test]
async fn an_edge_that_is_known_to_be_well_again_gets_everything_at_once() {
    let mut running = Running::new().await;
    // After so many it waits for at least 1.6 s.
    running.edge.0.lock().unwrap().whole = vec![ResponseTemplate::new(503); 5];
    let (counters, recovery) = (Arc::clone(&running.counters), running.recovery.clone());
    let back_at = tokio::spawn(async move {
        let failed = async {
            while counters.counts().retried < 5 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let failed = tokio::time::timeout(Duration::from_secs(30), failed).await;
        failed.expect("it fails as often as it is told to");
        recovery.send_replace(());
        StdInstant::now()
    });
    running.deliver(vec![offer(b"1")]).await;
    let waited = back_at.await.unwrap().elapsed();
    assert!(waited < Duration::from_secs(1), "{waited:?}");
}

#[tokio::test]
async fn a_lane_that_has_failed_for_long_is_stalled_until_it_delivers() {
    let mut running = Running::new().await;
    running.edge.0.lock().unwrap().whole = vec![ResponseTemplate::new(401); 7];
    let mut stalled = running.stalled.subscribe();
    let seen = tokio::spawn(async move {
        let mut seen = vec![*stalled.borrow_and_update()];
        while stalled.changed().await.is_ok() {
            seen.push(*stalled.borrow_and_update());
        }
        seen
    });
    running.deliver(vec![offer(b"1")]).await;
    drop(running);
    assert_eq!(seen.await.unwrap(), [false, true, false]);
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let mut running = Running::new().await;
    running.edge.0.lock().unwrap().whole =
        vec![ResponseTemplate::new(429).insert_header("retry-after", "2")];
    let start = StdInstant::now();
    running.deliver(vec![offer(b"1")]).await;
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_batch_that_is_too_large_for_the_edge_is_halved() {
    let mut running = Running::new().await;
    running.edge.0.lock().unwrap().most = 1;
    running.deliver((0..5).map(|_| offer(b"1")).collect()).await;
    assert_eq!(running.edge.comings().len(), 5);
    assert_eq!(running.counters.counts().delivered, 5);
}

#[tokio::test]
async fn no_body_is_larger_than_an_edge_takes() {
    let mut running = Running::new().await;
    let large = vec![b'"'; 200 * 1024];
    running
        .deliver(
            (0..30)
                .map(|number| {
                    // What says that it is JSON, and is not, is larger than it looks.
                    let is_text = number % 3 == 0;
                    entry(Outcome::Ready {
                        media_type: if is_text {
                            "text/plain"
                        } else {
                            "application/json"
                        }
                        .to_owned(),
                        content: Content::Inline(large.clone()),
                    })
                })
                .collect(),
        )
        .await;
    let batches = running.edge.0.lock().unwrap().batches.clone();
    assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 30);
    for batch in batches {
        let json: Vec<String> = batch.iter().map(Event::to_json).collect();
        assert!(json.join(",").len() + 2 <= MAX_EVENTS_BODY_BYTES);
    }
}

#[tokio::test]
async fn content_too_large_for_an_edge_without_kv_is_told_as_a_failure() {
    let mut running = Running::new().await;
    running.deliver(vec![offer(&vec![b'1'; 300 * 1024])]).await;
    let (_, settlement) = Settlement::of_event(running.edge.events().remove(0)).unwrap();
    assert!(matches!(settlement.outcome, Outcome::Failed { .. }));
}

#[tokio::test]
async fn an_offer_that_the_edge_refuses_is_told_as_a_failure() {
    let mut running = Running::new().await;
    let (alone, among_others) = (offer(b"1"), offer(b"2"));
    let subjects = [&alone, &among_others].map(|entry| entry.ticket.as_str().to_owned());
    let id = among_others.settlement.event_id.clone();
    {
        let mut state = running.edge.0.lock().unwrap();
        // The failure that is told instead may have to come again, as any event.
        state.of_event.insert(id.clone(), vec![Status::Rejected; 2]);
        let failure = format!("{id}-undelivered");
        state.of_event.insert(failure, vec![Status::Retry]);
        state.whole = vec![ResponseTemplate::new(422)];
    }
    running.deliver(vec![alone]).await;
    running.deliver(vec![offer(b"3"), among_others]).await;
    let failures = running.edge.events().into_iter().filter_map(|event| {
        let (subject, settlement) = Settlement::of_event(event).unwrap();
        matches!(settlement.outcome, Outcome::Failed { .. }).then_some(subject)
    });
    let [alone, among_others] = subjects;
    let told = [alone, among_others.clone(), among_others];
    assert_eq!(failures.collect::<Vec<_>>(), told);
    let counts = running.counters.counts();
    assert_eq!((counts.delivered, counts.refused), (1, 2));
}

#[tokio::test]
async fn what_expired_or_has_a_ticket_of_a_lost_key_is_not_sent() {
    let mut running = Running::new().await;
    let mut expired = offer(b"1");
    expired.expires_at_ms = now_ms();
    let mut foreign = offer(b"2");
    foreign.ticket = Ticket::mint(now_ms(), 0, [9; 8], &key(9));
    running.deliver(vec![expired, foreign]).await;
    assert_eq!(running.edge.events(), []);
    assert_eq!(running.counters.counts().refused, 2);
}
