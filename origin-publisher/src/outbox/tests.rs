//! What the outbox promises.

use std::{collections::BTreeSet, path::Path};

use headstart_client::clock::now_ms;
use headstart_protocol::{
    event::{Data, Event},
    keys::Key,
    limits::MAX_UPDATE_BYTES,
    login::LoginData,
    settlement::{Attributes, Content, Outcome, Settlement},
    stamps::{Point, Stamps},
    update::UpdateError,
};
use proptest::prelude::*;

use super::*;
use crate::testing::update;

mod bounds;
mod faults;

const HOUR_MS: u64 = 3_600_000;

fn edge(name: &str, kv: bool) -> EdgeWays {
    EdgeWays {
        name: name.to_owned(),
        kv,
    }
}

fn ticket(number: u8) -> Ticket {
    let key = Key::from_bytes(&[1; 32]).unwrap();
    Ticket::mint(1_700_000_000_000, 0, [number; 8], &key)
}

fn entry(number: u8, outcome: Outcome) -> TicketSettlement {
    TicketSettlement {
        ticket: ticket(number),
        settlement: Settlement {
            event_id: format!("event-{number}"),
            source: "/origin/test".to_owned(),
            attributes: Attributes::default(),
            stamps: Stamps::default().with(Point::Started, 17),
            outcome,
        },
        expires_at_ms: now_ms() + HOUR_MS,
    }
}

fn offer(number: u8, content: Vec<u8>) -> TicketSettlement {
    let outcome = Outcome::Ready {
        media_type: "application/json".to_owned(),
        content: Content::Inline(content),
    };
    entry(number, outcome)
}

fn small(number: u8) -> TicketSettlement {
    offer(number, vec![b'1'; 10])
}

fn large(number: u8) -> TicketSettlement {
    offer(number, vec![b'1'; 300 * 1024])
}

fn failure(number: u8) -> TicketSettlement {
    let outcome = Outcome::Failed {
        reason: "no luck".to_owned(),
    };
    entry(number, outcome)
}

fn open(folder: &Path, edges: &[EdgeWays]) -> Outbox {
    Outbox::open(&folder.join("outbox.sqlite3"), edges.to_vec()).unwrap()
}

/// A settlement that waits for its delivery.
struct Waiting {
    id: DeliveryId,
    ticket: String,
    settlement: Settlement,
    expires_at_ms: u64,
    unpositioned: bool,
}

impl From<Pending> for Waiting {
    fn from(pending: Pending) -> Self {
        let PendingEntry::Settlement {
            settlement,
            unpositioned,
        } = pending.entry
        else {
            panic!("{pending:?} is no settlement");
        };
        Self {
            id: pending.id,
            ticket: pending.subject,
            settlement,
            expires_at_ms: pending.expires_at_ms,
            unpositioned,
        }
    }
}

/// Returns everything that waits in one way for one edge.
async fn pending(outbox: &Outbox, edge: &str, way: Way) -> Vec<Pending> {
    let listed = outbox.list(edge, way, 0, 1000).await.unwrap();
    let ids = listed.into_iter().map(|(id, _)| id).collect();
    outbox.read(edge, way, ids, usize::MAX).await.unwrap()
}

async fn waiting(outbox: &Outbox, edge: &str, way: Way) -> Vec<Waiting> {
    let pending = pending(outbox, edge, way).await;
    pending.into_iter().map(Waiting::from).collect()
}

/// Numbers of the tickets that wait.
async fn numbers(outbox: &Outbox, edge: &str, way: Way) -> BTreeSet<String> {
    let waiting = waiting(outbox, edge, way).await;
    waiting
        .into_iter()
        .map(|one| one.settlement.event_id)
        .collect()
}

