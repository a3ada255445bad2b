//! `origin-publisher login USER`: the user's story, and a comparison of the ways to receive an offer.

use std::{
    io::{self, IsTerminal},
    num::NonZeroU32,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;
use headstart_client::race::{
    Plan,
    attempt::Attempt,
    listener::{Listener, Moment, Silent},
    offer_view,
    report::{Report, received},
    story::Teller,
    table,
    way::Way,
};
use headstart_protocol::{keys::KeyRing, login::LoginRequest};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use url::Url;

use super::output::Output;
use crate::arguments::{EdgeArg, http_url};

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Who logs in
    user: String,
    /// What else the generator should know, as NAME=VALUE; a value that is JSON is taken as such. May be
    /// given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
    /// The edge.
    #[command(flatten)]
    edge: EdgeArg,
    /// The origin's own listener, to measure waiting on the origin itself
    #[arg(
        long,
        value_name = "URL",
        env = "HEADSTART_ORIGIN_URL",
        value_parser = http_url,
        required_if_eq("ways", "origin")
    )]
    origin: Option<Url>,
    /// The ways to measure; all unless given
    #[arg(long = "way", value_name = "WAY", value_delimiter = ',')]
    ways: Vec<Way>,
    /// How often each way is run
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZeroU32,
    /// How often polling asks, in milliseconds
    #[arg(long, value_name = "MS", default_value = "500", value_parser = clap::value_parser!(u64).range(1..))]
    poll_every: u64,
    /// How long the visitor looks around before asking for the positioned offer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    think: Duration,
    /// After how many seconds a way is given up
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    give_up: Duration,
    /// Print the outcome as JSON and nothing else
    #[arg(long)]
    json: bool,
    /// Print the table without the story, as it is when each way is run more than once
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
}

/// The key that signs logins, `whsec_...`; only needed where the edge asks for signed logins.
pub const LOGIN_KEY_VARIABLE: &str = "HEADSTART_LOGIN_KEY";

/// Runs the command.
///
/// # Errors
/// When an argument cannot be used, or some way did not bring its offer.
pub async fn run(args: LoginArgs, output: &Output) -> anyhow::Result<()> {
    let json = args.json;
    // Told many times over, the story is noise.
    let quiet = args.quiet || args.repeat.get() > 1;
    let plan = args.into_plan()?;
    let progress = Progress::new(&plan);
    let teller = Teller::new(output.clone());
    let listener: &dyn Listener = if json || quiet {
        if io::stderr().is_terminal() {
            &progress
        } else {
            &Silent
        }
    } else {
        &teller
    };
    let attempts = tokio::select! {
        attempts = plan.run(listener) => attempts?,
        failure = output.failed() => return Err(failure.into()),
    };
    progress.bar.finish_and_clear();
    if json {
        output.pretty_json(&Report::new(&plan, &attempts))?;
    } else {
        if !quiet && let Some(offer) = one_offer(&plan, &attempts) {
            output.line(format_args!("\nWhat {} sees:\n{offer}", plan.login.user))?;
        }
        if attempts.len() > 1 {
            output.line(format_args!("\n{}", table::render(&plan, &attempts)))?;
        }
    }
    let failed = attempts.iter().filter(|one| one.result.is_err()).count();
    if failed > 0 {
        bail!(
            "{failed} of {} logins did not bring an offer",
            attempts.len()
        );
    }
    Ok(())
}

fn one_offer(plan: &Plan, attempts: &[Attempt]) -> Option<String> {
    plan.ways
        .iter()
        .find_map(|&way| received(way, attempts).next())
        .and_then(|received| offer_view::render(&received.offer.body))
}

impl LoginArgs {
    fn into_plan(self) -> anyhow::Result<Plan> {
        let login_key = match std::env::var(LOGIN_KEY_VARIABLE) {
            Ok(text) if !text.trim().is_empty() => Some(
                KeyRing::parse(&text)
                    .with_context(|| format!("{LOGIN_KEY_VARIABLE} is not a key"))?
                    .current()
                    .clone(),
            ),
            _ => None,
        };
        let login = LoginRequest {
            user: self.user,
            attributes: self.attributes.into_iter().collect::<Map<_, _>>(),
        };
        Ok(Plan {
            login,
            edge: self.edge.url,
            origin: self.origin,
            login_key,
            ways: if self.ways.is_empty() {
                Way::ALL.to_vec()
            } else {
                self.ways
            },
            repeat: self.repeat.get(),
            poll_every: Duration::from_millis(self.poll_every),
            think: self.think,
            give_up: self.give_up,
        })
    }
}

fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// How far a long run has come; only drawn on a terminal.
struct Progress {
    bar: ProgressBar,
}

impl Progress {
    fn new(plan: &Plan) -> Self {
        let logins = u64::from(plan.repeat) * plan.ways.len() as u64;
        let bar = ProgressBar::new(logins);
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} logins  {msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }
}

impl Listener for Progress {
    fn begins(&self, way: Way, _: u32, _: &Plan) {
        self.bar.set_message(way.name());
    }

    fn tells(&self, _: Duration, _: Moment<'_>) {}

    fn ended(&self, _: &Attempt) {
        self.bar.inc(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_json_where_it_can_be() {
        assert_eq!(
            attribute("max_items=5"),
            Ok(("max_items".to_owned(), Value::from(5)))
        );
        assert_eq!(
            attribute("note=a=b"),
            Ok(("note".to_owned(), Value::from("a=b")))
        );
        assert!(attribute("no value").is_err());
    }

    #[test]
    fn seconds_must_make_sense() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert!(seconds("-1").is_err());
        assert!(seconds("soon").is_err());
    }
}
