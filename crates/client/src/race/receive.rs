//! Logs in once, receives the offer in one way, and times it.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use headstart_protocol::login::LoginAccepted;

use super::{
    Plan,
    attempt::{Attempt, Received},
    edge_client::{Asked, ClientError, EdgeClient, Offer},
    listener::{Listener, Moment},
    way::Way,
};

/// How long the edge is asked to hold a long-poll.
const LONG_POLL: Duration = Duration::from_secs(20);

/// Runs one attempt; what fails is part of it.
pub async fn run(way: Way, client: &EdgeClient, plan: &Plan, listener: &dyn Listener) -> Attempt {
    // Boxed: a way with all its clients is a large future.
    let result = within(plan.give_up, Box::pin(receive(way, client, plan, listener))).await;
    Attempt { way, result }
}

async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(ClientError::GivenUp(limit)))
}

async fn receive(
    way: Way,
    client: &EdgeClient,
    plan: &Plan,
    listener: &dyn Listener,
) -> Result<Received, ClientError> {
    let start = Instant::now();
    let tell = |moment| listener.tells(start.elapsed(), moment);
    tell(Moment::LogsIn);
    if way == Way::Origin {
        let offer = client.offer_of_origin(&plan.login).await?;
        let felt = start.elapsed();
        tell(Moment::HasOffer(&offer));
        return Ok(Received {
            ticket_after: Duration::ZERO,
            felt,
            felt_again: None,
            requests: 1,
            offer,
        });
    }
    let login = client.login(&plan.login).await?;
    let ticket_after = start.elapsed();
    tell(Moment::HasTicket);

    let mut requests = 2;
    let mut asked_at = start;
    let mut felt_again = None;
    let offer = match way {
        Way::Origin | Way::Polling => {
            let (offer, asked) = poll(client, &login, plan.poll_every).await?;
            requests = 1 + asked;
            offer
        }
        Way::LongPoll => {
            let (offer, asked) = long_poll(client, &login).await?;
            requests = 1 + asked;
            offer
        }
        Way::Sse => client.offer_by_sse(&login).await?,
        Way::WebSocket => client.offer_by_socket(&login).await?,
        Way::Positioned => {
            tell(Moment::Thinks(plan.think));
            tokio::time::sleep(plan.think).await;
            asked_at = Instant::now();
            tell(Moment::Asks);
            let (offer, asked) = long_poll(client, &login).await?;
            requests = 1 + asked;
            offer
        }
    };
    let felt = asked_at.elapsed();
    tell(Moment::HasOffer(&offer));
    if way == Way::Positioned {
        let again_at = Instant::now();
        let (offer, _) = long_poll(client, &login).await?;
        felt_again = Some((again_at.elapsed(), offer));
    }
    Ok(Received {
        ticket_after,
        felt,
        felt_again,
        requests,
        offer,
    })
}

/// Asks every `every` until the offer is there; also says how often.
async fn poll(
    client: &EdgeClient,
    login: &LoginAccepted,
    every: Duration,
) -> Result<(Offer, u32), ClientError> {
    let mut ticks = tokio::time::interval(every);
    let mut asked = 0;
    loop {
        ticks.tick().await;
        asked += 1;
        if let Asked::Ready(offer) = client.ask(login, None).await? {
            return Ok((offer, asked));
        }
    }
}

/// Asks until the offer is there, each time letting the edge hold the answer; also says how often.
async fn long_poll(
    client: &EdgeClient,
    login: &LoginAccepted,
) -> Result<(Offer, u32), ClientError> {
    let mut asked = 0;
    loop {
        asked += 1;
        if let Asked::Ready(offer) = client.ask(login, Some(LONG_POLL)).await? {
            return Ok((offer, asked));
        }
    }
}