fn names(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<String> {
    numbers
        .into_iter()
        .map(|number| format!("event-{number}"))
        .collect()
}

#[tokio::test]
async fn a_settlement_comes_out_as_it_went_in_for_every_edge_and_way() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true), edge("b", false)]);
    for entry in [offer(1, vec![0xFF, 0]), failure(2)] {
        assert_eq!(outbox.commit(entry.clone()).await.unwrap(), Committed::New);
        for name in ["a", "b"] {
            let waiting = waiting(&outbox, name, Way::Event).await;
            let found = waiting.last().unwrap();
            assert_eq!(found.settlement, entry.settlement);
            assert_eq!(found.ticket, entry.ticket.as_str());
            assert_eq!(found.expires_at_ms, entry.expires_at_ms);
        }
    }
    assert_eq!(
        numbers(&outbox, "a", Way::Kv).await,
        names([1]),
        "a failure needs no KV"
    );
    assert_eq!(numbers(&outbox, "b", Way::Kv).await, names([]));
}

#[tokio::test]
async fn a_crash_loses_no_commit_and_brings_back_no_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let edges = [edge("a", true)];
    let outbox = open(folder.path(), &edges);
    outbox.commit(small(1)).await.unwrap();
    outbox.commit(small(2)).await.unwrap();
    let first = waiting(&outbox, "a", Way::Event).await[0].id;
    outbox.delivered(vec![first]).await.unwrap();
    // What a crash leaves: the files as they are, while the process still has them open.
    let crashed = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), crashed.path().join(file.file_name())).unwrap();
    }
    let outbox = open(crashed.path(), &edges);
    assert_eq!(numbers(&outbox, "a", Way::Event).await, names([2]));
    assert_eq!(numbers(&outbox, "a", Way::Kv).await, names([1, 2]));
}

#[tokio::test]
async fn the_second_settlement_of_a_ticket_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    outbox.commit(small(1)).await.unwrap();
    let mut second = failure(1);
    second.settlement.event_id = "second".to_owned();
    assert_eq!(
        outbox.commit(second.clone()).await.unwrap(),
        Committed::Already
    );
    assert_eq!(numbers(&outbox, "a", Way::Event).await, names([1]));
    // Nor once the first has been delivered.
    let id = waiting(&outbox, "a", Way::Event).await[0].id;
    outbox.delivered(vec![id]).await.unwrap();
    assert!(outbox.has_settled(&ticket(1)).await.unwrap());
    assert_eq!(outbox.commit(second).await.unwrap(), Committed::Already);
    assert_eq!(numbers(&outbox, "a", Way::Event).await, names([]));
}

#[tokio::test]
async fn large_content_is_positioned_before_its_event_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true)]);
    outbox.commit(large(1)).await.unwrap();
    assert_eq!(numbers(&outbox, "a", Way::Event).await, names([]));
    let kv = waiting(&outbox, "a", Way::Kv).await;
    assert_eq!(kv[0].settlement, large(1).settlement);

    let mut news = outbox.news();
    news.mark_unchanged();
    outbox.delivered(vec![kv[0].id]).await.unwrap();
    assert!(
        news.has_changed().unwrap(),
        "the event's delivery is told of it"
    );
    let event = waiting(&outbox, "a", Way::Event).await;
    assert!(!event[0].unpositioned);
    assert!(matches!(
        &event[0].settlement.outcome,
        Outcome::Ready {
            content: Content::Positioned,
            ..
        }
    ));
}

#[tokio::test]
async fn large_content_that_cannot_be_positioned_is_told_as_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("kv", true), edge("none", false)]);
    outbox.commit(large(1)).await.unwrap();
    assert!(waiting(&outbox, "none", Way::Event).await[0].unpositioned);
    let kv = waiting(&outbox, "kv", Way::Kv).await;
    outbox.refused(vec![kv[0].id]).await.unwrap();
    assert!(waiting(&outbox, "kv", Way::Event).await[0].unpositioned);
}

#[tokio::test]
async fn a_refused_small_offer_is_still_only_one_event() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true)]);
    outbox.commit(small(1)).await.unwrap();
    let kv = waiting(&outbox, "a", Way::Kv).await;
    outbox.refused(vec![kv[0].id]).await.unwrap();
    assert_eq!(waiting(&outbox, "a", Way::Event).await.len(), 1);
}

