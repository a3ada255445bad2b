//! `origin-publisher publish --topic TOPIC`: updates, durable first, then at every edge.

use std::{
    io::{self, BufReader},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use headstart_client::http_client;
use headstart_protocol::{keys::Key, report::Status, topic::TopicName};
use origin_publisher::{
    config::{EdgeConfig, Environment, Loaded, Override, layers::process_environment, secrets},
    publish::{
        self, Plan, PublishEvent,
        document::{self, Document},
        progress::Published,
    },
};
use serde::Serialize;
use tokio::sync::mpsc;
use url::Url;

use super::{
    block_on,
    logging::say,
    login::seconds,
    output::{Output, OutputError},
    signals::stop_signal,
};
use crate::arguments::{ConfigLayers, DEFAULT_EDGE, http_url};

/// The edge to publish to where none is configured.
const EDGE_VARIABLE: &str = "HEADSTART_EDGE_URL";

/// Arguments of `publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The topic
    #[arg(long, value_name = "TOPIC", value_parser = TopicName::parse)]
    topic: TopicName,
    /// One update with this content
    #[arg(long, value_name = "JSON", group = "content")]
    data: Option<String>,
    /// One update with the content of this file
    #[arg(long, value_name = "FILE", group = "content")]
    file: Option<PathBuf>,
    /// Id of the one update; the same id is published once, however often it is sent
    #[arg(long, value_name = "ID", requires = "content")]
    id: Option<String>,
    /// Media type of the content
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    media_type: String,
    /// Publish to this edge only, configured or not; it must know the key of `HEADSTART_ORIGIN_KEY`.
    /// Without it, to every edge that is configured, or else to the one in `HEADSTART_EDGE_URL`, or else
    /// to that of `make dev`
    #[arg(long, value_name = "URL", value_parser = http_url)]
    edge: Option<Url>,
    /// End with status 1 when nothing was taken for so many seconds; without it an edge that is away is
    /// waited for
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    give_up: Option<Duration>,
    /// Print JSON, one object on each line
    #[arg(long)]
    json: bool,
    /// Print nothing of what was taken
    #[arg(long, conflicts_with = "json")]
    quiet: bool,
    /// What is configured.
    #[command(flatten)]
    config: ConfigLayers,
}

/// Runs the command.
///
/// # Errors
/// When an argument or the configuration cannot be used, or something was refused or not delivered.
pub fn run(args: PublishArgs, output: &Output) -> anyhow::Result<()> {
    let environment = process_environment();
    let plan = args.plan(&environment)?;
    let PublishArgs {
        data,
        file,
        id,
        media_type,
        json,
        quiet,
        ..
    } = args;
    let one = |name: &str, content: Vec<u8>| {
        let (send, documents) = mpsc::channel(1);
        let document = Document {
            name: name.to_owned(),
            id,
            media_type: media_type.clone(),
            content,
        };
        // The channel has room for it.
        let _ = send.try_send(document);
        documents
    };
    let documents = match (data, file) {
        (Some(data), _) => one("--data", data.into_bytes()),
        (None, Some(path)) => {
            let content =
                std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            one(&path.display().to_string(), content)
        }
        (None, None) => document::lines(BufReader::new(io::stdin()), media_type)?,
    };
    block_on(async {
        let client = http_client::build()?;
        let totals = publish::publish(&plan, &client, documents, stop_signal()?, |event| {
            match (&event, json) {
                (_, true) => drop(output.json(&Line::of(&event, &plan.topic))),
                (PublishEvent::Ended(published), false) => {
                    // What cannot be printed must not end the publishing.
                    if !quiet || published.has_status(Status::Rejected) {
                        let _ = output.line(published);
                    }
                }
                (PublishEvent::Refused { document, reason }, false) => {
                    say(format_args!("{document}: refused, {reason}"));
                }
            }
        })
        .await?;
        if let Some(failure @ OutputError::Failed(_)) = output.failure() {
            return Err(failure.into());
        }
        if totals.refused > 0 {
            bail!(
                "{} of {} updates were refused",
                totals.refused,
                totals.refused + totals.published
            );
        }
        Ok(())
    })
}

