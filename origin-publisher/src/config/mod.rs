//! Configuration: one documented struct, read from one TOML file, overridden by the environment,
//! overridden by flags. Secrets come from the environment or from files, and from nowhere else.
//!
//! | question | file |
//! |---|---|
//! | What can be configured, and what if it is not? | this one |
//! | Under which name in file, environment and flags? | [`values`] |
//! | How do the layers make one configuration? | [`layers`] |
//! | Where do keys and tokens come from? | [`secrets`] |
//! | What is a share of a budget? | `share.rs` |
//! | Which configurations make no sense? | `validate.rs` |
//! | How is the effective configuration shown? | [`show`] |

pub mod layers;
pub mod secrets;
mod share;
pub mod show;
mod validate;
pub mod values;

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use headstart_protocol::ticket::TicketTimes;
use serde::{Deserialize, Serialize};
use url::Url;

pub use layers::{Environment, Loaded, Override};
pub use secrets::Secrets;
pub use share::Share;

/// Why a configuration is not accepted. Never repeats what may be a secret in the wrong place.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path}, line {line}: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// One value is not what it must be.
    #[error("{key} ({source_name}): {reason}")]
    Value {
        /// The value's path, such as `generate.queue`.
        key: String,
        /// Where the value came from.
        source_name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such value.
    #[error("{key} ({source_name}): there is no such setting; {hint}")]
    Unknown {
        /// The path that was written.
        key: String,
        /// Where it was written.
        source_name: String,
        /// What there is instead.
        hint: String,
    },
    /// The value has another name now.
    #[error("{key} ({source_name}): is {now} now, as a variable {variable}")]
    Moved {
        /// The path that was written.
        key: String,
        /// Where it was written.
        source_name: String,
        /// The path to use instead.
        now: &'static str,
        /// The variable of that path.
        variable: String,
    },
    /// A secret stands where only settings belong.
    #[error(
        "{key} ({source_name}): secrets are read only from the environment or from files; set {variable}, or name a file with {file_key}"
    )]
    SecretInFile {
        /// The path that was written.
        key: String,
        /// Where it was written.
        source_name: String,
        /// The variable to use instead.
        variable: String,
        /// The setting that names a file instead.
        file_key: String,
    },
    /// A value is possible, but makes no sense, alone or beside the others.
    #[error("{0}")]
    Senseless(String),
    /// A secret is missing or malformed.
    #[error("{0}")]
    Secret(String),
    /// Several of these.
    #[error("{}", lines(.0))]
    Several(Vec<ConfigError>),
}

fn lines(errors: &[ConfigError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

impl ConfigError {
    /// Returns the value that is wrong, where it is one.
    fn key(&self) -> Option<&str> {
        match self {
            Self::Value { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// All that can be configured. Every value has a default that works, except where the edges are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// This origin.
    pub origin: OriginConfig,
    /// How offers are generated.
    pub generate: GenerateConfig,
    /// Where settlements are kept until they are delivered.
    pub outbox: OutboxConfig,
    /// The tickets that all edges and origins of one deployment share.
    pub tickets: TicketsConfig,
    /// Updates of topics.
    pub updates: UpdatesConfig,
    /// The HTTP listener.
    pub listen: ListenConfig,
    /// The KV API's limits.
    pub kv: KvBudgetConfig,
    /// Files that hold secrets.
    pub secrets: SecretFiles,
    /// The edges to link to and deliver to.
    pub edges: Vec<EdgeConfig>,
}

/// `[origin]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OriginConfig {
    /// Names this origin in events (`source` is `/origin/<name>`) and in logs: 1 to 64 of
    /// `A-Z a-z 0-9 . _ -`. Several origins of one deployment need different names.
    pub name: String,
    /// How long a shutdown may take to finish, or hand back, what is in work, in seconds. Three more are for
    /// what is not delivered yet.
    pub grace_seconds: u64,
}

impl Default for OriginConfig {
    fn default() -> Self {
        Self {
            name: "origin".to_owned(),
            grace_seconds: 10,
        }
    }
}

impl OriginConfig {
    /// Returns the `source` of every event of this origin.
    #[must_use]
    pub fn source(&self) -> String {
        format!("/origin/{}", self.name)
    }

    /// Returns how long a shutdown may take.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }
}

/// `[generate]`: what every generator needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateConfig {
    /// Offers generated at the same time; 0 means one for each core.
    pub workers: usize,
    /// Logins that may wait for a worker; more are handed back to the edge.
    pub queue: usize,
    /// Longest time for one offer, its waiting in the queue included, in milliseconds. After it the
    /// ticket settles as failed.
    pub timeout_ms: u64,
    /// The program's own generator.
    pub retail: RetailConfig,
}

impl Default for GenerateConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            queue: 64,
            timeout_ms: 10_000,
            retail: RetailConfig::default(),
        }
    }
}

