//! Logins that an earlier run of this origin took over HTTP and did not finish: begun again at start.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use headstart_client::{backoff::Backoff, clock::now_ms};
use headstart_protocol::{
    event::Event,
    login::LoginData,
    stamps::{Point, Stamps},
    ticket::Ticket,
};

use crate::{
    generate::GenerateError,
    outbox::OutboxError,
    pipeline::{Job, NotSettled, Pipeline},
    shutdown::Shutdown,
};

/// First and longest wait for room in the pool.
const WAITS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Begins every journalled login again, as many at a time as there are threads: they have waited
/// already, and new logins go on in the meantime. Returns how many there were.
///
/// # Errors
/// [`OutboxError`], when the journal cannot be read.
pub async fn finish(pipeline: &Pipeline, shutdown: &Shutdown) -> Result<usize, OutboxError> {
    let logins = pipeline.outbox().journalled_logins().await?;
    let count = logins.len();
    if count > 0 {
        tracing::info!(count, "taking up logins of an earlier run");
    }
    let jobs = logins.iter().filter_map(|login| job(login, pipeline));
    stream::iter(jobs)
        .for_each_concurrent(pipeline.status().threads, |job| {
            settle_journalled(pipeline, job, shutdown)
        })
        .await;
    Ok(count)
}

fn job(login: &Event, pipeline: &Pipeline) -> Option<Job> {
    let text = login.subject.as_deref()?;
    let ticket = Ticket::admit(text, pipeline.keys(), now_ms(), pipeline.times()).ok()?;
    Some(Job {
        ticket,
        login: LoginData::of_event(login)?,
        login_at_ms: Stamps::of_event(login).get(Point::Login),
        timeout: pipeline.timeout(),
    })
}

/// Settles a journalled login, and waits for room in the pool as long as its ticket lives. What a
/// shutdown interrupts stays in the journal for the next run.
pub async fn settle_journalled(pipeline: &Pipeline, job: Job, shutdown: &Shutdown) {
    let uuid = job.ticket.uuid();
    let expires_at_ms = job.ticket.expires_at_ms(pipeline.times());
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    loop {
        match pipeline.settle(job.clone()).await {
            Ok(()) | Err(NotSettled::NotStarted(GenerateError::ShuttingDown)) => return,
            Err(error) => tracing::debug!(ticket = %uuid, %error, "waits"),
        }
        if now_ms() >= expires_at_ms {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.after_failure()) => {}
            () = shutdown.drained() => return,
        }
    }
}