impl PublishArgs {
    fn plan(&self, environment: &Environment) -> anyhow::Result<Plan> {
        let mut loaded = self.config.load(environment, None)?;
        let only = match (&self.edge, environment.get(EDGE_VARIABLE)) {
            (Some(url), _) => Some(url.clone()),
            (None, _) if !loaded.config.edges.is_empty() => None,
            (None, url) => Some(
                http_url(url.map_or(DEFAULT_EDGE, String::as_str))
                    .map_err(|error| anyhow!("{EDGE_VARIABLE}: {error}"))?,
            ),
        };
        let mut index = None;
        if let Some(url) = only {
            let edges = &loaded.config.edges;
            index = edges.iter().position(|edge| edge.url == url);
            if index.is_none() {
                // Added to the configuration, so that it is checked as all others are.
                index = Some(edges.len());
                let added = Override {
                    path: format!("edges.{}.url", edges.len()),
                    value: url.into(),
                    flag: "--edge".to_owned(),
                };
                loaded = self.config.load(environment, [added])?;
            }
        }
        let outbox = outbox(&loaded, environment);
        let config = loaded.config;
        let keys = secrets::edge_keys(&config, environment)?;
        let edges: Vec<(EdgeConfig, Key)> = config
            .edges
            .iter()
            .zip(keys)
            .map(|(edge, key)| (edge.clone(), key.value.current().clone()))
            .enumerate()
            .filter(|(number, _)| index.is_none_or(|index| index == *number))
            .map(|(_, edge)| edge)
            .collect();
        Ok(Plan {
            edges,
            outbox,
            source: config.origin.source(),
            topic: self.topic.clone(),
            ttl: config.updates.ttl(),
            give_up: self.give_up,
        })
    }
}

/// Returns the outbox that updates are kept beside: the configured one; else one in the user's state folder
/// ([XDG Base Directory](https://specifications.freedesktop.org/basedir/latest/)), as far as there is one.
fn outbox(loaded: &Loaded, environment: &Environment) -> PathBuf {
    let configured = loaded.config.outbox.path.clone();
    if loaded.sources.contains_key("outbox.path") {
        return configured;
    }
    let folder = |name: &str| {
        let folder = environment.get(name).map(PathBuf::from);
        folder.filter(|folder| folder.is_absolute())
    };
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    match state {
        Some(state) => state.join("headstart").join(configured),
        None => configured,
    }
}

/// A line for programs.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Published {
        topic: &'a TopicName,
        #[serde(flatten)]
        published: &'a Published,
    },
    Refused {
        document: &'a str,
        reason: &'a str,
    },
}

impl<'a> Line<'a> {
    fn of(event: &'a PublishEvent, topic: &'a TopicName) -> Self {
        match event {
            PublishEvent::Ended(published) => Self::Published { topic, published },
            PublishEvent::Refused { document, reason } => Self::Refused { document, reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use origin_publisher::config;

    use super::*;

    #[test]
    fn updates_are_kept_beside_the_configured_outbox_or_in_the_users_state_folder() {
        let kept = |pairs: &[(&str, &str)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            let environment: Environment = pairs.collect();
            outbox(
                &config::load(None, &environment, &[]).unwrap(),
                &environment,
            )
        };
        let (home, state) = (("HOME", "/home/a"), ("XDG_STATE_HOME", "/state"));
        assert_eq!(
            kept(&[home]),
            PathBuf::from("/home/a/.local/state/headstart/outbox.sqlite3")
        );
        assert_eq!(
            kept(&[home, state]),
            PathBuf::from("/state/headstart/outbox.sqlite3")
        );
        let relative = ("XDG_STATE_HOME", "state");
        assert_eq!(kept(&[relative]), PathBuf::from("outbox.sqlite3"));
        let configured = ("HEADSTART_OUTBOX_PATH", "own.sqlite3");
        assert_eq!(kept(&[home, configured]), PathBuf::from("own.sqlite3"));
    }
}
