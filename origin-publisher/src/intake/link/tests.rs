//! What the link promises, against an edge played by this test over a real WebSocket.

use std::{collections::HashSet, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use headstart_client::clock::now_ms;
use headstart_protocol::{
    channel::{PING_TEXT, PONG_TEXT},
    event::Event,
    keys::KeyRing,
    limits::MAX_LINK_MESSAGE_BYTES,
    link::{DEAD_AFTER_MS, FromEdge, FromOrigin},
    settlement::Outcome,
    signature,
    ticket::Ticket,
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
    },
};
use uuid::Uuid;

use super::*;
use crate::{
    config::EdgeConfig,
    outbox::{Outbox, PendingEntry, Way},
    testing::{self, key, login, ticket},
};

const LONG: Duration = Duration::from_secs(20);

/// The edge's side: where the origin's links come in.
struct FakeEdge {
    listener: TcpListener,
}

/// One link, with what it opened with.
struct FakeLink {
    socket: WebSocketStream<TcpStream>,
    desk: String,
    message_id: String,
}

impl FakeEdge {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Returns the next link, its signature checked.
    async fn accept(&self) -> FakeLink {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        let (mut desk, mut message_id) = (String::new(), String::new());
        #[expect(clippy::result_large_err, reason = "the library's own type")]
        let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            let header =
                |name: &str| Some(request.headers().get(name)?.to_str().unwrap().to_owned());
            let keys = KeyRing::from(key(2));
            assert_eq!(request.uri().path(), "/origin/link");
            desk = request.uri().query().unwrap_or_default().to_owned();
            let signed = format!("GET /origin/link?{desk}");
            message_id = signature::verify(header, signed.as_bytes(), &keys, now_ms())
                .expect("a good signature");
            Ok(response)
        };
        let socket = accept_hdr_async(stream, check).await.unwrap();
        FakeLink {
            socket,
            desk,
            message_id,
        }
    }

    /// Returns the next link, welcomed, and its hello.
    async fn welcome(&self, desks: u32) -> (FakeLink, FromOrigin) {
        let mut link = self.accept().await;
        link.say(&welcome(desks)).await;
        let hello = link.hear().await;
        (link, hello)
    }
}

fn welcome(desks: u32) -> FromEdge {
    FromEdge::Welcome {
        desk: 0,
        desks,
        lease_ms: 30_000,
    }
}

