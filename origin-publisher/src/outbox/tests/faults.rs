//! What becomes of an outbox whose disk is full, or whose file is damaged.

use std::io::{Seek, SeekFrom, Write};

use super::*;

impl Outbox {
    /// Leaves no room for more pages, as a full disk does; or room for all.
    pub(crate) async fn set_full(&self, is_full: bool) {
        let set = self.inner.writer.write(move |connection| {
            let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            let most = if is_full {
                pages
            } else {
                i64::from(u32::MAX - 1)
            };
            let sql = format!("PRAGMA max_page_count = {most}");
            connection.query_row(&sql, [], |_| Ok(()))
        });
        set.await.unwrap();
    }
}

/// Fills an outbox, and damages its file in the middle, as a bad disk does.
async fn damaged(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("outbox.sqlite3");
    let outbox = open(folder, &[edge("a", false)]);
    for number in 0..200 {
        outbox
            .commit(offer(number, vec![b'1'; 3000]))
            .await
            .unwrap();
    }
    drop(outbox);
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length / 4)).unwrap();
    let noise: Vec<u8> = (0..length / 2).map(|_| fastrand::u8(..)).collect();
    file.write_all(&noise).unwrap();
    path
}

#[tokio::test]
async fn a_full_disk_is_told_until_something_can_be_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    outbox.commit(small(1)).await.unwrap();
    assert!(outbox.failure().is_none());
    outbox.set_full(true).await;
    outbox.commit(large(2)).await.unwrap_err();
    assert!(outbox.failure().unwrap().to_string().contains("full"));
    // What writes nothing proves nothing.
    outbox.purge(now_ms()).await.unwrap();
    assert!(outbox.failure().is_some());
    outbox.set_full(false).await;
    outbox.commit(large(2)).await.unwrap();
    assert!(outbox.failure().is_none());
}

#[tokio::test]
async fn a_failing_outbox_is_found_to_be_well_again_though_nobody_writes() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    outbox.set_full(true).await;
    outbox.probe().await.unwrap_err();
    outbox.set_full(false).await;
    outbox.probe().await.unwrap();
    assert!(outbox.failure().is_none());
}

#[tokio::test]
async fn an_outbox_with_room_for_a_few_bytes_is_not_found_to_be_well() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    outbox.set_full(true).await;
    outbox.commit(small(1)).await.unwrap();
    outbox.probe().await.unwrap_err();
}

#[tokio::test]
async fn damage_that_is_found_while_reading_is_told() {
    let folder = tempfile::tempdir().unwrap();
    damaged(folder.path()).await;
    let outbox = open(folder.path(), &[edge("a", false)]);
    let error = outbox.list("a", Way::Event, 0, 1000).await.unwrap_err();
    assert!(matches!(error, OutboxError::Damaged(_)), "{error}");
    let told = tokio::time::timeout(std::time::Duration::from_secs(1), outbox.damaged());
    assert_eq!(told.await.unwrap().to_string(), error.to_string());
}

#[tokio::test]
async fn a_whole_outbox_is_verified_with_what_waits_in_it_while_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true)]);
    for number in 0..3 {
        outbox.commit(small(number)).await.unwrap();
    }
    let verified = Outbox::verify(&folder.path().join("outbox.sqlite3")).unwrap();
    let waiting = |way: &str| WaitingDeliveries {
        edge: "a".to_owned(),
        way: way.to_owned(),
        count: 3,
    };
    let expected = Verified {
        problems: Vec::new(),
        schema: 4,
        deliveries: vec![waiting("event"), waiting("kv")],
        logins: 0,
    };
    assert_eq!(verified, expected);
    assert!(outbox.commit(small(4)).await.is_ok());
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_whatever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = damaged(folder.path()).await;
    let is_damaged = |path: &Path| !Outbox::verify(path).unwrap().problems.is_empty();
    assert!(is_damaged(&path));
    std::fs::write(&path, "a text".repeat(1000)).unwrap();
    assert!(is_damaged(&path), "no database at all");
    let other = folder.path().join("other");
    let database = Connection::open(&other).unwrap();
    database.pragma_update(None, "user_version", 4).unwrap();
    assert!(is_damaged(&other), "without its tables");
    let none = Outbox::verify(&folder.path().join("none")).unwrap_err();
    assert!(matches!(none, OutboxError::Open { .. }), "{none}");
}
