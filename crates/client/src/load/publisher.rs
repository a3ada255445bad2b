//! Publishes by the schedule: one request after the other, so that their order is the server's to keep.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{
    LoadError, Round, micros,
    payload::{Mark, Payload},
    schedule::Pace,
    shared::Shared,
};
use crate::{backoff::Backoff, http_client, load::target::Publication};

/// Most updates in one request: as many as an edge takes.
const MOST: u64 = headstart_protocol::limits::MAX_EVENTS_PER_BATCH as u64;

/// How long the server may take for one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often something is published until it is given up.
const ATTEMPTS: u32 = 8;

/// First and longest wait after a failure, jitter not counted.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Publishes everything.
pub(super) async fn publish(
    round: &Round,
    shared: &Shared,
    client: &reqwest::Client,
) -> Result<(), LoadError> {
    let schedule = &round.schedule;
    let start = Instant::now();
    let start_at = shared.now();
    let first = shared.total();
    if schedule.pace != Pace::Delivered {
        shared.expect(schedule.total);
    }
    let mut next = 0;
    while next < schedule.total {
        sleep_until(start + schedule.at(next)).await;
        // A timer may come a moment early.
        let count = schedule.count(next, start.elapsed(), MOST).max(1);
        let now = shared.now();
        let payloads: Vec<Payload> = (next..next + count)
            .map(|number| {
                let published_at = match schedule.pace {
                    Pace::PerSecond(_) => start_at + micros(schedule.at(number)),
                    Pace::Taken | Pace::Delivered => now,
                };
                let mark = Mark {
                    number: first + number,
                    published_at,
                };
                shared.finder.payload(mark, round.bytes)
            })
            .collect();
        next += count;
        if schedule.pace == Pace::Delivered {
            shared.expect(count);
        }
        until_taken(shared, client, &payloads).await?;
        if schedule.pace == Pace::Delivered {
            shared.delivered(round.patience).await;
        }
    }
    Ok(())
}

async fn until_taken(
    shared: &Shared,
    client: &reqwest::Client,
    payloads: &[Payload],
) -> Result<(), LoadError> {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let mut attempt = 1;
    loop {
        let Err(reason) = once(shared, client, payloads).await else {
            return Ok(());
        };
        if attempt == ATTEMPTS {
            return Err(LoadError::Publish(reason));
        }
        tracing::warn!(reason, "not taken, publishing again");
        attempt += 1;
        tokio::time::sleep(backoff.after_failure()).await;
    }
}

async fn once(
    shared: &Shared,
    client: &reqwest::Client,
    payloads: &[Payload],
) -> Result<(), String> {
    for publication in shared.target.publish(payloads)? {
        let Publication { url, headers, body } = publication;
        let request = client
            .post(url)
            .timeout(TIMEOUT)
            .headers(headers)
            .body(body);
        let answer = request.send().await.map_err(http_client::describe)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(http_client::describe)?;
        shared.target.check(status, &body)?;
    }
    Ok(())
}