impl FakeLink {
    async fn say(&mut self, message: &FromEdge) {
        let text = serde_json::to_string(message).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    async fn lease(&mut self, name: &str, event: Event, expires_in: Duration) {
        self.say(&FromEdge::Lease {
            lease: name.to_owned(),
            expires_in_ms: headstart_client::clock::whole_ms(expires_in),
            event: Box::new(event),
        })
        .await;
    }

    async fn hear(&mut self) -> FromOrigin {
        loop {
            match within(self.socket.next()).await.unwrap().unwrap() {
                Message::Text(text) if text == PING_TEXT => {
                    self.socket.send(Message::text(PONG_TEXT)).await.unwrap();
                }
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future)
        .await
        .expect("it happens in time")
}

struct Running {
    edge: FakeEdge,
    outbox: Outbox,
    pipeline: Pipeline,
    recovered: watch::Receiver<()>,
    stalled: watch::Sender<bool>,
    shutdown: Shutdown,
    links: JoinHandle<()>,
    folder: TempDir,
}

impl Running {
    /// Links of an origin with one thread and `queue` places.
    async fn new(queue: usize) -> Self {
        let edge = FakeEdge::new().await;
        let (outbox, folder) = testing::outbox(false);
        let pipeline = testing::pipeline(&outbox, queue, LONG);
        let (recovery, recovered) = watch::channel(());
        let stalled = watch::Sender::new(false);
        let shutdown = Shutdown::default();
        let links = Links {
            edge: EdgeConfig {
                name: Some("edge".to_owned()),
                url: format!("http://{}", edge.addr()).parse().unwrap(),
                key_file: None,
                kv: None,
            },
            key: key(2),
            origin: "test".to_owned(),
            instance: "run".to_owned(),
            capacity: 1 + queue,
            pipeline: pipeline.clone(),
            recovery,
            stalled: stalled.subscribe(),
            shutdown: shutdown.clone(),
        };
        Self {
            edge,
            outbox,
            pipeline,
            recovered,
            stalled,
            shutdown,
            links: tokio::spawn(keep(links)),
            folder,
        }
    }

    /// Returns what the outbox holds: tickets and outcomes.
    async fn settled(&self) -> Vec<(String, Outcome)> {
        let listed = self.outbox.list("edge", Way::Event, 0, 100).await.unwrap();
        let ids = listed.into_iter().map(|(id, _)| id).collect();
        let pending = self.outbox.read("edge", Way::Event, ids, usize::MAX);
        let pending = pending.await.unwrap().into_iter();
        pending
            .map(|pending| match pending.entry {
                PendingEntry::Settlement { settlement, .. } => {
                    (pending.subject, settlement.outcome)
                }
                PendingEntry::Update { .. } => panic!("an update among settlements"),
            })
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.end();
    }
}

fn login_event(user: &str, ticket: &Ticket) -> Event {
    login(user).to_event(ticket, "/edge/test", now_ms())
}

/// A login that cannot be read, and so is settled as failed and acked at once.
fn senseless_event() -> Event {
    Event {
        data: None,
        ..login_event("anna", &ticket())
    }
}

fn ack(lease: &str) -> FromOrigin {
    FromOrigin::Ack {
        leases: vec![lease.to_owned()],
    }
}

fn release(lease: &str) -> FromOrigin {
    FromOrigin::Release {
        lease: lease.to_owned(),
    }
}

fn held(hello: &FromOrigin) -> Vec<String> {
    match hello {
        FromOrigin::Hello { held, .. } => held.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lease_is_acked_once_its_offer_is_durable() {
    let running = Running::new(4).await;
    let (mut link, hello) = running.edge.welcome(1).await;
    assert_eq!(
        hello,
        FromOrigin::Hello {
            origin: "test".to_owned(),
            instance: "run".to_owned(),
            capacity: 5,
            held: vec![]
        }
    );
    let ticket = ticket();
    link.lease("l1", login_event("anna", &ticket), LONG).await;
    assert_eq!(link.hear().await, ack("l1"));
    let settled = running.settled().await;
    assert_eq!(settled[0].0, ticket.as_str());
    assert!(
        matches!(&settled[0].1, Outcome::Ready { media_type, .. } if media_type == "text/plain")
    );
}

#[tokio::test]
async fn a_generation_that_fails_or_outlasts_its_lease_settles_as_failed() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    link.lease("l1", login_event("fails", &ticket()), LONG)
        .await;
    assert_eq!(link.hear().await, ack("l1"));
    link.lease(
        "l2",
        login_event("sleeps", &ticket()),
        Duration::from_millis(400),
    )
    .await;
    assert_eq!(link.hear().await, ack("l2"));
    let reasons: Vec<_> = running
        .settled()
        .await
        .into_iter()
        .map(|(_, outcome)| match outcome {
            Outcome::Failed { reason } => reason,
            Outcome::Ready { .. } => panic!("it has no offer"),
        })
        .collect();
    assert_eq!(reasons, ["no luck", "the offer was not ready in time"]);
}

#[tokio::test]
async fn a_login_that_makes_no_sense_settles_as_failed() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    link.lease("l1", senseless_event(), LONG).await;
    assert_eq!(link.hear().await, ack("l1"));
    assert!(matches!(
        running.settled().await[0].1,
        Outcome::Failed { .. }
    ));
}

#[tokio::test]
async fn a_login_whose_ticket_is_foreign_or_expired_by_this_clock_is_handed_back() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    let foreign = Ticket::mint(now_ms(), 0, [9; 8], &key(9));
    link.lease("l2", login_event("anna", &foreign), LONG).await;
    assert_eq!(link.hear().await, release("l2"));
    let expired = Ticket::mint(1, 0, [9; 8], &key(1));
    link.lease("l3", login_event("anna", &expired), LONG).await;
    assert_eq!(link.hear().await, release("l3"));
    assert_eq!(running.settled().await.len(), 0);
}

#[tokio::test]
async fn an_offer_that_no_edge_would_take_settles_as_failed() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    for (lease, media_type) in [("l1", "text/plain\nx".to_owned()), ("l2", "x".repeat(257))] {
        let login = login_event(&format!("as {media_type}"), &ticket());
        link.lease(lease, login, LONG).await;
        assert_eq!(link.hear().await, ack(lease));
    }
    let outcomes = running
        .settled()
        .await
        .into_iter()
        .map(|(_, outcome)| outcome);
    let reasons: Vec<_> = outcomes
        .map(|outcome| match outcome {
            Outcome::Failed { reason } => reason,
            Outcome::Ready { media_type, .. } => panic!("an offer of {media_type:?}"),
        })
        .collect();
    for (reason, why) in reasons.iter().zip(["control", "longer"]) {
        assert!(reason.contains(why), "{reason}");
    }
    assert_eq!(reasons.len(), 2);
}

#[tokio::test]
async fn a_login_that_settled_before_is_acked_and_not_generated_again() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    let ticket = ticket();
    for lease in ["l1", "l2"] {
        link.lease(lease, login_event("anna", &ticket), LONG).await;
        assert_eq!(link.hear().await, ack(lease));
    }
    assert_eq!(running.settled().await.len(), 1);
}

