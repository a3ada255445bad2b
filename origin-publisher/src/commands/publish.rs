//! `origin-publisher publish --topic TOPIC`: updates, durable first, then at every edge.

use std::{
    io::{self, BufReader, Write},
    path::PathBuf,
};

use anyhow::{Context, bail};
use clap::Args;
use headstart_protocol::{keys::Key, topic::TopicName};
use tokio::sync::mpsc;

use origin_publisher::{
    config::{Config, EdgeConfig, Environment, Override, layers::process_environment, secrets},
    http_client,
    publish::{
        self, Happening, Plan,
        document::{self, Document},
    },
};

use super::{block_on, signals::stop_signal};
use crate::cli::ConfigLayers;

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
    /// Publish to this edge only, configured or not; it must know the key of `HEADSTART_ORIGIN_KEY`
    #[arg(long, value_name = "URL")]
    edge: Option<String>,
    /// What is configured.
    #[command(flatten)]
    config: ConfigLayers,
}

/// Runs the command.
///
/// # Errors
/// When an argument or the configuration cannot be used, or something was refused or not delivered.
pub fn run(args: PublishArgs) -> anyhow::Result<()> {
    let environment = process_environment();
    let plan = args.plan(&environment)?;
    let PublishArgs {
        data,
        file,
        id,
        media_type,
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
        let totals = publish::publish(&plan, &client, documents, stop_signal()?, |happening| {
            match happening {
                // A reader that has gone away, as `head` does, must not end the publishing.
                Happening::Ended(published) => drop(writeln!(io::stdout(), "{published}")),
                Happening::Refused { document, reason } => {
                    eprintln!("{document}: refused, {reason}");
                }
            }
        })
        .await?;
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
        let mut config = self.config.load(environment, None)?.config;
        let only = self.edge.clone().or_else(|| {
            let variable = environment.get(EDGE_VARIABLE).cloned();
            variable.filter(|_| config.edges.is_empty())
        });
        let mut index = None;
        if let Some(url) = only {
            index = number_of(&config, &url);
            if index.is_none() {
                // Added to the configuration, so that it is checked as all others are.
                index = Some(config.edges.len());
                let added = Override {
                    path: format!("edges.{}.url", config.edges.len()),
                    value: url,
                    flag: "--edge".to_owned(),
                };
                config = self.config.load(environment, [added])?.config;
            }
        }
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
        if edges.is_empty() {
            bail!("no edge is configured: add [[edges]] to the file, or give --edge");
        }
        Ok(Plan {
            edges,
            outbox: config.outbox.path.clone(),
            source: config.origin.source(),
            topic: self.topic.clone(),
            ttl: config.updates.ttl(),
            grace: config.origin.grace(),
        })
    }
}

/// The number of the configured edge with this URL.
fn number_of(config: &Config, url: &str) -> Option<usize> {
    let url = url.parse().ok()?;
    config.edges.iter().position(|edge| edge.url == url)
}
