//! What keeps an outbox small: what is done goes at any rate, and what waits for an edge has its bound.

use super::*;

/// Bytes of each offer's content here.
const CONTENT: usize = 10_000;

/// Returns how many bytes wait for an edge.
async fn bytes(outbox: &Outbox, edge: &str) -> u64 {
    let all = outbox.waiting_bytes().await.unwrap();
    all.iter()
        .find(|(name, _)| name == edge)
        .map_or(0, |(_, bytes)| *bytes)
}

/// Returns whether each of the offers that wait as events is still there, in the order of their commits.
async fn are_ready(outbox: &Outbox, edge: &str) -> Vec<bool> {
    let waiting = waiting(outbox, edge, Way::Event).await;
    waiting
        .iter()
        .map(|one| {
            let outcome = &one.settlement.outcome;
            matches!(outcome, Outcome::Ready { .. }) && !one.unpositioned
        })
        .collect()
}

async fn contents(outbox: &Outbox) -> i64 {
    let count = |connection: &Connection| {
        let sql = "SELECT count(*) FROM entry WHERE content IS NOT NULL";
        connection.query_row(sql, [], |row| row.get(0))
    };
    outbox.query(count).await.unwrap()
}

#[tokio::test]
async fn a_purge_goes_on_until_all_that_is_done_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    let fill = outbox.inner.writer.write(|connection| {
        connection.execute_batch(
            "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 12000)
             INSERT INTO entry (once, subject, kind, event_id, source, content_bytes, stamps,
                                expires_at, done_at)
             SELECT n, 's', 'k', n, 's', 0, '{}', 1, iif(n % 3 = 0, NULL, 1) FROM number;
             WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 7000)
             INSERT INTO login (once, event, expires_at) SELECT n, '{}', 1 FROM number;",
        )
    });
    fill.await.unwrap();
    let purged = outbox.purge(now_ms()).await.unwrap();
    let expected = Purged {
        undelivered: 4000,
        unsettled: 7000,
        forgotten: 8000,
    };
    assert_eq!(purged, expected);
}

#[tokio::test]
async fn what_is_too_much_for_an_edge_goes_oldest_first_and_no_other_edge_loses_any() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("dead", false), edge("well", false)]);
    for number in 0..10 {
        let offer = offer(number, vec![b'1'; CONTENT]);
        outbox.commit(offer).await.unwrap();
    }
    let delivered = waiting(&outbox, "well", Way::Event).await;
    let delivered = delivered[2..].iter().map(|one| one.id).collect();
    outbox.delivered(delivered).await.unwrap();
    let most = bytes(&outbox, "dead").await - 7 * CONTENT as u64;
    let shed = outbox.shed(most, now_ms()).await.unwrap();
    let expected = Shed {
        event: 7,
        ..Shed::default()
    };
    assert_eq!(shed, [("dead".to_owned(), expected)]);
    assert_eq!(bytes(&outbox, "dead").await, most);
    let ready: Vec<bool> = (0..10).map(|number| number >= 7).collect();
    assert_eq!(are_ready(&outbox, "dead").await, ready);
    assert_eq!(are_ready(&outbox, "well").await, [true; 2]);
    assert_eq!(contents(&outbox).await, 5, "the rest is not kept either");
    assert_eq!(outbox.shed(most, now_ms()).await.unwrap(), []);

    let first = waiting(&outbox, "dead", Way::Event).await.remove(0);
    assert!(matches!(first.settlement.outcome, Outcome::Failed { .. }));
    assert_eq!(first.settlement.event_id, "event-0");
}

#[tokio::test]
async fn a_large_offer_that_kv_does_not_take_is_told_as_failed_and_an_update_goes() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", true)]);
    outbox.commit(large(1)).await.unwrap();
    outbox.commit(update("t", "1")).await.unwrap();
    outbox.commit(failure(2)).await.unwrap();
    outbox.commit(update("t", "2")).await.unwrap();
    let (mut ends, mut news) = (outbox.ends(), outbox.news());
    ends.mark_unchanged();
    news.mark_unchanged();
    // Room for four that carry nothing, and no more.
    let shed = outbox.shed(1_300, now_ms()).await.unwrap();
    assert_eq!((shed[0].1.kv, shed[0].1.update), (1, 1));
    assert!(ends.has_changed().unwrap(), "a source may go on");
    assert!(news.has_changed().unwrap(), "an event is due");
    assert_eq!(are_ready(&outbox, "a").await, [false, false]);
    assert_eq!(numbers(&outbox, "a", Way::Event).await, names([1, 2]));
    assert_eq!(waiting_updates(&outbox, "a").await, ["2"]);
    let failed = waiting(&outbox, "a", Way::Event).await.remove(0);
    assert_eq!(failed.settlement, failure(2).settlement);
}

#[tokio::test]
async fn only_where_failures_alone_are_too_many_are_the_oldest_of_them_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path(), &[edge("a", false)]);
    for number in 0..6 {
        let offer = offer(number, vec![b'1'; CONTENT]);
        outbox.commit(offer).await.unwrap();
    }
    outbox.shed(0, now_ms()).await.unwrap();
    assert_eq!(numbers(&outbox, "a", Way::Event).await, names([]));
    for number in 10..16 {
        let offer = offer(number, vec![b'1'; CONTENT]);
        outbox.commit(offer).await.unwrap();
    }
    let all = bytes(&outbox, "a").await;
    let most = (all - 6 * CONTENT as u64) / 3;
    outbox.shed(most, now_ms()).await.unwrap();
    assert_eq!(numbers(&outbox, "a", Way::Event).await, names([14, 15]));
    assert_eq!(are_ready(&outbox, "a").await, [false, false]);
    assert!(outbox.has_settled(&ticket(10)).await.unwrap());
}