#[tokio::test]
async fn batches_keep_to_their_limits_and_go_on_where_the_last_ended() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    for number in 0..5 {
        outbox.commit(offer(number, vec![b'1'; 100])).await.unwrap();
    }
    let take = |after, limit, bytes| {
        let outbox = outbox.clone();
        async move {
            let listed = outbox.list("a", Way::Event, after, limit).await.unwrap();
            let ids = listed.into_iter().map(|(id, _)| id).collect();
            outbox.read("a", Way::Event, ids, bytes).await.unwrap()
        }
    };
    let first = take(0, 2, usize::MAX).await;
    assert_eq!(first.len(), 2);
    let one = first[0].travelling_bytes();
    let rest = take(first[1].id, 10, 2 * one + one / 2).await;
    assert_eq!(rest.len(), 2, "a third would be too much");
    assert_eq!(take(0, 10, 1).await.len(), 1, "one always goes");
    let only = vec![rest[1].id, 999, first[0].id];
    let only = outbox
        .read("a", Way::Event, only, usize::MAX)
        .await
        .unwrap();
    let ids: Vec<_> = only.iter().map(|one| one.id).collect();
    assert_eq!(ids, [rest[1].id, first[0].id]);
}

#[tokio::test]
async fn what_travels_is_no_larger_than_it_was_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    let contents = [
        ("application/json", b"{\"a\":\"\\\\\"}".to_vec()),
        ("text/plain", b"\"\\\n\x01".repeat(5000)),
        ("image/png", vec![0xFF; 20_000]),
    ];
    for (number, (media_type, bytes)) in (1..).zip(contents) {
        let outcome = Outcome::Ready {
            media_type: media_type.to_owned(),
            content: Content::Inline(bytes),
        };
        outbox.commit(entry(number, outcome)).await.unwrap();
    }
    outbox.commit(failure(9)).await.unwrap();
    for pending in pending(&outbox, "a", Way::Event).await {
        let said = pending.travelling_bytes();
        let Waiting { settlement, .. } = pending.into();
        let json = settlement.to_event(&ticket(1)).to_json();
        assert!(json.len() < said && said < 4 * json.len(), "{json}");
    }
}

/// Ids of the updates that wait, in the order of their commits.
async fn waiting_updates(outbox: &Outbox, edge: &str) -> Vec<String> {
    let pending = pending(outbox, edge, Way::Update).await;
    pending.iter().map(event_id).collect()
}

fn event_id(pending: &Pending) -> String {
    match &pending.entry {
        PendingEntry::Update { event_id, .. } => event_id.clone(),
        PendingEntry::Settlement { settlement, .. } => settlement.event_id.clone(),
    }
}

