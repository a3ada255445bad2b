//! Arguments that several commands take, and how they are read.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use origin_publisher::config::{self, ConfigError, Environment, Loaded, Override};
use url::Url;

/// Where an edge is, where nothing else is said: that of `make dev`.
pub const DEFAULT_EDGE: &str = "http://127.0.0.1:8787";

const CHECK_EXAMPLES: &str = "\
Examples:
  origin-publisher config check --config origin.toml
  origin-publisher config check --config origin.toml --connect --json";

const VERIFY_EXAMPLES: &str = "\
Examples:
  origin-publisher outbox verify --config origin.toml
  origin-publisher outbox verify --outbox outbox.sqlite3.publish-1 --json";

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

/// The edge of a command that speaks to one.
#[derive(Debug, Args)]
pub struct EdgeArg {
    /// The edge
    #[arg(
        long = "edge",
        value_name = "URL",
        env = "HEADSTART_EDGE_URL",
        default_value = DEFAULT_EDGE,
        value_parser = http_url
    )]
    pub url: Url,
}

/// Parses the URL of an edge or an origin.
///
/// # Errors
/// A sentence that says what it must be like.
pub fn http_url(text: &str) -> Result<Url, String> {
    config::http_url(text)
        .ok_or_else(|| format!("must be like {DEFAULT_EDGE} or https://edge.example"))
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
    /// Loads the configuration.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(&self, environment: &Environment) -> Result<Loaded, ConfigError> {
        self.load_with(environment, Vec::new())
    }

    fn load_with(
        &self,
        environment: &Environment,
        flags: Vec<Override>,
    ) -> Result<Loaded, ConfigError> {
        config::load(self.config.as_deref(), environment, &self.with_set(flags))
    }

    /// Returns `flags`, and after them --set, which goes before everything.
    fn with_set(&self, mut flags: Vec<Override>) -> Vec<Override> {
        flags.extend(self.set.iter().map(|(path, value)| Override {
            path: path.clone(),
            value: value.clone(),
            flag: "--set".to_owned(),
        }));
        flags
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
        self.file.load_with(environment, self.flags(more))
    }

    fn flags(&self, more: impl IntoIterator<Item = Override>) -> Vec<Override> {
        let named = [
            flag("origin.name", "--name", self.name.clone()),
            flag("outbox.path", "--outbox", self.outbox.as_deref().map(text)),
        ];
        named.into_iter().flatten().chain(more).collect()
    }
}

/// Returns a flag that stands for a value of the configuration, where it is given.
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
    /// Purchase history to learn from [generate.retail.history]
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// How much work one offer is [generate.retail.effort]
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
        self.layers.load(environment, self.flags())
    }

    /// Returns what is right of the configuration, and everything that is wrong.
    pub fn examine(&self, environment: &Environment) -> (Option<Loaded>, Vec<ConfigError>) {
        let file = &self.layers.file;
        let flags = file.with_set(self.layers.flags(self.flags()));
        config::examine(file.config.as_deref(), environment, &flags)
    }

    fn flags(&self) -> impl Iterator<Item = Override> {
        let named = [
            flag("edges.0.url", "--edge-url", self.edge_url.clone()),
            flag(
                "generate.retail.history",
                "--history",
                self.history.as_deref().map(text),
            ),
            flag(
                "generate.retail.effort",
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
        named.into_iter().flatten()
    }
}

/// Arguments of `config check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Ask the edges and their KV, too
    #[arg(long)]
    pub connect: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// What is configured.
    #[command(flatten)]
    pub config: ConfigArgs,
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
    ///
    /// Checks all that `serve` would refuse: every value, the secrets, the purchase history, the outbox,
    /// the address to listen on; everything wrong is told at once. With --connect also whether each edge
    /// and its KV can be reached and know this origin's keys, and whether both sides agree on the life of
    /// tickets and on the time. Nothing is changed by it.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
}

/// Arguments of `outbox verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// What is configured.
    #[command(flatten)]
    pub config: ConfigLayers,
}

/// Arguments of `outbox`.
#[derive(Debug, Args)]
pub struct OutboxCommand {
    /// What to do with it.
    #[command(subcommand)]
    pub command: OutboxSubcommand,
}

/// What to do with the outbox.
#[derive(Debug, Subcommand)]
pub enum OutboxSubcommand {
    /// Verify that its file is whole, and print what waits in it; ends with status 1 when it is damaged
    ///
    /// Reads all of it, which takes seconds for each gigabyte. Nothing is changed by it, and the origin may
    /// go on meanwhile. --outbox names another file, such as one of `publish`.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
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
    New {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

fn path_and_value(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    if path.is_empty() {
        return Err("the name before = is empty".to_owned());
    }
    Ok((path.to_owned(), value.to_owned()))
}
