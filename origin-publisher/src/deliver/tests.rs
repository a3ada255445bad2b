//! What all deliveries together promise.

use std::sync::Mutex;

use headstart_client::http_client;
use headstart_protocol::{
    event::Event,
    report::{EventResult, PublishReport, Status},
    settlement::{Content, Outcome, Settlement},
};
use serde_json::json;
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

use super::*;
use crate::{
    config::{self, Environment},
    testing::{delivered, key, offer},
};

/// An edge with KV: what came, in its order, as `kv KEY` or `event ID`.
struct FakeEdge {
    server: MockServer,
    came: Arc<Mutex<Vec<String>>>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl FakeEdge {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let (came, events) = (Arc::default(), Arc::default());
        let (kv_came, event_came): (Arc<Mutex<Vec<String>>>, _) =
            (Arc::clone(&came), Arc::clone(&came));
        let kept: Arc<Mutex<Vec<Event>>> = Arc::clone(&events);
        Mock::given(method("PUT"))
            .and(path("/storage/kv/namespaces/ns/bulk"))
            .respond_with(move |request: &Request| {
                let pairs: Vec<serde_json::Value> = serde_json::from_slice(&request.body).unwrap();
                for pair in pairs {
                    kv_came.lock().unwrap().push(format!("kv {}", pair["key"]));
                }
                let result = json!({ "success": true, "result": { "unsuccessful_keys": [] } });
                ResponseTemplate::new(200).set_body_json(result)
            })
            .mount(&server)
            .await;
        Mock::given(method("POST"))
            .and(path("/events"))
            .respond_with(move |request: &Request| {
                let batch = Event::batch_from_json(&request.body).unwrap();
                let results = batch
                    .into_iter()
                    .map(|event| {
                        let event = event.unwrap();
                        event_came
                            .lock()
                            .unwrap()
                            .push(format!("event {}", event.id));
                        let id = event.id.clone();
                        kept.lock().unwrap().push(event);
                        EventResult {
                            id,
                            status: Status::Accepted,
                            reason: None,
                        }
                    })
                    .collect();
                ResponseTemplate::new(200).set_body_json(PublishReport { results })
            })
            .mount(&server)
            .await;
        Self {
            server,
            came,
            events,
        }
    }

    fn came(&self) -> Vec<String> {
        self.came.lock().unwrap().clone()
    }
}

/// Starts deliveries to edges at these URLs, named `edge`, `other`, each with its KV.
fn start(urls: &[String]) -> (Delivery, Outbox, Shutdown, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut environment: Environment = [
        ("HEADSTART_TICKET_KEY", key(1).expose()),
        ("HEADSTART_ORIGIN_KEY", key(2).expose()),
        ("HEADSTART_API_TOKEN", "token".to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for (index, (url, name)) in urls.iter().zip(["edge", "other"]).enumerate() {
        for (key, value) in [
            ("NAME", name),
            ("URL", url),
            ("KV_API", url),
            ("KV_NAMESPACE_ID", "ns"),
        ] {
            environment.insert(format!("HEADSTART_EDGES_{index}_{key}"), value.to_owned());
        }
    }
    let config = config::load(None, &environment, &[]).unwrap().config;
    let secrets = Secrets::read(&config, &environment).unwrap();
    let outbox = Outbox::open(&folder.path().join("outbox.sqlite3"), ways(&config)).unwrap();
    let shutdown = Shutdown::default();
    let client = http_client::build().unwrap();
    let delivery = Delivery::start(
        &config,
        &secrets,
        &client,
        &outbox,
        &Metrics::default(),
        &shutdown,
    );
    (delivery, outbox, shutdown, folder)
}

#[tokio::test]
async fn large_content_is_in_kv_before_an_event_names_it() {
    let edge = FakeEdge::new().await;
    let (delivery, outbox, shutdown, _folder) = start(&[edge.server.uri()]);
    let entry = offer(&vec![b'1'; 300 * 1024]);
    outbox.commit(entry.clone()).await.unwrap();
    assert!(delivery.flush(Duration::from_secs(20)).await.unwrap());
    let ids = [
        // Under a key that nobody can have asked for before.
        format!(
            "kv \"offer:{}:{}\"",
            entry.ticket.uuid(),
            entry.settlement.event_id
        ),
        format!("event {}", entry.settlement.event_id),
    ];
    assert_eq!(edge.came(), ids);
    let (_, settlement) = Settlement::of_event(edge.events.lock().unwrap().remove(0)).unwrap();
    let outcome = Outcome::Ready {
        media_type: "application/json".to_owned(),
        content: Content::Positioned,
    };
    assert_eq!(settlement.outcome, outcome);
    shutdown.end();
    delivery.ended().await;
}

#[tokio::test]
async fn a_dead_edge_delays_no_other_and_keeps_its_deliveries() {
    let edge = FakeEdge::new().await;
    // Nothing listens on port 1.
    let (delivery, outbox, shutdown, _folder) =
        start(&[edge.server.uri(), "http://127.0.0.1:1".to_owned()]);
    for _ in 0..3 {
        outbox.commit(offer(b"1")).await.unwrap();
    }
    delivered(&outbox, Way::Event).await;
    delivered(&outbox, Way::Kv).await;
    assert_eq!(edge.came().len(), 6);
    assert_eq!(outbox.pending("other", Way::Event).await.unwrap(), 3);
    assert_eq!(outbox.pending("other", Way::Kv).await.unwrap(), 3);
    assert!(!delivery.flush(Duration::from_millis(50)).await.unwrap());
    let counts = delivery.counts();
    assert_eq!(counts[0].counts.delivered, 3);
    shutdown.end();
    delivery.ended().await;
}

#[tokio::test]
async fn what_is_dropped_because_too_much_waits_is_counted() {
    let (outbox, _folder) = crate::testing::outbox(true);
    for _ in 0..3 {
        outbox.commit(offer(&[b'1'; 1000])).await.unwrap();
    }
    let metrics = Metrics::default();
    shed(&outbox, 5000, &metrics).await.unwrap();
    let dropped = |way| metrics.deliveries("edge", way, "dropped").get();
    assert_eq!((dropped(Way::Event), dropped(Way::Kv)), (1, 2));
    let pool = crate::generate::pool::PoolStatus {
        threads: 1,
        running: 0,
        queued: 0,
        queue_limit: 1,
    };
    let text = metrics.text(&outbox, pool).await.unwrap();
    assert!(
        text.contains("headstart_outbox_bytes{edge=\"edge\"} "),
        "{text}"
    );
}