#[tokio::test]
async fn an_update_comes_out_as_it_went_in_for_every_edge_and_never_for_kv() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true), edge("b", false)]);
    let one = update("scores/nba", "1");
    assert_eq!(outbox.commit(one.clone()).await.unwrap(), Committed::New);
    for name in ["a", "b"] {
        let listed = outbox.list(name, Way::Update, 0, 9).await.unwrap();
        assert_eq!(listed[0].1, "scores/nba");
        let read = outbox
            .read(name, Way::Update, vec![listed[0].0], 0)
            .await
            .unwrap();
        let entry = PendingEntry::Update {
            event_id: "1".to_owned(),
            json: one.event().to_json(),
        };
        assert_eq!(read[0].entry, entry);
        assert_eq!(read[0].subject, "scores/nba");
        assert_eq!(read[0].expires_at_ms, one.expires_at_ms());
        assert_eq!(outbox.pending(name, Way::Kv).await.unwrap(), 0);
        assert_eq!(outbox.pending(name, Way::Event).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_update_is_known_by_its_topic_source_and_id() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    let entries = ["a 1", "a 1", "b 1", "a 2"].map(|text| {
        let (topic, id) = text.split_once(' ').unwrap();
        Entry::from(update(topic, id))
    });
    let committed = outbox.commit_all(entries.to_vec()).await.unwrap();
    let expected = [
        Committed::New,
        Committed::Already,
        Committed::New,
        Committed::New,
    ];
    assert_eq!(committed, expected);
    assert_eq!(waiting_updates(&outbox, "a").await, ["1", "1", "2"]);
    // Nor is it kept once more when it has been delivered.
    let listed = outbox.list("a", Way::Update, 0, 1).await.unwrap();
    outbox.delivered(vec![listed[0].0]).await.unwrap();
    let again = outbox.commit(update("a", "1")).await.unwrap();
    assert_eq!(again, Committed::Already);
}

#[tokio::test]
async fn updates_are_listed_and_read_in_the_order_of_their_commits_and_within_limits() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    let entries = (0..5)
        .map(|number| Entry::from(update("a", &number.to_string())))
        .collect();
    outbox.commit_all(entries).await.unwrap();
    let way = Way::Update;
    let first = outbox.list("a", way, 0, 2).await.unwrap();
    let rest = outbox.list("a", way, first[1].0, 9).await.unwrap();
    assert_eq!((first.len(), rest.len()), (2, 3));
    let ids: Vec<_> = [999, rest[1].0, rest[0].0, first[0].0].to_vec();
    let read = outbox.read("a", way, ids.clone(), 1).await.unwrap();
    assert_eq!(read.len(), 1, "one always goes");
    assert_eq!(event_id(&read[0]), "3", "what is gone is passed over");
    let two = 2 * read[0].travelling_bytes();
    assert_eq!(outbox.read("a", way, ids, two).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_update_that_expired_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    let expired = TopicUpdate::new(update("a", "1").event().clone(), now_ms()).unwrap();
    outbox.commit(expired).await.unwrap();
    outbox.commit(update("a", "2")).await.unwrap();
    let purged = outbox.purge(now_ms() + 1).await.unwrap();
    assert_eq!(purged.undelivered, 1);
    assert_eq!(waiting_updates(&outbox, "a").await, ["2"]);
}

#[test]
fn what_no_topic_would_take_is_not_kept() {
    let with = |change: fn(&mut Event)| {
        let mut event = update("a", "1").event().clone();
        change(&mut event);
        TopicUpdate::new(event, 1).unwrap_err()
    };
    let two_lines = with(|event| event.id = "a\nb".to_owned());
    assert!(matches!(two_lines, NoUpdate::Event(_)), "{two_lines}");
    let no_topic = with(|event| event.subject = Some("a//b".to_owned()));
    assert!(matches!(no_topic, NoUpdate::Update(_)), "{no_topic}");
    // It would fit as it is, but not with the stamp that it gets.
    let full = with(|event| {
        event.datacontenttype = Some("text/plain".to_owned());
        event.data = Some(Data::Text(String::new()));
        let room = MAX_UPDATE_BYTES - event.to_json().len();
        event.data = Some(Data::Text("x".repeat(room)));
    });
    assert_eq!(full, NoUpdate::Update(UpdateError::TooLarge));
}

#[tokio::test]
async fn updates_for_an_edge_that_is_not_configured_go_or_stay_as_the_opener_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite3");
    let outbox = open(folder.path(), &[edge("a", false)]);
    outbox.commit(update("t", "1")).await.unwrap();
    drop(outbox);
    drop(Outbox::open_keeping(&path, vec![edge("b", false)]).unwrap());
    let outbox = Outbox::open_keeping(&path, vec![edge("a", false)]).unwrap();
    assert_eq!(waiting_updates(&outbox, "a").await, ["1"]);
    drop(outbox);
    drop(open(folder.path(), &[edge("b", false)]));
    let outbox = open(folder.path(), &[edge("a", false)]);
    assert_eq!(waiting_updates(&outbox, "a").await, [""; 0]);
}

