//! Logins at a fixed rate, whatever becomes of those before: an open loop, as users are one. Each is timed
//! from when it was to begin, so a server that falls behind is not spared the wait that it causes.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    site::Site,
    tally::{Tally, Visit},
    visit::visit,
};
use crate::usage::Process;

/// A step that has fallen so far behind keeps no limit of ours any more, and is broken off.
const BEHIND: Duration = Duration::from_secs(2);

/// One step of a benchmark.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Logins a second.
    pub rate: u32,
    /// How long logins come before they are counted.
    pub warm_up: Duration,
    /// How long they are counted.
    pub counted: Duration,
    /// Whether the step ends early where the server falls behind.
    pub break_off: bool,
}

/// What a step brought.
#[derive(Debug)]
pub struct Step {
    pub rate: u32,
    pub tally: Tally,
    /// It fell behind, and was ended early.
    pub broken_off: bool,
    /// Which part of the time the processes ran: workerd, the origin, this program.
    pub busy: [f64; 3],
}

/// Sends logins by the plan, waits for all of them, and counts.
pub async fn run(site: &Arc<Site>, offer: &Arc<str>, plan: Plan) -> anyhow::Result<Step> {
    let processes = [
        Some(site.worker().process()),
        site.origin(),
        Some(Process::own()),
    ];
    let busy = || -> anyhow::Result<Vec<Duration>> {
        let each = processes.iter();
        each.map(|process| process.map_or(Ok(Duration::ZERO), Process::busy))
            .collect()
    };
    let before = busy()?;
    let start = Instant::now();
    let total = plan.warm_up + plan.counted;
    let most_at_once = (BEHIND.as_secs_f64() * f64::from(plan.rate)).max(50.0);
    let mut visits = JoinSet::new();
    let mut ended: Vec<Visit> = Vec::new();
    let mut broken_off = false;
    for number in 0.. {
        let due = Duration::from_secs(1) * number / plan.rate;
        if due >= total {
            break;
        }
        sleep_until(start + due).await;
        let (site, offer) = (Arc::clone(site), Arc::clone(offer));
        visits.spawn(async move {
            let (ending, at) = visit(&site, &offer).await;
            Visit {
                due,
                ended: at.duration_since(start),
                ending,
            }
        });
        while let Some(visit) = visits.try_join_next() {
            ended.push(visit?);
        }
        #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 connections")]
        let is_behind = visits.len() as f64 > most_at_once;
        if plan.break_off && is_behind {
            broken_off = true;
            break;
        }
    }
    let took = start.elapsed();
    let busy_for = busy()?;
    while let Some(visit) = visits.join_next().await {
        ended.push(visit?);
    }
    let window = if broken_off {
        Duration::ZERO..took
    } else {
        plan.warm_up..total
    };
    let part =
        |at: usize| busy_for[at].saturating_sub(before[at]).as_secs_f64() / took.as_secs_f64();
    Ok(Step {
        rate: plan.rate,
        tally: Tally::of(&ended, &window),
        broken_off,
        busy: [part(0), part(1), part(2)],
    })
}