impl GenerateConfig {
    /// Returns how many workers `workers` means on this machine.
    #[must_use]
    pub fn threads(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers,
        }
    }

    /// Returns the longest time for one offer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// `[generate.retail]`: what the retail generator needs. An origin with a generator of its own does not
/// read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetailConfig {
    /// The purchase history to learn from: CSV with the columns of the UCI "Online Retail" data set.
    /// Without it, the small sample that comes with the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<PathBuf>,
    /// How much work one offer is; its time grows in proportion.
    pub effort: NonZeroU32,
    /// The most effort that a login may ask for with its attribute `effort`. Without it none may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort_limit: Option<NonZeroU32>,
}

impl Default for RetailConfig {
    fn default() -> Self {
        Self {
            history: None,
            effort: NonZeroU32::MIN.saturating_add(3),
            effort_limit: None,
        }
    }
}

/// `[outbox]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboxConfig {
    /// The `SQLite` file. Each origin needs its own, on a disk of its own machine.
    pub path: PathBuf,
    /// Most bytes that may wait for one edge. Where more do, because it is away or too slow, its oldest
    /// deliveries are dropped, and no other edge loses any. It is looked at every ten seconds.
    pub max_bytes_per_edge: u64,
    /// Least bytes that are to stay free on its disk: below that no logins are taken, until a quarter more is
    /// free; what is held is finished. 0 takes them until nothing can be written.
    pub min_free_bytes: u64,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            path: "outbox.sqlite3".into(),
            max_bytes_per_edge: 1 << 30,
            // The write-ahead log alone has 16 MiB, and the largest offer 25.
            min_free_bytes: 64 << 20,
        }
    }
}

/// `[tickets]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TicketsConfig {
    /// How long a ticket lives, in seconds. Must be what the edges have as `TICKET_TTL_SECONDS`.
    pub ttl_seconds: u64,
}

impl Default for TicketsConfig {
    fn default() -> Self {
        Self { ttl_seconds: 3600 }
    }
}

impl TicketsConfig {
    /// Returns the rule as the protocol has it. How long a ticket is young matters only to edges.
    #[must_use]
    pub fn times(&self) -> TicketTimes {
        TicketTimes {
            ttl_ms: self.ttl_seconds.saturating_mul(1000),
            young_ms: 0,
        }
    }
}

/// `[updates]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpdatesConfig {
    /// How long an update is of use to anyone, in seconds. One that an edge has not taken by then is
    /// dropped.
    pub ttl_seconds: u64,
}

impl Default for UpdatesConfig {
    fn default() -> Self {
        Self { ttl_seconds: 3600 }
    }
}

impl UpdatesConfig {
    /// Returns how long an update is of use to anyone.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds)
    }
}

/// Who may send a login.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Whoever signs it with a login key: a site's backend or identity provider.
    #[default]
    Signed,
    /// Anyone, naming anyone. For a laptop and demos only.
    Open,
}

/// `[listen]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenConfig {
    /// Address to listen on, such as `127.0.0.1:8788`. Without it nothing listens: logins come over
    /// the links only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addr: Option<SocketAddr>,
    /// Who may send a login: `signed` or `open`.
    pub auth: Auth,
}

/// `[kv]`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KvBudgetConfig {
    /// This origin's share of the calls that the provider allows an account, above 0 and at most 1. The
    /// shares of all origins with one account together must not be more than 1.
    pub share: Share,
}