/// The tables of schema 1, as the program that knew only settlements made them.
const SCHEMA_1: &str = "
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT, once TEXT NOT NULL UNIQUE, ticket TEXT NOT NULL,
        kind TEXT NOT NULL, event_id TEXT NOT NULL, source TEXT NOT NULL, media_type TEXT,
        content BLOB, content_bytes INTEGER NOT NULL, stamps TEXT NOT NULL,
        expires_at INTEGER NOT NULL, done_at INTEGER
    ) STRICT;
    CREATE INDEX entry_by_expiry ON entry(expires_at) WHERE done_at IS NULL;
    CREATE INDEX entry_by_end ON entry(done_at) WHERE done_at IS NOT NULL;
    CREATE TABLE delivery (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        entry INTEGER NOT NULL REFERENCES entry(id) ON DELETE CASCADE,
        edge TEXT NOT NULL, way TEXT NOT NULL, unpositioned INTEGER NOT NULL DEFAULT 0,
        UNIQUE (entry, edge, way)
    ) STRICT;
    CREATE INDEX delivery_by_way ON delivery(edge, way, id);
    CREATE TABLE login (
        once TEXT PRIMARY KEY, event TEXT NOT NULL, expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX login_by_expiry ON login(expires_at);
    PRAGMA user_version = 1;
";

/// What schema 3 added, as the program that weighed nothing made it.
const SCHEMA_3: &str = "
    CREATE TABLE position (source TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 3;
";

/// What schema 2 added, as the program that knew no positions made it.
const SCHEMA_2: &str = "
    ALTER TABLE entry RENAME COLUMN ticket TO subject;
    PRAGMA user_version = 2;
";

#[tokio::test]
async fn a_file_of_an_older_schema_is_brought_up_to_date_with_all_that_is_in_it() {
    for later in ["", SCHEMA_2, &format!("{SCHEMA_2}{SCHEMA_3}")] {
        check_migration(later).await;
    }
}

/// Fills a file of schema 1, brings it to a `later` one, and opens it.
async fn check_migration(later: &str) {
    let folder = tempfile::tempdir().unwrap();
    let waits = small(1);
    let login = LoginData {
        user: "40228".to_owned(),
        ..LoginData::default()
    };
    let login = login.to_event(&ticket(3), "/origin/test", 17);
    {
        let old = Connection::open(folder.path().join("outbox.sqlite3")).unwrap();
        old.execute_batch(SCHEMA_1).unwrap();
        let entry = "INSERT INTO entry (once, ticket, kind, event_id, source, media_type, content,
                content_bytes, stamps, expires_at, done_at)
            VALUES (?1, ?2, ?3, ?4, '/origin/test', 'application/json', ?5, 10, ?6, ?7, ?8)";
        let expires_at = i64::try_from(waits.expires_at_ms).unwrap();
        let stamps = r#"{"startedat":17}"#;
        for (number, content, done_at) in
            [(1, Some(vec![b'1'; 10]), None), (2, None, Some(expires_at))]
        {
            let ticket = ticket(number);
            let row = rusqlite::params![
                entry::once(&ticket),
                ticket.as_str(),
                waits.settlement.kind(),
                format!("event-{number}"),
                content,
                stamps,
                expires_at,
                done_at
            ];
            old.execute(entry, row).unwrap();
        }
        for way in ["event", "kv"] {
            let delivery = "INSERT INTO delivery (entry, edge, way) VALUES (1, 'a', ?1)";
            old.execute(delivery, [way]).unwrap();
        }
        let row = rusqlite::params![entry::once(&ticket(3)), login.to_json(), expires_at];
        old.execute("INSERT INTO login VALUES (?1, ?2, ?3)", row)
            .unwrap();
        old.execute_batch(later).unwrap();
    }
    let edges = [edge("a", true)];
    for run in 0..2 {
        let outbox = open(folder.path(), &edges);
        let bytes = outbox.waiting_bytes().await.unwrap();
        assert_eq!(bytes.len(), 1);
        assert!(bytes[0].1 >= 620, "each way carries ten bytes: {bytes:?}");
        for way in [Way::Event, Way::Kv] {
            let found = waiting(&outbox, "a", way).await;
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].settlement, waits.settlement);
            assert_eq!(found[0].ticket, waits.ticket.as_str());
        }
        assert!(outbox.has_settled(&ticket(2)).await.unwrap(), "delivered");
        let journalled = outbox.journalled_logins().await.unwrap();
        assert_eq!(journalled, std::slice::from_ref(&login));
        let known = outbox.position("log").await.unwrap();
        assert_eq!(known, (run > 0).then(|| "17".to_owned()));
        let at = Some(("log".to_owned(), "17".to_owned()));
        let entries = vec![update("t", "1").into()];
        outbox.commit_with(entries, at).await.unwrap();
        assert_eq!(waiting_updates(&outbox, "a").await, ["1"]);
    }
}

