//! Nothing is lost and nothing delivered twice to a waiting client, whatever is killed and started
//! again.

use std::time::Duration;

use futures_util::future::join_all;
use headstart_protocol::stamps::{Point, Stamps};
use headstart_tests::{
    client::{Client, offer_path, settled_by},
    edge::Edge,
    edge_config::EdgeConfig,
    events::ready,
    gate::{Gate, Mode},
    keys::{fresh_ticket, now_ms},
    kv::Kv,
    origin::{Origin, OriginConfig},
    wait::within_time,
};
use serde_json::json;
use tokio::task::spawn_blocking;

const CUSTOMER: &str = "17850";

/// How long after its return everything of an edge flows again.
const BACK_WITHIN: Duration = Duration::from_secs(5);

async fn edge_and_gate(mode: Mode) -> (Edge, Gate) {
    let edge = Edge::start(EdgeConfig::default()).await;
    let gate = Gate::before(edge.address(), mode).await;
    (edge, gate)
}

#[tokio::test]
async fn an_origin_killed_while_it_generates_begins_again() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let config = OriginConfig::new("one").edge(&edge);
    let mut origin = Origin::start(config.slow());
    let client = edge.client();
    let ticket = client.login(CUSTOMER).await;
    let (stream, ws) = (client.events(&ticket).await, client.ws(&ticket).await);
    origin.generates(1).await;
    origin.kill();
    let killed_at = now_ms();
    origin.start_again();
    let told = stream.only().await;
    assert_eq!(told.name, "offer");
    let begun_at = Stamps::of_event(&told.event).get(Point::Started);
    assert!(
        begun_at > Some(killed_at),
        "the kill came before the end of generation"
    );
    assert_eq!(ws.only().await.id, told.id);
    let _ = Kv::of(&edge).await_offer(&ticket).await;
}

#[tokio::test]
async fn an_origin_killed_before_it_could_deliver_delivers_what_it_had_generated() {
    let (edge, gate) = edge_and_gate(Mode::Shut).await;
    let config = OriginConfig::new("one").edge_through(&edge, &gate.url());
    let mut origin = Origin::start(config);
    let client = edge.client();
    let ticket = client.login(CUSTOMER).await;
    let stream = client.events(&ticket).await;
    // The first goes beside the commit, the second is what was committed.
    gate.tried(2).await;
    origin.kill();
    let killed_at = now_ms();
    assert_eq!(client.offer(&ticket).await.status, 202);
    gate.set(Mode::Open);
    origin.start_again();
    let told = stream.only().await;
    assert_eq!(told.name, "offer");
    let generated_at = Stamps::of_event(&told.event).get(Point::Generated);
    assert!(
        generated_at.unwrap() <= killed_at,
        "it was not generated again"
    );
    let _ = Kv::of(&edge).await_offer(&ticket).await;
}