#[tokio::test]
async fn a_login_leased_again_while_in_work_is_generated_once() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    let ticket = ticket();
    let short = Duration::from_millis(400);
    link.lease("l1", login_event("sleeps", &ticket), short)
        .await;
    link.lease("l2", login_event("sleeps", &ticket), LONG).await;
    // The second would take far longer than this test waits, were it generated.
    let leases = ["l1", "l2"].map(str::to_owned).to_vec();
    assert_eq!(link.hear().await, FromOrigin::Ack { leases });
    assert_eq!(running.settled().await.len(), 1);
}

#[tokio::test]
async fn what_the_pool_has_no_room_for_is_handed_back() {
    let running = Running::new(1).await;
    let (mut link, _) = running.edge.welcome(1).await;
    for lease in ["l1", "l2", "l3"] {
        link.lease(lease, login_event("sleeps", &ticket()), LONG)
            .await;
    }
    let FromOrigin::Release { .. } = link.hear().await else {
        panic!("one of the three is too many");
    };
}

#[tokio::test]
async fn a_broken_link_is_opened_again_and_goes_on_with_what_is_held() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    link.lease(
        "l1",
        login_event("sleeps", &ticket()),
        Duration::from_secs(2),
    )
    .await;
    // Seen by the origin before the link breaks.
    link.lease("l2", senseless_event(), LONG).await;
    assert_eq!(link.hear().await, ack("l2"));
    let first_id = link.message_id.clone();
    drop(link);
    let (mut link, hello) = running.edge.welcome(1).await;
    assert_ne!(
        link.message_id, first_id,
        "an edge refuses a handshake that it has seen"
    );
    assert_eq!(held(&hello), ["l1"]);
    assert_eq!(link.hear().await, ack("l1"));
}

