//! The command line: what can be said, and how it is explained.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use origin_publisher::config::{self, ConfigError, Environment, Loaded, Override};
use url::Url;

use crate::commands::{
    load::LoadArgs, login::LoginArgs, publish::PublishArgs, subscribe::SubscribeArgs,
    token::TokenArgs,
};

/// Where an edge is, where nothing else is said: that of `make dev`.
pub const DEFAULT_EDGE: &str = "http://127.0.0.1:8787";

/// What every command has in common, at the end of the program's help.
const CONVENTIONS: &str = "\
Exit status: 0 when all went well, 1 when something failed, 2 when the command line is wrong. A reader
of standard output that goes away, as head does, ends a command with 0, quietly.

The log goes to standard error. Its colours follow NO_COLOR, CLICOLOR and CLICOLOR_FORCE.";

const SERVE_EXAMPLES: &str = "\
Examples:
  origin-publisher serve --config origin.toml
  origin-publisher serve --edge-url https://edge.example --listen 127.0.0.1:8788";

const LOGIN_EXAMPLES: &str = "\
Examples:
  origin-publisher login 40228
  origin-publisher login 40228 --way sse,polling --repeat 50
  origin-publisher login 40228 --edge https://edge.example --attribute max_items=8 --json";

const PUBLISH_EXAMPLES: &str = "\
Examples:
  origin-publisher publish --topic scores/nba --data '{\"home\": 71}'
  tail -f scores.jsonl | origin-publisher publish --topic scores/nba
  origin-publisher publish --topic scores/nba --file score.json --give-up 30 --json";

const SUBSCRIBE_EXAMPLES: &str = "\
Examples:
  origin-publisher subscribe scores/nba --latest
  origin-publisher subscribe scores/nba weather/oslo --since scores/nba=42 --json
  HEADSTART_TOKEN=... origin-publisher subscribe private/desk-7 --transport sse";

const LOAD_EXAMPLES: &str = "\
Examples:
  origin-publisher load --subscribers 1000 --transport ws
  origin-publisher load --updates 50 --rate 5 --edge https://edge.example --json";

const TOKEN_EXAMPLES: &str = "\
Examples:
  origin-publisher token --topics 'private/desk-7/*' --ttl 1h
  origin-publisher token --topics private/a,private/b --publish private/a --subject 40228";

const CHECK_EXAMPLES: &str = "\
Examples:
  origin-publisher config check --config origin.toml
  origin-publisher config check --config origin.toml --connect --json";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  origin-publisher completions bash >~/.local/share/bash-completion/completions/origin-publisher
  origin-publisher completions fish >~/.config/fish/completions/origin-publisher.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  origin-publisher man | man -l -
  origin-publisher man ~/.local/share/man/man1";

/// Generates content when a user logs in, and positions it at the edge before it is asked for.
#[derive(Debug, Parser)]
#[command(version = env!("HEADSTART_VERSION"), about, max_term_width = 100, after_help = CONVENTIONS)]
pub struct Cli {
    /// How the log on standard error is written: `human` or `json`
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Human,
        help_heading = "Global", hide_possible_values = true)]
    pub log_format: LogFormat,
    /// How much is logged: `error`, `warn`, `info` or `debug`
    #[arg(long, global = true, value_enum, value_name = "LEVEL", default_value_t = LogLevel::Info,
        env = "HEADSTART_LOG", help_heading = "Global", hide_possible_values = true)]
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
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArgs),
    /// Log a user in at an edge, tell the story, and compare the ways to receive the offer
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(LoginArgs),
    /// Publish updates of a topic, and wait until every edge has them
    ///
    /// Each update is durable before it is sent: what an interrupted run leaves, the next one delivers.
    /// Without --data and --file every line of standard input is an update, published as it comes. For
    /// each update, prints its id and what the edges said of it.
    ///
    /// Until then updates are kept beside the outbox that is configured ([outbox] path, or --outbox), in
    /// files named after it with `.publish-1` and so on; where none is, in
    /// `$XDG_STATE_HOME/headstart/`, that is `~/.local/state/headstart/`.
    ///
    /// An edge that is away is tried again, for --give-up seconds where that is given. What no trying
    /// again heals, such as a key that the edge does not know, ends it at once.
    #[command(after_help = PUBLISH_EXAMPLES)]
    Publish(PublishArgs),
    /// Follow topics, and print every update with its times
    ///
    /// A connection that breaks is opened again, and goes on where it was: no update is printed twice,
    /// and what is missing is told as a gap. Differences between two clocks are marked with ~. Private
    /// topics are opened by the token in `HEADSTART_TOKEN`.
    #[command(after_help = SUBSCRIBE_EXAMPLES)]
    Subscribe(SubscribeArgs),
    /// Measure an edge: connect many subscribers, publish, and count what arrives and how soon
    ///
    /// All subscribers are connected before anything is published. Updates are signed with
    /// `HEADSTART_ORIGIN_KEY` and sent to the edge directly; private topics are opened by the token in
    /// `HEADSTART_TOKEN`. Ends with status 1 when an update was lost, came twice or came after a later
    /// one. With a rate, times count from when an update was due, so that a slow edge cannot hide.
    #[command(after_help = LOAD_EXAMPLES)]
    Load(LoadArgs),
    /// Make a token that opens private topics, and print it
    ///
    /// It is signed with the key in `HEADSTART_TOKEN_KEY`, or in the file that
    /// `secrets.token_key_file` names: one of the edges' `TOKEN_KEYS`. Whoever has the token has what it opens, until it ends.
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(TokenArgs),
    /// Look at the configuration
    Config(ConfigCommand),
    /// Make keys
    Keys(KeysCommand),
    /// Print what completes this program's commands in a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one for every command into a folder
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The folder; made where it is missing
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
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

/// The URL of an edge or an origin.
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

    /// `flags`, and after them --set, which goes before everything.
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
        self.layers.load(environment, self.flags())
    }

    /// What is right of the configuration, and everything that is wrong.
    pub fn examine(&self, environment: &Environment) -> (Option<Loaded>, Vec<ConfigError>) {
        let file = &self.layers.file;
        let flags = file.with_set(self.layers.flags(self.flags()));
        config::examine(file.config.as_deref(), environment, &flags)
    }

    fn flags(&self) -> impl Iterator<Item = Override> {
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
        named.into_iter().flatten()
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
    ///
    /// Checks all that `serve` would refuse: every value, the secrets, the purchase history, the outbox,
    /// the address to listen on; everything wrong is told at once. With --connect also whether each edge
    /// and its KV can be reached and know this origin's keys, and whether both sides agree on the life of
    /// tickets and on the time. Nothing is changed by it.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
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
