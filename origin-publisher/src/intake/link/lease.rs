//! What becomes of a lease: generated and committed, then acked; or handed back.

use std::time::Duration;

use headstart_client::clock::now_ms;
use headstart_protocol::{
    event::Event,
    link::FromOrigin,
    login::LoginData,
    stamps::{Point, Stamps},
    ticket::{Ticket, TicketError},
};

use crate::pipeline::{Job, Pipeline};

/// Time kept back of a lease for the commit and for the ack to reach the edge; of a short lease, a
/// quarter.
const MARGIN: Duration = Duration::from_secs(2);

/// How long a lease that cannot be begun is kept before it is handed back; up to as much again is
/// added. An edge with no other origin leases it to this one again at once, and without the pause
/// the two would do nothing else.
const PAUSE_MS: u64 = 50;

/// The same for a login that this origin can never take.
const LONG_PAUSE_MS: u64 = 1000;

/// Sees a lease through and returns the answer for the edge.
pub(super) async fn work(
    pipeline: Pipeline,
    lease: String,
    event: Event,
    expires_in: Duration,
) -> FromOrigin {
    let ticket = match ticket_of(&event, &pipeline) {
        Ok(ticket) => ticket,
        // The edge leases no login whose ticket has expired by its clock, and nothing that is settled here
        // would be delivered. So another origin gets it, or the edge tells its failure.
        Err(TicketError::Expired) => {
            tracing::warn!(
                login = event.id,
                "handed back: its ticket has expired by this origin's clock; is the clock right, and tickets.ttl_seconds the edge's TICKET_TTL_SECONDS?"
            );
            pause(LONG_PAUSE_MS).await;
            return FromOrigin::Release { lease };
        }
        Err(TicketError::Unknown) => {
            tracing::error!(
                login = event.id,
                "handed back: the ticket was not minted with a key of this origin; is HEADSTART_TICKET_KEY the edge's TICKET_KEY?"
            );
            pause(LONG_PAUSE_MS).await;
            return FromOrigin::Release { lease };
        }
    };
    let result = match LoginData::of_event(&event).filter(|_| event.validate().is_ok()) {
        Some(login) => {
            let job = Job {
                login_at_ms: Stamps::of_event(&event).get(Point::Login),
                timeout: pipeline.timeout().min(usable(expires_in)),
                ticket: ticket.clone(),
                login,
            };
            pipeline.settle(job).await
        }
        None => pipeline.fail(&ticket, "the login cannot be read").await,
    };
    match result {
        Ok(()) => FromOrigin::Ack {
            leases: vec![lease],
        },
        Err(error) => {
            tracing::warn!(ticket = %ticket.uuid(), %error, "handed back");
            pause(PAUSE_MS).await;
            FromOrigin::Release { lease }
        }
    }
}

fn ticket_of(event: &Event, pipeline: &Pipeline) -> Result<Ticket, TicketError> {
    let text = event.subject.as_deref().ok_or(TicketError::Unknown)?;
    Ticket::admit(text, pipeline.keys(), now_ms(), pipeline.times())
}

/// Returns how much of a lease may be spent on generating.
fn usable(expires_in: Duration) -> Duration {
    expires_in.saturating_sub(MARGIN.min(expires_in / 4))
}

async fn pause(at_least_ms: u64) {
    let jitter = fastrand::u64(0..=at_least_ms);
    tokio::time::sleep(Duration::from_millis(at_least_ms + jitter)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_kept_back_for_the_commit_and_the_ack() {
        let seconds = Duration::from_secs;
        assert_eq!(usable(seconds(30)), seconds(28));
        assert_eq!(usable(seconds(4)), seconds(3));
        assert_eq!(usable(Duration::ZERO), Duration::ZERO);
    }
}