#[tokio::test]
async fn a_journalled_login_is_there_until_it_settles_or_expires() {
    let folder = tempfile::tempdir().unwrap();
    let edges = [edge("a", false)];
    let outbox = open(folder.path(), &edges);
    let login = |number| {
        let data = LoginData {
            user: format!("user {number}"),
            ..LoginData::default()
        };
        data.to_event(&ticket(number), "/origin/test", 17)
    };
    let later = now_ms() + HOUR_MS;
    outbox
        .journal_login(&ticket(1), &login(1), later)
        .await
        .unwrap();
    outbox
        .journal_login(&ticket(2), &login(2), later)
        .await
        .unwrap();
    outbox
        .journal_login(&ticket(3), &login(3), now_ms() + 1000)
        .await
        .unwrap();
    outbox.commit(small(1)).await.unwrap();
    outbox.purge(now_ms() + 2000).await.unwrap();
    drop(outbox);
    let outbox = open(folder.path(), &edges);
    assert_eq!(outbox.journalled_logins().await.unwrap(), [login(2)]);
}

#[tokio::test]
async fn what_expired_is_dropped_and_what_was_delivered_is_forgotten_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true)]);
    let mut expired = small(1);
    expired.expires_at_ms = now_ms();
    outbox.commit(expired).await.unwrap();
    outbox.commit(small(2)).await.unwrap();
    let purged = outbox.purge(now_ms() + 1).await.unwrap();
    assert_eq!((purged.undelivered, purged.forgotten), (1, 0));
    assert_eq!(numbers(&outbox, "a", Way::Kv).await, names([2]));

    for way in [Way::Event, Way::Kv] {
        let id = waiting(&outbox, "a", way).await[0].id;
        outbox.delivered(vec![id]).await.unwrap();
    }
    let purged = outbox.purge(now_ms() + 60_000).await.unwrap();
    assert_eq!(
        purged,
        Purged::default(),
        "a late second settlement must be known"
    );
    let purged = outbox.purge(now_ms() + HOUR_MS).await.unwrap();
    assert_eq!(purged.forgotten, 1);
}

#[tokio::test]
async fn the_file_shrinks_again_after_a_burst() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite3");
    let outbox = open(folder.path(), &[edge("a", true)]);
    let pages = |path: &Path| -> i64 {
        Connection::open(path)
            .unwrap()
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap()
    };
    for number in 0..20 {
        outbox.commit(large(number)).await.unwrap();
    }
    let full = pages(&path);
    for way in [Way::Kv, Way::Event] {
        let ids = waiting(&outbox, "a", way)
            .await
            .iter()
            .map(|one| one.id)
            .collect();
        outbox.delivered(ids).await.unwrap();
    }
    outbox.purge(now_ms()).await.unwrap();
    assert!(
        pages(&path) < full / 10,
        "{full} pages became {}",
        pages(&path)
    );
}

#[tokio::test]
async fn an_edge_that_is_no_longer_configured_loses_its_deliveries_and_a_new_one_gets_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("old", true), edge("stays", true)]);
    outbox.commit(small(1)).await.unwrap();
    outbox.commit(large(2)).await.unwrap();
    drop(outbox);
    let outbox = open(folder.path(), &[edge("stays", false), edge("new", true)]);
    outbox.commit(small(3)).await.unwrap();
    assert_eq!(numbers(&outbox, "old", Way::Event).await, names([]));
    assert_eq!(numbers(&outbox, "old", Way::Kv).await, names([]));
    assert_eq!(numbers(&outbox, "stays", Way::Kv).await, names([]));
    assert_eq!(
        numbers(&outbox, "stays", Way::Event).await,
        names([1, 2, 3])
    );
    assert_eq!(numbers(&outbox, "new", Way::Kv).await, names([3]));
    let events = waiting(&outbox, "stays", Way::Event).await;
    let unpositioned: Vec<_> = events.iter().map(|one| one.unpositioned).collect();
    assert_eq!(
        unpositioned,
        [false, true, false],
        "the large one lost its KV"
    );
}

#[test]
fn a_second_process_is_kept_out_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true)]);
    let path = folder.path().join("outbox.sqlite3");
    let error = Outbox::open(&path, vec![]).unwrap_err();
    assert!(matches!(error, OutboxError::InUse(_)), "{error}");
    drop(outbox);
    assert!(Outbox::open(&path, vec![]).is_ok());
}

