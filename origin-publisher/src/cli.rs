//! The command line: what can be said, and how it is explained.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    arguments::{ConfigCommand, KeysCommand, LogFormat, LogLevel, OutboxCommand, ServeArgs},
    commands::{
        load::LoadArgs, login::LoginArgs, publish::PublishArgs, subscribe::SubscribeArgs,
        token::TokenArgs,
    },
};

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
    /// Look into the outbox
    Outbox(OutboxCommand),
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
