//! How many logins a second become offers in time, and what becomes of those above it: our edge with an
//! origin beside a Worker in JavaScript that does as little as can be done.
//!
//! | question | file |
//! |---|---|
//! | Whom are logins sent to? | `site.rs` |
//! | What does one login do? | `visit.rs` |
//! | How are they sent at a rate? | `open_loop.rs` |
//! | What counts? | `tally.rs` |
//! | Which rates are tried? | `ladder.rs` |
//! | What is printed? | `report.rs` |

mod ladder;
mod open_loop;
mod report;
mod site;
mod tally;
mod visit;

use std::{sync::Arc, time::Duration};

use headstart_client::load::files;
use ladder::Ladder;
use open_loop::{Plan, Step};
use report::{Resources, Taken};
use site::{Kind, Site};
pub use tally::percentile;

use crate::usage;

/// A rate is kept up with where so much of its logins ...
const PART: f64 = 0.99;

/// ... have their offer within this time.
const LIMIT: Duration = Duration::from_millis(250);

/// How many times the best rate an overload is.
const OVERLOAD: u32 = 3;

/// Connections that this program may have at once, and workerd too.
const CONNECTIONS: usize = 15_000;

/// How long a server is left alone before its open files are counted: connections that were closed are gone
/// by then.
const QUIET: Duration = Duration::from_secs(3);

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Effort {
    /// Logins a second, in growing order; at least one.
    pub rates: Vec<u32>,
    /// Steps between the best of them and the one above it.
    between: usize,
    warm_up: Duration,
    counted: Duration,
    /// How long the overload lasts.
    overload: Duration,
}

impl Effort {
    /// About seven minutes.
    pub fn full() -> Self {
        Self {
            rates: vec![50, 100, 200, 300, 400, 500, 700, 1_000, 1_400, 2_000, 2_800],
            between: 2,
            warm_up: Duration::from_secs(2),
            counted: Duration::from_secs(10),
            overload: Duration::from_secs(15),
        }
    }

    /// About a minute.
    pub fn quick() -> Self {
        Self {
            rates: vec![50, 100, 200, 400, 800, 1_600],
            between: 0,
            warm_up: Duration::from_secs(1),
            counted: Duration::from_secs(3),
            overload: Duration::from_secs(5),
        }
    }
}

/// Measures everything, and prints it.
pub async fn run(effort: &Effort) -> anyhow::Result<()> {
    // Before the servers start, which inherit the limit.
    files::make_room(CONNECTIONS)?;
    println!("A flush of the disk: p50 {:.1?}.", usage::flush()?);
    let ours = Arc::new(Site::start(Kind::Headstart).await?);
    // The other one settles with what ours does, so that both store and send the same bytes.
    let offer: Arc<str> = visit::told(&ours).await?.into();
    let twin = Arc::new(Site::start(Kind::JavaScript).await?);
    let mut climbs = Vec::new();
    for site in [ours, twin] {
        climbs.push(Climb::begin(site, &offer, effort).await?);
    }
    // In turns, so that a machine that is slow for a while is slow for both.
    loop {
        let mut is_over = true;
        for climb in &mut climbs {
            is_over &= !climb.step(&offer, effort).await?;
        }
        if is_over {
            break;
        }
    }
    for climb in &mut climbs {
        climb.taken("after the steps").await;
    }
    let overload = climbs[0].overload(&offer, effort).await?;
    climbs[0].taken("after the overload").await;
    report::print(&climbs, &overload, &offer);
    Ok(())
}

/// One site on its way up.
#[derive(Debug)]
struct Climb {
    site: Arc<Site>,
    ladder: Ladder,
    steps: Vec<(Step, bool)>,
    resources: Vec<Taken>,
}

impl Climb {
    /// Warms a site up.
    async fn begin(site: Arc<Site>, offer: &Arc<str>, effort: &Effort) -> anyhow::Result<Self> {
        let warming = Plan {
            rate: 20,
            warm_up: Duration::ZERO,
            counted: effort.warm_up + Duration::from_secs(1),
            break_off: true,
        };
        open_loop::run(&site, offer, warming).await?;
        let mut climb = Self {
            site,
            ladder: Ladder::new(effort.rates.clone(), effort.between),
            steps: Vec::new(),
            resources: Vec::new(),
        };
        climb.taken("before").await;
        Ok(climb)
    }

    /// Tries the next rate; whether there was one.
    async fn step(&mut self, offer: &Arc<str>, effort: &Effort) -> anyhow::Result<bool> {
        let Some(rate) = self.ladder.next() else {
            return Ok(false);
        };
        let plan = Plan {
            rate,
            warm_up: effort.warm_up,
            counted: effort.counted,
            break_off: true,
        };
        let step = open_loop::run(&self.site, offer, plan).await?;
        self.site.http.close();
        let passed = !step.broken_off && step.tally.keeps(PART, LIMIT);
        eprintln!("  {}", report::line(self.site.kind, &step, passed));
        self.ladder.record(rate, passed);
        self.steps.push((step, passed));
        Ok(true)
    }

    /// Sends far more than it keeps up with.
    async fn overload(&mut self, offer: &Arc<str>, effort: &Effort) -> anyhow::Result<Step> {
        let best = self.ladder.best().unwrap_or(effort.rates[0]);
        let plan = Plan {
            rate: OVERLOAD * best,
            warm_up: Duration::ZERO,
            counted: effort.overload,
            break_off: false,
        };
        eprintln!("  {} with {} logins a second", self.site.kind, plan.rate);
        open_loop::run(&self.site, offer, plan).await
    }

    /// Notes what the server holds now that nobody is connected.
    async fn taken(&mut self, when: &'static str) {
        self.site.http.close();
        tokio::time::sleep(QUIET).await;
        self.resources.push(Taken {
            when,
            logins: self.site.users(),
            resources: Resources::of(self.site.worker()),
        });
    }
}
