//! What a measurement promises: it counts right, whatever the server does.

use std::sync::Mutex;

use axum::{
    Router,
    body::Body,
    extract,
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::stream;
use headstart_protocol::{channel::Down, topic::TopicName};
use http::{HeaderMap, StatusCode};
use tokio::sync::broadcast;
use url::Url;

use super::{
    headstart::Headstart, payload::Payload, schedule::Pace, session::Session, target::Publication,
    *,
};
use crate::{
    subscribe::{request::Request, transport::Transport},
    testing::{State, TopicEdge, key},
    token::Token,
};

fn plan(subscribers: usize, total: u64, burst: u64, pace: Pace) -> Plan {
    Plan {
        subscribers,
        connect_patience: Duration::from_secs(20),
        round: Round {
            schedule: Schedule { total, burst, pace },
            bytes: 200,
            patience: Duration::from_millis(300),
        },
    }
}

fn target(edge: &TopicEdge, transport: Transport) -> Arc<dyn Target> {
    Arc::new(Headstart::new(
        edge.url.parse().unwrap(),
        TopicName::parse("load/test").unwrap(),
        transport,
        key(2),
        Token::new("t.t"),
    ))
}

async fn measured(plan: &Plan, target: Arc<dyn Target>) -> Report {
    let run = run(plan, target, |_| ());
    tokio::time::timeout(Duration::from_mins(1), run)
        .await
        .expect("it ends")
        .unwrap()
}

const BOTH: [Transport; 2] = [Transport::Sse, Transport::Ws];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_of_every_subscriber_is_counted() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.publish("load/test", "of an earlier run");
        edge.state().token = Some("t.t".to_owned());
        let report = measured(&plan(20, 50, 10, Pace::Taken), target(&edge, transport)).await;
        assert!(report.is_faultless(), "{report}");
        assert_eq!((report.deliveries, report.reconnects), (1000, 0));
        assert_eq!(report.transport, transport);
        let latency = report.latency.unwrap();
        assert!(latency.p50 <= latency.p99 && latency.p99 <= latency.max);
        assert!(
            latency.max < report.took + Duration::from_secs(1),
            "{report}"
        );
        assert_eq!(edge.accepted("load/test").len(), 51);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_rate_it_takes_as_long_as_it_should() {
    let edge = TopicEdge::start().await;
    let plan = plan(3, 40, 2, Pace::PerSecond(80.0));
    let report = measured(&plan, target(&edge, Transport::Ws)).await;
    assert!(report.is_faultless(), "{report}");
    let took = report.took.as_millis();
    assert!((475..2000).contains(&took), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_is_counted_and_costs_no_update() {
    for transport in BOTH {
        let edge = Arc::new(TopicEdge::start().await);
        let cutting = Arc::clone(&edge);
        tokio::spawn(async move {
            for (updates, connections) in [(10, 5), (25, 10)] {
                let all_are_back = |state: &State| {
                    let taken = state.topics.get("load/test").map_or(0, Vec::len);
                    taken >= updates && state.asked.len() == connections
                };
                cutting.until(all_are_back).await;
                cutting.cut();
            }
        });
        let report = measured(
            &plan(5, 60, 1, Pace::PerSecond(100.0)),
            target(&edge, transport),
        )
        .await;
        assert!(report.is_faultless(), "{report}");
        assert_eq!((report.deliveries, report.reconnects), (300, 10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_doubles_or_loses_is_found_out() {
    for transport in BOTH {
        let edge = TopicEdge::start().await;
        edge.state().tells_twice = true;
        edge.state().untold = vec![3, 10];
        let report = measured(&plan(4, 10, 1, Pace::Taken), target(&edge, transport)).await;
        assert!(!report.is_faultless());
        assert_eq!(
            (report.deliveries, report.duplicates, report.losses),
            (32, 32, 8)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_over_the_same_connections_are_counted_each_by_itself() {
    let edge = TopicEdge::start().await;
    edge.state().untold = vec![22];
    let Plan {
        connect_patience,
        round,
        ..
    } = plan(5, 20, 4, Pace::Delivered);
    let target = target(&edge, Transport::Ws);
    let mut session = Session::connect(target, 5, connect_patience, |_| ())
        .await
        .unwrap();
    let mut found = Vec::new();
    for _ in 0..3 {
        let report = session.measure(&round, |_| ()).await.unwrap();
        assert!(
            report.latency.unwrap().max <= report.took,
            "of this round only: {report}"
        );
        found.push((report.deliveries, report.losses, report.duplicates));
    }
    assert_eq!(found, [(100, 0, 0), (95, 5, 0), (100, 0, 0)]);
    assert_eq!(edge.state().asked.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_waits_until_the_one_before_has_arrived_everywhere() {
    let edge = TopicEdge::start().await;
    edge.state().untold = vec![3];
    let mut plan = plan(4, 6, 1, Pace::Delivered);
    plan.round.patience = Duration::from_millis(700);
    let report = measured(&plan, target(&edge, Transport::Sse)).await;
    assert_eq!((report.deliveries, report.losses), (20, 4), "{report}");
    // It waited for the third in vain before it published the fourth.
    assert!(report.took > plan.round.patience, "{report}");
    assert!(report.latency.unwrap().max < plan.round.patience);
}

#[tokio::test]
async fn what_the_edge_does_not_take_at_once_is_published_again_and_arrives_once() {
    let edge = TopicEdge::start().await;
    edge.state().failures = vec![StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY];
    let report = measured(&plan(2, 4, 2, Pace::Taken), target(&edge, Transport::Sse)).await;
    assert!(report.is_faultless(), "{report}");
    assert_eq!(report.deliveries, 8);
}

#[tokio::test]
async fn pings_are_answered_while_it_measures() {
    let edge = Arc::new(TopicEdge::start().await);
    let pinging = Arc::clone(&edge);
    tokio::spawn(async move {
        pinging.until(|state| !state.topics.is_empty()).await;
        pinging.say(Down::Ping { n: 7 });
    });
    let report = measured(
        &plan(3, 10, 1, Pace::PerSecond(50.0)),
        target(&edge, Transport::Ws),
    )
    .await;
    assert!(report.is_faultless(), "{report}");
    edge.until(|state| state.said.len() == 3).await;
}

#[tokio::test]
async fn nothing_is_published_before_all_are_connected_and_it_says_how_far_it_came() {
    let edge = TopicEdge::start().await;
    edge.state().refusals = vec![StatusCode::SERVICE_UNAVAILABLE; 1000];
    let mut plan = plan(3, 10, 1, Pace::Taken);
    plan.connect_patience = Duration::from_millis(200);
    let stages = Mutex::new(Vec::new());
    let error = run(&plan, target(&edge, Transport::Sse), |stage| {
        stages.lock().unwrap().push(stage);
    })
    .await
    .unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::NotConnected {
                connected: 0,
                wanted: 3,
                ..
            }
        ),
        "{error}"
    );
    assert!(stages.lock().unwrap().contains(&Stage::Connecting(0)));
    assert_eq!(edge.accepted("load/test"), [""; 0]);
}

#[tokio::test]
async fn a_refusal_ends_it_with_the_reason() {
    let edge = TopicEdge::start().await;
    edge.state().token = Some("another".to_owned());
    let result = run(
        &plan(3, 10, 1, Pace::Taken),
        target(&edge, Transport::Ws),
        |_| (),
    )
    .await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("401"), "{error}");
}

/// A server of another kind: no welcome, no numbers, nothing kept; what is posted is what is told.
#[derive(Debug)]
struct Other(Url);

impl Target for Other {
    fn transport(&self) -> Transport {
        Transport::Sse
    }

    fn subscribe(&self, _: &[u8]) -> Result<Request, SubscribeError> {
        Ok(Request {
            url: self.0.join("/sub").unwrap(),
            headers: HeaderMap::new(),
        })
    }

    fn publish(&self, updates: &[Payload]) -> Result<Vec<Publication>, String> {
        let publication = |update: &Payload| Publication {
            url: self.0.join("/pub").unwrap(),
            headers: HeaderMap::new(),
            body: update.text.clone().into_bytes(),
        };
        Ok(updates.iter().map(publication).collect())
    }

    fn check(&self, status: StatusCode, _: &[u8]) -> Result<(), String> {
        if status == StatusCode::CREATED {
            Ok(())
        } else {
            Err(status.to_string())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_another_kind_is_measured_by_saying_how() {
    async fn publish(
        extract::State(live): extract::State<broadcast::Sender<String>>,
        body: String,
    ) -> StatusCode {
        live.send(body).unwrap();
        StatusCode::CREATED
    }
    async fn subscribe(
        extract::State(live): extract::State<broadcast::Sender<String>>,
    ) -> Response {
        let frames = stream::unfold(live.subscribe(), |mut live| async {
            let text = live.recv().await.ok()?;
            Some((Ok::<_, String>(format!("data: {text}\n\n")), live))
        });
        let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
        (headers, Body::from_stream(frames)).into_response()
    }
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let router = Router::new()
        .route("/pub", post(publish))
        .route("/sub", get(subscribe))
        .with_state(broadcast::Sender::new(1000));
    tokio::spawn(async move { axum::serve(socket, router).await.unwrap() });
    let other: Arc<dyn Target> = Arc::new(Other(url.parse().unwrap()));
    let report = measured(&plan(10, 30, 5, Pace::Taken), other).await;
    assert!(report.is_faultless(), "{report}");
    assert_eq!(report.deliveries, 300);
}