#[cfg(unix)]
#[test]
fn an_outbox_has_one_lock_by_whatever_name_it_is_opened() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let _outbox = open(folder.path(), &[edge("a", true)]);
    let link = other.path().join("same");
    std::os::unix::fs::symlink(folder.path().join("outbox.sqlite3"), &link).unwrap();
    let error = Outbox::open(&link, vec![]).unwrap_err();
    assert!(matches!(error, OutboxError::InUse(_)), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_an_outbox() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true)]);
    outbox.commit(small(1)).await.unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap();
    let rights = files.map(|file| {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        (file.file_name().into_string().unwrap(), mode)
    });
    let rights: std::collections::BTreeMap<String, u32> = rights.collect();
    let names = ["", "-shm", "-wal", ".lock"].map(|end| (format!("outbox.sqlite3{end}"), 0o600));
    assert_eq!(rights, names.into());
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.sqlite3");
    drop(open(folder.path(), &[]));
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Outbox::open(&path, vec![]).unwrap_err();
    assert!(
        matches!(error, OutboxError::Newer { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn a_folder_that_is_missing_is_made_and_a_file_in_its_place_is_told() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Outbox::open(&folder.path().join("a/b/outbox.sqlite3"), vec![]).is_ok());
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = Outbox::open(&folder.path().join("file/outbox.sqlite3"), vec![]).unwrap_err();
    assert!(error.to_string().contains("outbox.sqlite3"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_each_kept_once_and_share_the_flushes_of_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    let mut commits = tokio::task::JoinSet::new();
    for number in 0..200 {
        let outbox = outbox.clone();
        // Every ticket twice.
        commits.spawn(async move { outbox.commit(small(number / 2)).await.unwrap() });
    }
    let results = commits.join_all().await;
    let new = results
        .iter()
        .filter(|result| **result == Committed::New)
        .count();
    assert_eq!(new, 100);
    assert_eq!(waiting(&outbox, "a", Way::Event).await.len(), 100);
}

#[tokio::test]
async fn one_bad_write_does_not_take_its_group_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    let bad = outbox.inner.writer.write(|connection| {
        connection.execute("DELETE FROM entry", [])?;
        connection.execute("INSERT INTO nowhere VALUES (1)", [])
    });
    let (first, bad, second) = tokio::join!(outbox.commit(small(1)), bad, outbox.commit(small(2)));
    assert!(bad.is_err());
    assert_eq!(
        (first.unwrap(), second.unwrap()),
        (Committed::New, Committed::New)
    );
    assert_eq!(numbers(&outbox, "a", Way::Event).await, names([1, 2]));
}

#[derive(Debug, Clone)]
enum Step {
    Commit(u8),
    Deliver(u8, bool),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..8).prop_map(Step::Commit),
        4 => (0_u8..8, any::<bool>()).prop_map(|(number, kv)| Step::Deliver(number, kv)),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Commits, deliveries and crashes in any order leave exactly what was committed and not delivered.
    #[test]
    fn exactly_the_undelivered_remains(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let edges = [edge("a", true)];
            let mut outbox = open(folder.path(), &edges);
            let mut committed = BTreeSet::new();
            let mut waits = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Commit(number) => {
                        let is_new = committed.insert(number);
                        let result = outbox.commit(small(number)).await.unwrap();
                        assert_eq!(result == Committed::New, is_new);
                        if is_new {
                            waits.extend([(number, false), (number, true)]);
                        }
                    }
                    Step::Deliver(number, kv) => {
                        let way = if kv { Way::Kv } else { Way::Event };
                        let name = format!("event-{number}");
                        let id = waiting(&outbox, "a", way).await.into_iter()
                            .find(|one| one.settlement.event_id == name).map(|one| one.id);
                        assert_eq!(id.is_some(), waits.remove(&(number, kv)));
                        outbox.delivered(id.into_iter().collect()).await.unwrap();
                    }
                    Step::Reopen => {
                        drop(outbox);
                        outbox = open(folder.path(), &edges);
                    }
                }
            }
            for kv in [false, true] {
                let way = if kv { Way::Kv } else { Way::Event };
                let expected = waits.iter().filter(|(_, of)| *of == kv).map(|(number, _)| *number);
                assert_eq!(numbers(&outbox, "a", way).await, names(expected));
            }
        });
    }
}