#[tokio::test]
async fn an_origin_killed_before_it_heard_of_its_delivery_delivers_to_nobody_twice() {
    let (edge, gate) = edge_and_gate(Mode::Deaf).await;
    let config = OriginConfig::new("one").edge_through(&edge, &gate.url());
    let mut origin = Origin::start(config);
    let client = edge.client();
    let ticket = client.login(CUSTOMER).await;
    let (stream, ws) = (client.events(&ticket).await, client.ws(&ticket).await);
    let told = stream.only().await;
    assert_eq!(ws.only().await.id, told.id);
    origin.kill();
    gate.set(Mode::Open);
    let tries = gate.tries();
    origin.start_again();
    gate.tried(tries + 1).await;
    let origin = spawn_blocking(move || {
        assert!(origin.stop().success());
        origin
    });
    let log = origin.await.unwrap().log();
    assert!(log.contains(r#"way="event" delivered=1"#), "{log}");
    let path = format!("{}/events", offer_path(&ticket));
    let call = client.get(&path).header("last-event-id", &told.id);
    assert_eq!(call.send().await.status, 204);
    let answer = client.offer(&ticket).await.expect_status(200);
    assert_eq!(answer.header("headstart-event-id"), told.id);
    assert_eq!(
        answer.stamps().get(Point::Received),
        Stamps::of_event(&told.event).get(Point::Received),
        "the second delivery changed nothing"
    );
}

#[tokio::test]
async fn an_origin_killed_again_and_again_loses_no_login() {
    let edge = Edge::start(EdgeConfig::default()).await;
    let config = OriginConfig::new("one").edge(&edge);
    let mut origin = Origin::start(config.set("generate.retail.effort", 200));
    let client = edge.client();
    let waiting = join_all((0..12).map(|n| {
        let client = client.clone();
        async move {
            let ticket = client.login(&format!("user-{n}")).await;
            client.events(&ticket).await
        }
    }))
    .await;
    // Twice: a login whose lease is lost three times is given up, so that none can kill every origin.
    for _ in 0..2 {
        origin.generates(2).await;
        origin.kill();
        origin.start_again();
    }
    for stream in waiting {
        let told = stream.only().await;
        assert_eq!(told.name, "offer", "{told:?}");
    }
}

#[tokio::test]
async fn a_login_taken_by_an_edge_that_was_killed_is_generated_when_it_is_back() {
    let mut edge = Edge::start(EdgeConfig::default()).await;
    let client = edge.client();
    let tickets = [client.login("17850").await, client.login("13047").await];
    let mut stream = client.events(&tickets[0]).await;
    edge.kill().await;
    assert_eq!(stream.next().await, None, "the stream broke");
    edge.start_again().await;
    let stream = client.events(&tickets[0]).await;
    let _origin = Origin::start(OriginConfig::new("one").edge(&edge));
    let told = stream.only().await;
    assert_eq!(
        (told.name.as_str(), settled_by(&told.event)),
        ("offer", "one")
    );
    let _ = client
        .offer_within(&tickets[1], 50)
        .await
        .expect_status(200);
}

#[tokio::test]
async fn a_login_that_nobody_takes_fails_though_its_edge_died_meanwhile() {
    let config = EdgeConfig::default().var("LOGIN_TIMEOUT_SECONDS", 3);
    let mut edge = Edge::start(config).await;
    let client = edge.client();
    let ticket = client.login(CUSTOMER).await;
    edge.kill().await;
    edge.start_again().await;
    let told = client.events(&ticket).await.only().await;
    assert_eq!(told.name, "failed");
}

#[tokio::test]
async fn an_offer_that_an_edge_has_taken_survives_its_death() {
    let mut edge = Edge::start(EdgeConfig::default()).await;
    let (client, ticket) = (edge.client(), fresh_ticket());
    let event = ready(&ticket, &json!({ "kept": true }));
    client.settle(&event).await;
    edge.kill().await;
    edge.start_again().await;
    let answer = client.offer(&ticket).await.expect_status(200);
    assert_eq!(answer.json(), json!({ "kept": true }));
    assert_eq!(answer.header("headstart-event-id"), event.id);
    let told = client.events(&ticket).await.only().await;
    assert_eq!(told.id, event.id);
}

#[tokio::test]
async fn an_offer_does_not_wait_for_kv_and_gets_there_once_its_api_is_back() {
    let (edge, gate) = edge_and_gate(Mode::Shut).await;
    let config = OriginConfig::new("one").edge(&edge);
    let _origin = Origin::start(config.kv_through(&gate.url()));
    let client = edge.client();
    let ticket = client.login(CUSTOMER).await;
    let told = client.events(&ticket).await.only().await;
    assert_eq!(told.name, "offer");
    gate.tried(1).await;
    assert_eq!(Kv::of(&edge).offer(&ticket).await, None);
    gate.set(Mode::Open);
    let positioned = Kv::of(&edge).await_offer(&ticket).await;
    assert_eq!(told.event.data.unwrap().as_bytes(), positioned);
}

#[tokio::test]
async fn an_edge_that_was_away_gets_what_it_missed() {
    let (here, mut there) = tokio::join!(
        Edge::start(EdgeConfig::default()),
        Edge::start(EdgeConfig::default())
    );
    let origin = Origin::start(OriginConfig::new("one").edge(&here).edge(&there));
    origin.logged("linked", 2).await;
    there.kill().await;
    let ticket = here.client().login(CUSTOMER).await;
    let told = here.client().events(&ticket).await.only().await;
    assert_eq!(told.name, "offer");
    there.start_again().await;
    let missed = there.client().events(&ticket).await.only().await;
    assert_eq!(missed.id, told.id);
    let _ = Kv::of(&there).await_offer(&ticket).await;
}

#[tokio::test]
async fn an_origin_finds_its_edge_again_and_delivers_what_was_generated_meanwhile() {
    let mut edge = Edge::start(EdgeConfig::default()).await;
    let config = OriginConfig::new("one").edge(&edge);
    let origin = Origin::start(config.slow());
    let client = edge.client();
    let ticket = client.login(CUSTOMER).await;
    origin.generates(1).await;
    edge.kill().await;
    let died_at = now_ms();
    origin.logged("settled", 1).await;
    edge.start_again().await;
    let told = client.events(&ticket).await.only().await;
    assert_eq!(told.name, "offer");
    let received_at = Stamps::of_event(&told.event).get(Point::Received);
    assert!(received_at > Some(died_at));
    let _ = Kv::of(&edge).await_offer(&ticket).await;
    let next = client.login(CUSTOMER).await;
    assert_eq!(client.events(&next).await.only().await.name, "offer");
}

#[tokio::test]
async fn what_waited_for_an_edge_and_what_comes_flows_five_seconds_after_its_return() {
    let (mut edge, gate) = edge_and_gate(Mode::Open).await;
    let origin = Origin::start(OriginConfig::new("one").edge_through(&edge, &gate.url()));
    origin.logged("linked", 1).await;
    edge.kill().await;
    let listener = origin.listener().await;
    let missed = join_all((0..3).map(|_| listener.login(CUSTOMER))).await;
    // From then on the origin would wait for at least ten seconds more.
    gate.tried(8).await;
    edge.start_again().await;
    let client = edge.client();
    let flows = async {
        let (late, new) = tokio::join!(
            join_all(
                missed
                    .iter()
                    .map(async |ticket| client.events(ticket).await.only().await)
            ),
            join_all((0..3).map(async |_| {
                let ticket = client.login(CUSTOMER).await;
                client.events(&ticket).await.only().await
            }))
        );
        [late, new].concat()
    };
    for told in within_time(BACK_WITHIN, "everything to flow", flows).await {
        assert_eq!(told.name, "offer", "{told:?}");
    }
}

/// How many generations an origin has ended since it was started.
async fn generated(listener: &Client) -> u32 {
    let answer = listener.get("/metrics").send().await.expect_status(200);
    let metrics = String::from_utf8(answer.body).expect("metrics are text");
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("headstart_generation_seconds_count "));
    count
        .expect("generations are counted")
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn an_origin_whose_disk_is_full_generates_nothing_in_vain_and_goes_on_once_there_is_room() {
    // Long enough for an origin that takes what it cannot keep to generate each many times over.
    let config = EdgeConfig::default().var("LOGIN_TIMEOUT_SECONDS", 10);
    let edge = Edge::start(config).await;
    let config = OriginConfig::new("one").edge(&edge).small_disk(1024);
    // It is to notice by what it cannot write.
    let origin = Origin::start(config.set("outbox.min_free_bytes", 0));
    let listener = origin.listener().await;
    let client = edge.client();
    let outcome = async || {
        let ticket = client.login(CUSTOMER).await;
        client.events(&ticket).await.only().await.name
    };
    assert_eq!(outcome().await, "offer");
    origin.fill_disk();
    let before = generated(&listener).await;
    // Offers that are made before it notices may go ahead of the commit that fails.
    join_all((0..8).map(|_| outcome())).await;
    let noticed = generated(&listener).await;
    assert!(noticed - before <= 16, "{noticed} times for eight logins");
    assert_eq!(join_all((0..8).map(|_| outcome())).await, ["failed"; 8]);
    assert_eq!(generated(&listener).await, noticed);
    origin.clear_disk();
    origin.logged("keeps again what it is given", 1).await;
    assert_eq!(outcome().await, "offer");
}