/// `[secrets]`: names of files, one secret in each. The variable of the same name without `_FILE`
/// (such as `HEADSTART_TICKET_KEY`) goes before the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretFiles {
    /// Key, or keys, that edges know this origin by (their `ORIGIN_KEYS`). The first signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_key_file: Option<PathBuf>,
    /// Key, or keys, of tickets (the edges' `TICKET_KEY`). The first mints, all verify.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_key_file: Option<PathBuf>,
    /// Key, or keys, that logins are signed with (the edges' `LOGIN_KEYS`): the listener verifies
    /// with all, the `login` command signs with the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_key_file: Option<PathBuf>,
    /// Key, or keys, that tokens for private topics are signed with (the edges' `TOKEN_KEYS`): the
    /// `token` command signs with the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_key_file: Option<PathBuf>,
    /// Token for the KV API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_token_file: Option<PathBuf>,
}

/// `[[edges]]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EdgeConfig {
    /// Names the edge in the outbox and in logs; without it, host and port of `url`. Renaming an edge
    /// makes it another one: what the outbox still holds for the old name is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is: `https://...`, or `http://...` for a laptop.
    pub url: Url,
    /// File with the key that this edge knows this origin by, where it differs from the others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Its KV namespace. Without it, offers reach this edge as events only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv: Option<KvConfig>,
}

impl EdgeConfig {
    /// Returns the edge's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let host = self.url.host_str().unwrap_or("edge");
            match self.url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            }
        })
    }

    /// Returns the URL of a path at this edge. The path begins with a slash.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }
}

/// `[edges.kv]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvConfig {
    /// Base of the REST API. `wrangler dev` serves the same at `<edge>/cdn-cgi/explorer/api`.
    #[serde(default = "KvConfig::default_api")]
    pub api: Url,
    /// The account that the namespace is in. Without it the API's paths have no account, as those
    /// of `wrangler dev`, which knows only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The namespace.
    pub namespace_id: String,
    /// File with the token for this API, where it differs from the others'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_token_file: Option<PathBuf>,
}

impl KvConfig {
    /// Returns the provider's own API.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the text is a constant and is a URL"
    )]
    #[must_use]
    pub fn default_api() -> Url {
        Url::parse("https://api.cloudflare.com/client/v4").expect("a URL")
    }
}

/// The file that is read when none is named: it need not be there.
pub const DEFAULT_FILE: &str = "headstart.toml";

/// Loads the configuration: `file` (or [`DEFAULT_FILE`] where it exists), then the environment, then
/// `overrides`, and checks that it makes sense.
///
/// # Errors
/// [`ConfigError`], with everything that is wrong.
pub fn load(
    file: Option<&Path>,
    environment: &Environment,
    overrides: &[Override],
) -> Result<Loaded, ConfigError> {
    let (loaded, mut problems) = examine(file, environment, overrides);
    match loaded {
        Some(loaded) if problems.is_empty() => Ok(loaded),
        _ if problems.len() == 1 => Err(problems.remove(0)),
        _ => Err(ConfigError::Several(problems)),
    }
}

/// Loads as [`load`] does, but returns what is wrong beside what is right: values that are wrong have
/// their defaults. There is no configuration where the file cannot be read at all.
#[must_use]
pub fn examine(
    file: Option<&Path>,
    environment: &Environment,
    overrides: &[Override],
) -> (Option<Loaded>, Vec<ConfigError>) {
    let default = Path::new(DEFAULT_FILE);
    let file = file.or_else(|| default.exists().then_some(default));
    let (loaded, mut problems) = layers::load(file, environment, overrides);
    if let Some(loaded) = &loaded {
        let mut senseless = validate::problems(&loaded.config);
        // What is wrong already need not make sense.
        senseless.retain(|sentence| {
            let path = sentence.split(' ').next();
            problems.iter().all(|problem| problem.key() != path)
        });
        problems.extend(senseless.into_iter().map(ConfigError::Senseless));
    }
    (loaded, problems)
}

/// Returns the URL of an edge, an origin or an API; `None` for a text that is none: it begins with
/// `http(s)://host`, and has no user, query or fragment.
#[must_use]
pub fn http_url(text: &str) -> Option<Url> {
    text.parse().ok().filter(validate::is_http)
}

#[cfg(test)]
mod tests;