#[tokio::test]
async fn an_answer_that_a_broken_link_did_not_take_is_given_over_the_next() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    let short = Duration::from_millis(200);
    link.lease("l1", login_event("sleeps", &ticket()), short)
        .await;
    link.lease("l2", senseless_event(), LONG).await;
    assert_eq!(link.hear().await, ack("l2"));
    drop(link);
    within(async {
        while running.settled().await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // Its answer waits for the next link. That one breaks as soon as it has welcomed the origin, which may
    // still say hello: what is said next fails.
    let mut link = running.edge.accept().await;
    link.say(&welcome(1)).await;
    drop(link);
    let (mut link, hello) = running.edge.welcome(1).await;
    assert_eq!(held(&hello), ["l1"]);
    assert_eq!(link.hear().await, ack("l1"));
}

#[tokio::test]
async fn all_that_is_held_is_told_in_messages_that_an_edge_takes() {
    const HELD: usize = 2_500;
    let running = Running::new(HELD).await;
    let (mut link, _) = running.edge.welcome(1).await;
    let names: HashSet<String> = (0..HELD)
        .map(|number| {
            format!(
                "{}.{}",
                Uuid::now_v7(),
                u32::MAX - u32::try_from(number).unwrap()
            )
        })
        .collect();
    for name in &names {
        link.lease(name, login_event("sleeps", &ticket()), LONG)
            .await;
    }
    link.lease("last", senseless_event(), LONG).await;
    assert_eq!(link.hear().await, ack("last"));
    drop(link);
    let (mut link, mut hello) = running.edge.welcome(1).await;
    let mut told = HashSet::new();
    loop {
        let bytes = serde_json::to_string(&hello).unwrap().len();
        assert!(bytes <= MAX_LINK_MESSAGE_BYTES, "{bytes}");
        told.extend(held(&hello));
        let FromOrigin::Hello { capacity, .. } = hello else {
            panic!("{hello:?}");
        };
        if capacity > 0 {
            break;
        }
        hello = link.hear().await;
    }
    assert_eq!(told, names);
}

#[tokio::test]
async fn an_edge_that_is_down_is_tried_again_until_it_is_there() {
    let running = Running::new(4).await;
    for _ in 0..2 {
        // Taken and dropped: no WebSocket comes of it.
        drop(within(running.edge.listener.accept()).await.unwrap());
    }
    assert!(!running.recovered.has_changed().unwrap());
    let (_link, hello) = running.edge.welcome(1).await;
    assert!(
        running.recovered.has_changed().unwrap(),
        "deliveries hear of it"
    );
    assert_eq!(held(&hello), Vec::<String>::new());
}

#[tokio::test]
async fn every_desk_has_a_link_with_its_share_of_the_capacity() {
    let running = Running::new(5).await;
    let (first, hello) = running.edge.welcome(3).await;
    assert!(matches!(hello, FromOrigin::Hello { capacity: 2, .. }));
    let mut desks = vec![first.desk.clone()];
    let mut links = vec![first];
    for _ in 0..2 {
        let (link, _) = running.edge.welcome(3).await;
        desks.push(link.desk.clone());
        links.push(link);
    }
    desks.sort();
    assert_eq!(desks, ["desk=0", "desk=1", "desk=2"]);
}

#[tokio::test]
async fn an_origin_whose_events_the_edge_does_not_take_takes_no_logins_until_it_does() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    running.stalled.send_replace(true);
    assert_eq!(link.hear().await, FromOrigin::Drain {});
    drop(link);
    let (mut link, hello) = running.edge.welcome(1).await;
    assert!(
        matches!(hello, FromOrigin::Hello { capacity: 0, .. }),
        "{hello:?}"
    );
    running.stalled.send_replace(false);
    let hello = link.hear().await;
    assert!(
        matches!(hello, FromOrigin::Hello { capacity: 5, .. }),
        "{hello:?}"
    );
}

#[tokio::test]
async fn an_origin_that_can_keep_nothing_hands_back_what_it_holds_and_takes_no_more_until_it_can() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    let outbox = running.folder.path().join("outbox.sqlite3");
    // As a full disk does.
    let other = rusqlite::Connection::open(outbox).unwrap();
    for table in ["entry", "position"] {
        let full = "SELECT RAISE(ABORT, 'full')";
        let when = format!("{table}_full BEFORE INSERT ON {table} BEGIN {full}; END");
        other
            .execute_batch(&format!("CREATE TRIGGER {when}"))
            .unwrap();
    }
    let begun = tokio::time::Instant::now();
    link.lease("l1", login_event("sleeps", &ticket()), LONG)
        .await;
    link.lease("l2", senseless_event(), LONG).await;
    assert_eq!(link.hear().await, FromOrigin::Drain {});
    link.lease("l3", login_event("sleeps", &ticket()), LONG)
        .await;
    let mut released = Vec::new();
    for _ in 0..3 {
        released.push(format!("{:?}", link.hear().await));
    }
    released.sort();
    assert_eq!(
        released,
        ["l1", "l2", "l3"].map(|name| format!("{:?}", release(name)))
    );
    assert!(begun.elapsed() < LONG / 2, "nothing is finished in vain");
    drop(link);
    let (mut link, hello) = running.edge.welcome(1).await;
    assert!(
        matches!(hello, FromOrigin::Hello { capacity: 0, .. }),
        "{hello:?}"
    );
    // It is found out by writing, at the latest after some seconds.
    let healed = "DROP TRIGGER entry_full; DROP TRIGGER position_full;";
    other.execute_batch(healed).unwrap();
    let hello = link.hear().await;
    assert!(
        matches!(hello, FromOrigin::Hello { capacity: 5, .. }),
        "{hello:?}"
    );
    link.lease("l4", login_event("anna", &ticket()), LONG).await;
    assert_eq!(link.hear().await, ack("l4"));
}

