//! The command line: what can be said, and how it is explained.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use origin_publisher::config::{self, ConfigError, Environment, Loaded, Override};

use crate::commands::{
    load::LoadArgs, login::LoginArgs, publish::PublishArgs, subscribe::SubscribeArgs,
    token::TokenArgs,
};

/// Generates content when a user logs in, and positions it at the edge before it is asked for.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// How the log on standard error is written
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,
    /// How much is logged
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Info, env = "HEADSTART_LOG")]
    pub log_level: LogLevel,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Human,
    /// One JSON object on each line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what went wrong.
    Error,
    /// And what is not as it should be.
    Warn,
    /// And what happens.
    Info,
    /// And what happens inside.
    Debug,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the origin: link to the edges, generate, deliver
    Serve(ServeArgs),
    /// Log a user in at an edge, tell the story, and compare the ways to receive the offer
    Login(LoginArgs),
    /// Publish updates of a topic, and wait until every edge has them
    ///
    /// Each update is durable before it is sent: what an interrupted run leaves, the next one delivers.
    /// Without --data and --file every line of standard input is an update, published as it comes. For
    /// each update, prints its id and what the edges said of it.
    Publish(PublishArgs),
    /// Follow topics, and print every update with its times
    ///
    /// A connection that breaks is opened again, and goes on where it was: no update is printed twice,
    /// and what is missing is told as a gap. Differences between two clocks are marked with ~. Private
    /// topics are opened by the token in `HEADSTART_TOKEN`.
    Subscribe(SubscribeArgs),
    /// Measure an edge: connect many subscribers, publish, and count what arrives and how soon
    ///
    /// All subscribers are connected before anything is published. Updates are signed with
    /// `HEADSTART_ORIGIN_KEY` and sent to the edge directly; private topics are opened by the token in
    /// `HEADSTART_TOKEN`. Ends with status 1 when an update was lost, came twice or came after a later
    /// one. With a rate, times count from when an update was due, so that a slow edge cannot hide.
    Load(LoadArgs),
    /// Make a token that opens private topics, and print it
    ///
    /// It is signed with the key in `HEADSTART_TOKEN_KEY`, or in the file that
    /// `secrets.token_key_file` names: one of the edges' `TOKEN_KEYS`. Whoever has the token has what it opens, until it ends.
    Token(TokenArgs),
    /// Look at the configuration
    Config(ConfigCommand),
    /// Make keys
    Keys(KeysCommand),
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What is configured.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// The configuration's layers that every command with a configuration has.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Configuration file; without it `headstart.toml`, where there is one
    #[arg(long, value_name = "FILE", env = "HEADSTART_CONFIG")]
    pub config: Option<PathBuf>,
    /// Any value by its path in the file, such as `edges.0.kv.account_id=abc`; repeatable
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = path_and_value)]
    pub set: Vec<(String, String)>,
}

impl ConfigFile {
    /// Loads the configuration: `flags` go before everything but --set.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(
        &self,
        environment: &Environment,
        mut flags: Vec<Override>,
    ) -> Result<Loaded, ConfigError> {
        flags.extend(self.set.iter().map(|(path, value)| Override {
            path: path.clone(),
            value: value.clone(),
            flag: "--set".to_owned(),
        }));
        config::load(self.config.as_deref(), environment, &flags)
    }
}

/// The configuration of a command that has an outbox.
#[derive(Debug, Args)]
pub struct ConfigLayers {
    /// The file.
    #[command(flatten)]
    pub file: ConfigFile,
    /// This origin's name [origin.name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// File of the outbox [outbox.path]
    #[arg(long, value_name = "FILE")]
    pub outbox: Option<PathBuf>,
}

impl ConfigLayers {
    /// Loads the configuration, with `more` flags of a command's own.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(
        &self,
        environment: &Environment,
        more: impl IntoIterator<Item = Override>,
    ) -> Result<Loaded, ConfigError> {
        let named = [
            flag("origin.name", "--name", self.name.clone()),
            flag("outbox.path", "--outbox", self.outbox.as_deref().map(text)),
        ];
        let flags = named.into_iter().flatten().chain(more).collect();
        self.file.load(environment, flags)
    }
}

/// A flag that stands for a value of the configuration, where it is given.
fn flag(path: &str, name: &str, value: Option<String>) -> Option<Override> {
    Some(Override {
        path: path.to_owned(),
        value: value?,
        flag: name.to_owned(),
    })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Where the configuration comes from. Flags go before the environment, that before the file.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// What every command has.
    #[command(flatten)]
    pub layers: ConfigLayers,
    /// URL of the first edge [edges.0.url]
    #[arg(long, value_name = "URL")]
    pub edge_url: Option<String>,
    /// Purchase history to learn from [generate.history]
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// How much work one offer is [generate.effort]
    #[arg(long, value_name = "N")]
    pub effort: Option<u32>,
    /// Offers generated at the same time, 0 for one on each core [generate.workers]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Address to listen on for logins [listen.addr]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Who may log in at the listener, `signed` or `open` [listen.auth]
    #[arg(long, value_name = "AUTH")]
    pub listen_auth: Option<String>,
}

impl ConfigArgs {
    /// Loads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(&self, environment: &Environment) -> Result<Loaded, ConfigError> {
        let named = [
            flag("edges.0.url", "--edge-url", self.edge_url.clone()),
            flag(
                "generate.history",
                "--history",
                self.history.as_deref().map(text),
            ),
            flag(
                "generate.effort",
                "--effort",
                self.effort.map(|effort| effort.to_string()),
            ),
            flag(
                "generate.workers",
                "--workers",
                self.workers.map(|workers| workers.to_string()),
            ),
            flag(
                "listen.addr",
                "--listen",
                self.listen.map(|addr| addr.to_string()),
            ),
            flag("listen.auth", "--listen-auth", self.listen_auth.clone()),
        ];
        self.layers.load(environment, named.into_iter().flatten())
    }
}

/// Arguments of `config`.
#[derive(Debug, Args)]
pub struct ConfigCommand {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigSubcommand,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigSubcommand {
    /// Check it, and print what counts in the end and where each value came from; secrets are masked
    Check(ConfigArgs),
}

/// Arguments of `keys`.
#[derive(Debug, Args)]
pub struct KeysCommand {
    /// What to do with keys.
    #[command(subcommand)]
    pub command: KeysSubcommand,
}

/// What to do with keys.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum KeysSubcommand {
    /// Print a new random key, fit for tickets, origins, logins and tokens
    New,
}

fn path_and_value(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    if path.is_empty() {
        return Err("the name before = is empty".to_owned());
    }
    Ok((path.to_owned(), value.to_owned()))
}
