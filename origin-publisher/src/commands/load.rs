//! `origin-publisher load --topic TOPIC --subscribers N`: measures an edge with many subscribers.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use headstart_client::load::{
    self, Plan, Round, Stage,
    headstart::Headstart,
    schedule::{Pace, Schedule},
};
use headstart_protocol::{limits::MAX_UPDATE_BYTES, topic::TopicName};
use indicatif::{ProgressBar, ProgressStyle};
use origin_publisher::config::{layers::process_environment, secrets};

use super::{
    output::Output,
    subscribe::{Way, token},
};
use crate::arguments::{ConfigFile, EdgeArg};

/// Largest data of an update: the rest of the event has room beside it.
const MAX_BYTES: u64 = MAX_UPDATE_BYTES as u64 - 1024;

/// Arguments of `load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// The edge.
    #[command(flatten)]
    edge: EdgeArg,
    /// The topic; nobody else should publish on it meanwhile
    #[arg(long, value_name = "TOPIC", default_value = "load", value_parser = TopicName::parse)]
    topic: TopicName,
    /// How many subscribers
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    subscribers: u32,
    /// How they follow
    #[arg(long, value_enum, default_value_t = Way::Sse)]
    transport: Way,
    /// Updates a second; 10 unless --updates is given
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// For how many seconds updates are published; 10 unless --updates is given
    #[arg(long, value_name = "S", conflicts_with = "updates", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// How many updates; without --rate each is published when the one before has been taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    updates: Option<u64>,
    /// How many updates are published at once
    #[arg(long, value_name = "B", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    burst: u64,
    /// Bytes of an update's data
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=MAX_BYTES))]
    bytes: u64,
    /// How long connecting all may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    connect_patience: u64,
    /// After how many seconds without any arrival what is missing counts as lost
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    patience: u64,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Where the key's file is named.
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs the command.
///
/// # Errors
/// When an argument cannot be used, or the edge lost, doubled or disordered an update.
pub async fn run(args: LoadArgs, output: &Output) -> anyhow::Result<()> {
    let environment = process_environment();
    let config = args.config.load(&environment)?.config;
    let key = secrets::needed(
        secrets::origin_keys(&config, &environment),
        "secrets.origin_key",
    )?;
    let plan = args.plan()?;
    let token = token(std::slice::from_ref(&args.topic))?;
    let edge = args.edge.url;
    let target = Headstart::new(
        edge.clone(),
        args.topic,
        args.transport.into(),
        key.value.current().clone(),
        token,
    );
    let progress = Progress::new(&plan);
    let report = load::run(&plan, Arc::new(target), |stage| progress.show(stage)).await;
    progress.bar.finish_and_clear();
    let report = report.with_context(|| format!("measuring {edge}"))?;
    if args.json {
        output.pretty_json(&report)?;
    } else {
        output.line(&report)?;
    }
    if !report.is_faultless() {
        bail!(
            "{} updates were lost, {} came twice, {} came after a later one",
            report.losses,
            report.duplicates,
            report.disordered
        );
    }
    Ok(())
}

impl LoadArgs {
    fn plan(&self) -> anyhow::Result<Plan> {
        let per_second = match (self.rate, self.updates) {
            (None, None) => Some(10.0),
            (rate, _) => rate,
        };
        let total = match (self.updates, per_second) {
            (Some(updates), _) => updates,
            (None, Some(rate)) => {
                let seconds = f64::from(self.seconds.unwrap_or(10));
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a positive number, and a cast saturates"
                )]
                let total = (rate * seconds).round() as u64;
                total
            }
            (None, None) => 0,
        };
        if total == 0 {
            bail!("that would be no update at all: raise --rate or --seconds");
        }
        Ok(Plan {
            subscribers: self.subscribers as usize,
            connect_patience: Duration::from_secs(self.connect_patience),
            round: Round {
                schedule: Schedule {
                    total,
                    burst: self.burst,
                    pace: per_second.map_or(Pace::Taken, Pace::PerSecond),
                },
                bytes: usize::try_from(self.bytes)?,
                patience: Duration::from_secs(self.patience),
            },
        })
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 && rate <= 1e6 => Ok(rate),
        _ => Err("must be a number of updates a second, above 0".to_owned()),
    }
}

/// How far it has come; only drawn on a terminal.
struct Progress {
    bar: ProgressBar,
    subscribers: u64,
    deliveries: u64,
}

impl Progress {
    fn new(plan: &Plan) -> Self {
        let subscribers = plan.subscribers as u64;
        let bar = if io::stderr().is_terminal() {
            ProgressBar::new(subscribers)
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} {msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            subscribers,
            deliveries: subscribers.saturating_mul(plan.round.schedule.total),
        }
    }

    fn show(&self, stage: Stage) {
        let (length, position, what) = match stage {
            Stage::Connecting(count) => (self.subscribers, count as u64, "connected"),
            Stage::Delivering(count) => (self.deliveries, count, "deliveries"),
        };
        self.bar.set_length(length);
        self.bar.set_position(position);
        self.bar.set_message(what);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: LoadArgs,
    }

    fn schedule(arguments: &[&str]) -> Result<(u64, u64, Pace), String> {
        let all = ["load"].iter().chain(arguments);
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        let plan = cli.args.plan().map_err(|error| error.to_string())?;
        let Schedule { total, burst, pace } = plan.round.schedule;
        Ok((total, burst, pace))
    }

    #[test]
    fn a_rate_for_some_time_or_a_number_of_updates_make_a_schedule() {
        assert_eq!(schedule(&[]), Ok((100, 1, Pace::PerSecond(10.0))));
        let paced = ["--rate", "2.5", "--seconds", "4"];
        assert_eq!(schedule(&paced), Ok((10, 1, Pace::PerSecond(2.5))));
        let at_once = ["--updates", "50", "--burst", "25"];
        assert_eq!(schedule(&at_once), Ok((50, 25, Pace::Taken)));
        let both = ["--updates", "50", "--rate", "5"];
        assert_eq!(schedule(&both), Ok((50, 1, Pace::PerSecond(5.0))));
    }

    #[test]
    fn what_makes_no_schedule_is_refused() {
        for arguments in [
            &["--rate", "0"][..],
            &["--rate", "inf"],
            &["--rate", "0.01", "--seconds", "1"],
            &["--updates", "5", "--seconds", "1"],
            &["--burst", "0"],
        ] {
            assert!(schedule(arguments).is_err(), "{arguments:?}");
        }
    }
}