#[tokio::test]
async fn an_origin_whose_disk_is_low_finishes_what_it_holds_and_takes_no_more_until_it_is_not() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    let second = Duration::from_secs(1);
    link.lease("l1", login_event("sleeps", &ticket()), second)
        .await;
    while running.pipeline.status().running == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.pipeline.breaker().see_free(10, 100);
    assert_eq!(link.hear().await, FromOrigin::Drain {});
    link.lease("l2", login_event("anna", &ticket()), LONG).await;
    assert_eq!(link.hear().await, release("l2"));
    assert_eq!(link.hear().await, ack("l1"));
    running.pipeline.breaker().see_free(125, 100);
    let hello = link.hear().await;
    assert!(
        matches!(hello, FromOrigin::Hello { capacity: 5, .. }),
        "{hello:?}"
    );
    link.lease("l3", login_event("anna", &ticket()), LONG).await;
    assert_eq!(link.hear().await, ack("l3"));
}

#[tokio::test]
async fn a_shutdown_says_so_finishes_what_is_held_and_closes() {
    let mut running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    link.lease(
        "l1",
        login_event("sleeps", &ticket()),
        Duration::from_millis(800),
    )
    .await;
    link.lease("l2", senseless_event(), LONG).await;
    assert_eq!(link.hear().await, ack("l2"));
    running.shutdown.drain();
    assert_eq!(link.hear().await, FromOrigin::Drain {});
    link.lease("l3", login_event("anna", &ticket()), LONG).await;
    assert_eq!(link.hear().await, release("l3"), "it crossed the drain");
    assert_eq!(link.hear().await, ack("l1"));
    let closed = within(link.socket.next()).await.unwrap().unwrap();
    assert!(closed.is_close(), "{closed:?}");
    within(&mut running.links).await.unwrap();
}

#[tokio::test]
async fn what_is_not_finished_when_the_grace_is_over_is_handed_back() {
    let mut running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    link.lease("l1", login_event("sleeps", &ticket()), LONG)
        .await;
    link.lease("l2", senseless_event(), LONG).await;
    assert_eq!(link.hear().await, ack("l2"));
    running.shutdown.drain();
    assert_eq!(link.hear().await, FromOrigin::Drain {});
    running.shutdown.end();
    assert_eq!(link.hear().await, release("l1"));
    within(&mut running.links).await.unwrap();
}

#[tokio::test]
async fn what_is_done_when_the_grace_is_over_is_acked_and_not_handed_back() {
    let mut running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    link.lease("l1", login_event("sleeps", &ticket()), LONG)
        .await;
    for lease in ["l2", "l3", "l4"] {
        link.lease(lease, senseless_event(), LONG).await;
    }
    while running.settled().await.len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.shutdown.end();
    let mut acked = Vec::new();
    loop {
        match link.hear().await {
            FromOrigin::Ack { leases } => acked.extend(leases),
            FromOrigin::Drain {} => {}
            other => {
                assert_eq!(other, release("l1"));
                break;
            }
        }
    }
    acked.sort();
    assert_eq!(acked, ["l2", "l3", "l4"]);
    within(&mut running.links).await.unwrap();
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_passed_over() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    for text in [
        "",
        "{}",
        "[1]",
        r#"{"lease":{"lease":7}}"#,
        r#"{"other":{}}"#,
    ] {
        link.socket.send(Message::text(text)).await.unwrap();
    }
    link.lease("l1", login_event("anna", &ticket()), LONG).await;
    assert_eq!(link.hear().await, ack("l1"));
}

#[tokio::test]
async fn an_idle_link_is_pinged_and_each_answer_keeps_it_open() {
    let running = Running::new(4).await;
    let (mut link, _) = running.edge.welcome(1).await;
    // From here on time passes as fast as nothing happens.
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    while start.elapsed() < 3 * Duration::from_millis(DEAD_AFTER_MS) {
        let ping = link.socket.next().await.unwrap().unwrap();
        assert_eq!(ping, Message::text(PING_TEXT));
        link.socket.send(Message::text(PONG_TEXT)).await.unwrap();
    }
}

#[tokio::test]
async fn a_link_over_which_nothing_comes_is_given_up_and_opened_again() {
    let running = Running::new(4).await;
    let (silent, _) = running.edge.welcome(1).await;
    // From here on time passes as fast as nothing happens. The silent edge reads nothing, and so
    // answers no ping.
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let (stream, _) = running.edge.listener.accept().await.unwrap();
    let waited = start.elapsed();
    assert!((15..17).contains(&waited.as_secs()), "{waited:?}");
    drop((silent, stream));
}
