//! What sources and their sinks promise.

use std::{path::Path, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::testing::{self, update};

const SOON: Duration = Duration::from_millis(100);

/// A log of the numbers 1, 2, 3 ... that ends, or fails, after some of them.
struct Numbers {
    count: u32,
    fails: bool,
}

impl Source for Numbers {
    async fn run(
        self,
        from: Option<Position>,
        sink: Sink,
        shutdown: Shutdown,
    ) -> Result<(), SourceError> {
        let read = from.map_or(0, |Position(at)| at.parse().unwrap());
        for number in read + 1..=read + self.count {
            if shutdown.is_draining() {
                return Ok(());
            }
            sink.commit(vec![numbered(number)], Some(at(number)))
                .await?;
        }
        if self.fails {
            return Err(SourceError::Failed("the log is gone".into()));
        }
        Ok(())
    }
}

fn numbered(number: u32) -> TopicUpdate {
    update("t", &format!("numbers:{number}"))
}

fn at(number: u32) -> Position {
    Position(number.to_string())
}

fn sink(outbox: &Outbox, bound: usize) -> Sink {
    Sink {
        bound,
        ..Sink::new("numbers", outbox)
    }
}

/// Returns what is in a file of an outbox: the ids of its updates in order, and the position of `numbers`.
fn found(path: &Path) -> (Vec<String>, Option<String>) {
    let connection = Connection::open(path).unwrap();
    let mut select = connection
        .prepare("SELECT event_id FROM entry ORDER BY id")
        .unwrap();
    let ids = select.query_map([], |row| row.get(0)).unwrap();
    let ids = ids.collect::<Result<_, _>>().unwrap();
    let position = "SELECT at FROM position WHERE source = 'numbers'";
    (
        ids,
        connection.query_row(position, [], |row| row.get(0)).ok(),
    )
}

fn ids(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| format!("numbers:{number}")).collect()
}

fn file(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("outbox.sqlite3")
}

#[tokio::test]
async fn a_source_goes_on_where_its_last_run_committed_last_however_that_ended() {
    let (outbox, folder) = testing::outbox(false);
    let shutdown = Shutdown::default();
    let failing = Numbers {
        count: 2,
        fails: true,
    };
    let error = run("numbers", failing, &outbox, &shutdown).await;
    assert_eq!(error.unwrap_err().to_string(), "the log is gone");
    let more = || Numbers {
        count: 3,
        fails: false,
    };
    run("numbers", more(), &outbox, &shutdown).await.unwrap();
    assert_eq!(found(&file(&folder)), (ids(1..=5), Some("5".to_owned())));
    // Another source has a position of its own, and none where it has not committed one.
    run("others", more(), &outbox, &shutdown).await.unwrap();
    assert_eq!(outbox.position("others").await.unwrap().unwrap(), "3");
    assert_eq!(outbox.position("nobody").await.unwrap(), None);
    shutdown.drain();
    run("numbers", more(), &outbox, &shutdown).await.unwrap();
    assert_eq!(outbox.position("numbers").await.unwrap().unwrap(), "5");
}

#[tokio::test]
async fn what_cannot_be_written_leaves_neither_entries_nor_position() {
    for table in ["entry", "delivery", "position"] {
        let (outbox, folder) = testing::outbox(false);
        let sink = sink(&outbox, 10);
        sink.commit(vec![numbered(1)], Some(at(1))).await.unwrap();
        let fails = format!(
            "CREATE TRIGGER full BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'full'); END"
        );
        let other = Connection::open(file(&folder)).unwrap();
        other.execute_batch(&fails).unwrap();
        let failed = sink
            .commit(vec![numbered(2), numbered(3)], Some(at(3)))
            .await;
        assert!(failed.is_err(), "{table}");
        assert_eq!(found(&file(&folder)), (ids(1..=1), Some("1".to_owned())));
        // Its source brings the same again.
        other.execute_batch("DROP TRIGGER full").unwrap();
        sink.commit(vec![numbered(2), numbered(3)], Some(at(3)))
            .await
            .unwrap();
        assert_eq!(found(&file(&folder)), (ids(1..=3), Some("3".to_owned())));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_moment_leaves_both_entries_and_position_or_neither() {
    let (outbox, folder) = testing::outbox(false);
    let sink = sink(&outbox, usize::MAX);
    let committing = tokio::spawn(async move {
        for number in 1..=200 {
            sink.commit(vec![numbered(number)], Some(at(number)))
                .await
                .unwrap();
        }
    });
    let mut copies = 0;
    while !committing.is_finished() || copies == 0 {
        // What a crash leaves. The log after the rest: nothing moves from it into the file so soon.
        let crashed = tempfile::tempdir().unwrap();
        for name in ["outbox.sqlite3", "outbox.sqlite3-wal"] {
            std::fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
        }
        let (entries, position) = found(&file(&crashed));
        let read = position.map_or(0, |at| at.parse().unwrap());
        assert_eq!(entries, ids(1..=read));
        copies += 1;
    }
    committing.await.unwrap();
}

#[tokio::test]
async fn a_change_that_comes_again_is_known_by_its_id_and_the_position_moves_on() {
    let (outbox, _folder) = testing::outbox(false);
    let sink = sink(&outbox, 10);
    let first = sink.commit(vec![numbered(1)], None).await.unwrap();
    assert_eq!(first, [Committed::New]);
    assert_eq!(outbox.position("numbers").await.unwrap(), None);
    // As after a crash before the ack.
    let again = sink
        .commit(vec![numbered(1), numbered(2)], Some(at(2)))
        .await;
    assert_eq!(again.unwrap(), [Committed::Already, Committed::New]);
    assert_eq!(outbox.pending("edge", Way::Update).await.unwrap(), 2);
    // Changes that nobody is to be told of move it, too.
    sink.commit(Vec::new(), Some(at(9))).await.unwrap();
    assert_eq!(outbox.position("numbers").await.unwrap().unwrap(), "9");
}

#[tokio::test]
async fn a_commit_waits_while_too_many_updates_wait_for_an_edge() {
    let (outbox, _folder) = testing::outbox(false);
    let sink = sink(&outbox, 2);
    let expired = TopicUpdate::new(numbered(1).event().clone(), 1).unwrap();
    sink.commit(vec![expired, numbered(2)], Some(at(2)))
        .await
        .unwrap();
    let mut third = std::pin::pin!(sink.commit(vec![numbered(3)], Some(at(3))));
    assert!(timeout(SOON, &mut third).await.is_err());
    // Settlements are not in its way, nor out of it.
    outbox.commit(testing::offer(b"1")).await.unwrap();
    assert!(timeout(SOON, &mut third).await.is_err());
    assert_eq!(outbox.purge(2).await.unwrap().undelivered, 1);
    timeout(10 * SOON, third).await.unwrap().unwrap();

    let mut fourth = std::pin::pin!(sink.commit(vec![numbered(4)], Some(at(4))));
    assert!(timeout(SOON, &mut fourth).await.is_err());
    let listed = outbox.list("edge", Way::Update, 0, 1).await.unwrap();
    outbox.delivered(vec![listed[0].0]).await.unwrap();
    timeout(10 * SOON, fourth).await.unwrap().unwrap();
    assert_eq!(outbox.position("numbers").await.unwrap().unwrap(), "4");
}
