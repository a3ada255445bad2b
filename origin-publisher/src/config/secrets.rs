//! Keys and tokens: read from the environment or from files, shown nowhere.

use std::path::Path;

use headstart_client::token::Token;
use headstart_protocol::keys::KeyRing;

use super::{Auth, Config, ConfigError, Environment, values::variable};

/// Longest secret file, in bytes: some keys with room to spare. Anything longer is the wrong file.
const MAX_FILE_BYTES: u64 = 16 * 1024;

/// A secret and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// The secret.
    pub value: T,
    /// The variable or file.
    pub from: String,
}

/// The secrets of one edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeSecrets {
    /// Signs what is sent to it.
    pub key: Found<KeyRing>,
    /// Token for its KV API; `None` for an edge without KV.
    pub api_token: Option<Found<Token>>,
}

/// Every secret of a configuration that `serve` runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Keys of tickets.
    pub ticket: Found<KeyRing>,
    /// Keys of logins; `None` where nothing needs them.
    pub login: Option<Found<KeyRing>>,
    /// Keys of tokens; `None` where there are none. Only the `token` command needs them.
    pub token: Option<Found<KeyRing>>,
    /// Those of each edge, in the order of the configuration.
    pub edges: Vec<EdgeSecrets>,
}

impl Secrets {
    /// Reads every secret that this configuration needs.
    ///
    /// # Errors
    /// [`ConfigError::Secret`], naming everything that is missing or malformed, and no secret.
    pub fn read(config: &Config, environment: &Environment) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut note = |problem: String| problems.push(problem);
        let files = &config.secrets;
        let ticket = required(
            keys(
                environment,
                "secrets.ticket_key",
                files.ticket_key_file.as_deref(),
            ),
            "secrets.ticket_key",
            &mut note,
        );
        let login = login_keys(config, environment).unwrap_or_else(|problem| {
            note(problem);
            None
        });
        if login.is_none() && config.listen.addr.is_some() && config.listen.auth == Auth::Signed {
            note(format!(
                "{}: missing; logins to the listener are signed (listen.auth)",
                variable("secrets.login_key")
            ));
        }
        let token_keys = token_keys(config, environment).unwrap_or_else(|problem| {
            note(problem);
            None
        });
        let mut edges = Vec::new();
        for (index, edge) in config.edges.iter().enumerate() {
            let key = edge_key(config, environment, index);
            let key = required(key, "secrets.origin_key", &mut note);
            let api_token = edge.kv.as_ref().and_then(|kv| {
                let path = format!("edges.{index}.kv.api_token");
                let token = token(environment, &path, kv.api_token_file.as_deref())
                    .transpose()
                    .or_else(|| {
                        token(
                            environment,
                            "secrets.api_token",
                            files.api_token_file.as_deref(),
                        )
                        .transpose()
                    })
                    .transpose();
                required(token, "secrets.api_token", &mut note)
            });
            if let Some(key) = key {
                edges.push(EdgeSecrets { key, api_token });
            }
        }
        match ticket {
            Some(ticket) if problems.is_empty() => Ok(Self {
                ticket,
                login,
                token: token_keys,
                edges,
            }),
            _ => {
                problems.dedup();
                Err(ConfigError::Secret(problems.join("\n")))
            }
        }
    }
}

/// Returns the keys of logins, where there are any.
///
/// # Errors
/// A sentence on what is wrong with them, without them.
pub fn login_keys(
    config: &Config,
    environment: &Environment,
) -> Result<Option<Found<KeyRing>>, String> {
    keys(
        environment,
        "secrets.login_key",
        config.secrets.login_key_file.as_deref(),
    )
}

/// Returns the keys of tokens, where there are any.
///
/// # Errors
/// A sentence on what is wrong with them, without them.
pub fn token_keys(
    config: &Config,
    environment: &Environment,
) -> Result<Option<Found<KeyRing>>, String> {
    keys(
        environment,
        "secrets.token_key",
        config.secrets.token_key_file.as_deref(),
    )
}

