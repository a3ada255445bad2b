//! The command line: what can be said, and how it is explained.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use origin_publisher::config::Override;

use crate::commands::login::LoginArgs;

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

/// Where the configuration comes from. Flags go before the environment, that before the file.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Configuration file; without it `headstart.toml`, where there is one
    #[arg(long, value_name = "FILE", env = "HEADSTART_CONFIG")]
    pub config: Option<PathBuf>,
    /// Any value by its path in the file, such as `edges.0.kv.account_id=abc`; repeatable
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = path_and_value)]
    pub set: Vec<(String, String)>,
    /// This origin's name [origin.name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
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
    /// File of the outbox [outbox.path]
    #[arg(long, value_name = "FILE")]
    pub outbox: Option<PathBuf>,
    /// Address to listen on for logins [listen.addr]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Who may log in at the listener, `signed` or `open` [listen.auth]
    #[arg(long, value_name = "AUTH")]
    pub listen_auth: Option<String>,
}

impl ConfigArgs {
    /// The flags as overrides, in the order in which they count.
    pub fn overrides(&self) -> Vec<Override> {
        let named = [
            ("origin.name", "--name", self.name.clone()),
            ("edges.0.url", "--edge-url", self.edge_url.clone()),
            (
                "generate.history",
                "--history",
                self.history.as_ref().map(|path| path.display().to_string()),
            ),
            (
                "generate.effort",
                "--effort",
                self.effort.map(|effort| effort.to_string()),
            ),
            (
                "generate.workers",
                "--workers",
                self.workers.map(|workers| workers.to_string()),
            ),
            (
                "outbox.path",
                "--outbox",
                self.outbox.as_ref().map(|path| path.display().to_string()),
            ),
            (
                "listen.addr",
                "--listen",
                self.listen.map(|addr| addr.to_string()),
            ),
            ("listen.auth", "--listen-auth", self.listen_auth.clone()),
        ];
        let named = named.into_iter().filter_map(|(path, flag, value)| {
            Some(Override {
                path: path.to_owned(),
                value: value?,
                flag: flag.to_owned(),
            })
        });
        let set = self.set.iter().map(|(path, value)| Override {
            path: path.clone(),
            value: value.clone(),
            flag: "--set".to_owned(),
        });
        named.chain(set).collect()
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
    /// Print a new random key, fit for tickets, origins and logins
    New,
}

fn path_and_value(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    if path.is_empty() {
        return Err("the name before = is empty".to_owned());
    }
    Ok((path.to_owned(), value.to_owned()))
}
