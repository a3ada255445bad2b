//! Measures how fast an update gets to many subscribers: our edge beside a Durable Object in JavaScript
//! on the same workerd, and beside nchan on nginx. And how many logins become offers in time, beside
//! JavaScript again, and how long an offer takes to whoever waits. All in one run, in turns, so that the
//! ratios hold even where the machine is noisy.
//!
//! | question | file |
//! |---|---|
//! | What is measured, and how long? | `workload.rs` |
//! | How are the servers started? | `server.rs`, `workerd.rs`, `origin.rs`, `../serve.mjs`, `../nginx.conf` |
//! | What do those in JavaScript do? | `../javascript/fan-out.js`, `../javascript/logins.js` |
//! | How are they spoken to? | `plain.rs`; ours by `headstart_client::load::headstart` |
//! | How many bytes is an update on the wire? | `wire.rs` |
//! | How is one of them measured? | `subject.rs` |
//! | How are they compared? | `fan_out.rs`, `relays.rs` |
//! | How many logins are taken? | `logins/` |
//! | How long does an offer take? | `latency.rs` |
//! | How are logins and round trips sent? | `http_pool.rs` |
//! | How many offers a second come into KV? | `kv.rs` |
//! | How much time and memory does a process use? | `usage.rs` |
//! | What is printed? | `table.rs` |
//!
//! `docs/benchmarks.md` says what the tables mean.

mod fan_out;
mod http_pool;
mod kv;
mod latency;
mod logins;
mod origin;
mod plain;
mod relays;
mod server;
mod subject;
mod table;
mod usage;
mod wire;
mod workerd;
mod workload;

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use headstart_client::subscribe::transport::Transport;
use workload::Effort;

/// Measures Headstart beside Durable Objects in JavaScript and nchan.
#[derive(Debug, Parser)]
struct Cli {
    /// Fewer subscribers and rounds: two minutes, to see that it works
    #[arg(long)]
    quick: bool,
    /// Measure only this
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Only this transport
    #[arg(long, value_enum)]
    transport: Option<Way>,
    /// How many subscribers, comma separated
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    subscribers: Option<Vec<u32>>,
    /// How many logins a second, growing, comma separated
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    rates: Option<Vec<u32>>,
    /// How many rounds the medians are of
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The three servers beside each other
    FanOut,
    /// Our edge with and without relays
    Relays,
    /// Logins a second, and what becomes of those that are too many
    Logins,
    /// From the end of a generation to the offer
    Latency,
    /// Offers that an origin brings into KV
    Kv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Server-Sent Events
    Sse,
    /// WebSocket
    Ws,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let begun = Instant::now();
    let effort = cli.effort();
    println!("{}", usage::machine());
    if cli.measures(Part::FanOut) {
        fan_out::run(&effort).await?;
    }
    if cli.measures(Part::Relays) {
        relays::run(&effort).await?;
    }
    if cli.measures(Part::Logins) {
        let mut effort = if cli.quick {
            logins::Effort::quick()
        } else {
            logins::Effort::full()
        };
        if let Some(rates) = &cli.rates {
            effort.rates.clone_from(rates);
        }
        logins::run(&effort).await?;
    }
    if cli.measures(Part::Latency) {
        latency::run(if cli.quick { 50 } else { 200 }).await?;
    }
    if cli.measures(Part::Kv) {
        kv::run(Duration::from_secs(if cli.quick { 10 } else { 30 })).await?;
    }
    println!("\nMeasured in {} s.", begun.elapsed().as_secs());
    Ok(())
}

impl Cli {
    fn measures(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    fn effort(&self) -> Effort {
        let mut effort = if self.quick {
            Effort::quick()
        } else {
            Effort::full()
        };
        if let Some(way) = self.transport {
            effort.transports = match way {
                Way::Sse => vec![Transport::Sse],
                Way::Ws => vec![Transport::Ws],
            };
        }
        if let Some(subscribers) = &self.subscribers {
            effort.subscribers = subscribers.iter().map(|count| *count as usize).collect();
        }
        if let Some(rounds) = self.rounds {
            effort.rounds = rounds as usize;
        }
        effort
    }
}