/// Returns the key that each edge knows this origin by, in the order of the configuration.
///
/// # Errors
/// [`ConfigError::Secret`], naming everything that is missing or malformed, and no secret.
pub fn edge_keys(
    config: &Config,
    environment: &Environment,
) -> Result<Vec<Found<KeyRing>>, ConfigError> {
    let mut problems = Vec::new();
    let keys = (0..config.edges.len())
        .filter_map(|index| {
            let key = edge_key(config, environment, index);
            required(key, "secrets.origin_key", &mut |problem| {
                problems.push(problem);
            })
        })
        .collect();
    if problems.is_empty() {
        return Ok(keys);
    }
    problems.dedup();
    Err(ConfigError::Secret(problems.join("\n")))
}

/// Returns the key that the edge with this number knows this origin by: its own, or the common one.
fn edge_key(
    config: &Config,
    environment: &Environment,
    index: usize,
) -> Result<Option<Found<KeyRing>>, String> {
    let path = format!("edges.{index}.key");
    let file = config
        .edges
        .get(index)
        .and_then(|edge| edge.key_file.as_deref());
    if let Some(own) = keys(environment, &path, file)? {
        return Ok(Some(own));
    }
    origin_keys(config, environment)
}

/// Returns the key that edges without one of their own know this origin by, where there is one.
///
/// # Errors
/// A sentence on what is wrong with it, without it.
pub fn origin_keys(
    config: &Config,
    environment: &Environment,
) -> Result<Option<Found<KeyRing>>, String> {
    keys(
        environment,
        "secrets.origin_key",
        config.secrets.origin_key_file.as_deref(),
    )
}

/// Returns a secret that a command cannot do without.
///
/// # Errors
/// [`ConfigError::Secret`], where it is missing or malformed.
pub fn needed<T>(
    found: Result<Option<Found<T>>, String>,
    path: &str,
) -> Result<Found<T>, ConfigError> {
    found
        .and_then(|found| found.ok_or_else(|| missing(path)))
        .map_err(ConfigError::Secret)
}

fn missing(path: &str) -> String {
    let name = variable(path);
    format!(
        "{name}: missing; set it, or name a file with {name}_FILE (beside `make dev`: source scripts/activate.sh)"
    )
}

fn required<T>(
    found: Result<Option<T>, String>,
    path: &str,
    note: &mut impl FnMut(String),
) -> Option<T> {
    match found {
        Ok(Some(found)) => return Some(found),
        Ok(None) => note(missing(path)),
        Err(problem) => note(problem),
    }
    None
}

fn keys(
    environment: &Environment,
    path: &str,
    file: Option<&Path>,
) -> Result<Option<Found<KeyRing>>, String> {
    read(environment, path, file)?
        .map(|Found { value, from }| match KeyRing::parse(&value) {
            Ok(value) => Ok(Found { value, from }),
            Err(error) => Err(format!("{from}: {error}")),
        })
        .transpose()
}

fn token(
    environment: &Environment,
    path: &str,
    file: Option<&Path>,
) -> Result<Option<Found<Token>>, String> {
    read(environment, path, file)?
        .map(|Found { value, from }| match Token::new(&value) {
            Some(value) => Ok(Found { value, from }),
            None => Err(format!(
                "{from}: a token is made of visible ASCII characters"
            )),
        })
        .transpose()
}

/// Returns the text of a secret: of its variable, else of its file.
fn read(
    environment: &Environment,
    path: &str,
    file: Option<&Path>,
) -> Result<Option<Found<String>>, String> {
    let name = variable(path);
    if let Some(value) = environment.get(&name).filter(|value| !value.is_empty()) {
        return Ok(Some(Found {
            value: value.clone(),
            from: name,
        }));
    }
    let Some(file) = file else {
        return Ok(None);
    };
    let failed = |reason: String| format!("{}: {reason}", file.display());
    let size = std::fs::metadata(file)
        .map_err(|error| failed(error.to_string()))?
        .len();
    if size > MAX_FILE_BYTES {
        return Err(failed(format!(
            "larger than {MAX_FILE_BYTES} bytes, so it is no secret of ours"
        )));
    }
    let value = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    Ok(Some(Found {
        value,
        from: file.display().to_string(),
    }))
}
