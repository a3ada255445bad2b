//! Makes one configuration of its layers: defaults, file, environment, flags. The later goes before
//! the earlier, value by value, and each value remembers where it came from.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use toml::{Table, Value as Toml};

use super::{
    Config, ConfigError,
    values::{self, Kind, MOVED, OTHER_VARIABLES, PREFIX, SECRETS, VALUES},
};

/// Environment variables by name.
pub type Environment = BTreeMap<String, String>;

/// Returns the variables of this process; one that is not UTF-8 cannot be ours.
#[must_use]
pub fn process_environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// A value given by a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Path of the value.
    pub path: String,
    /// Its text.
    pub value: String,
    /// The flag, as the user knows it.
    pub flag: String,
}

/// Where a value came from. Values not in the map have their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The configuration file.
    File(PathBuf),
    /// A variable.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "{name}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

/// A configuration and where its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where each value that is not a default came from, by path.
    pub sources: BTreeMap<String, Source>,
    /// Variables that look like ours and are not: most likely misspelt.
    pub unknown_variables: Vec<String>,
}

/// Reads and lays the layers over each other. What is wrong is left out and told. There is no
/// configuration where the file cannot be read, or what is wrong cannot be left out.
pub(super) fn load(
    file: Option<&Path>,
    environment: &Environment,
    overrides: &[Override],
) -> (Option<Loaded>, Vec<ConfigError>) {
    let (mut problems, mut table) = (Vec::new(), Table::new());
    let mut sources = BTreeMap::new();
    if let Some(path) = file {
        table = match read_file(path) {
            Ok(table) => table,
            Err(error) => return (None, vec![error]),
        };
        let source = Source::File(path.to_owned());
        // From the last on, so that what is left out moves nothing that is still looked at.
        for key in leaves(&table).into_iter().rev() {
            match check_known(&key, &source) {
                Ok(()) => drop(sources.insert(key, source.clone())),
                Err(error) => {
                    leave_out(&mut table, &key);
                    problems.push(error);
                }
            }
        }
        problems.reverse();
    }
    let mut unknown_variables = Vec::new();
    let mut variables = Vec::new();
    for (name, text) in environment {
        if let Some((path, kind)) = value_of_variable(name) {
            variables.push((edge_number(&path), path, kind, name, text));
        } else if let Some((old, _)) = MOVED.iter().find(|(old, _)| values::variable(old) == *name)
        {
            problems.extend(moved(old, &Source::Variable(name.clone())));
        } else if name.starts_with(PREFIX) && !is_known_otherwise(name) {
            unknown_variables.push(name.clone());
        }
    }
    // Edges in their order, since one can only be added after the last.
    variables.sort_by_key(|(number, ..)| *number);
    for (_, path, kind, name, text) in variables {
        let source = Source::Variable(name.clone());
        let parsed = parse(&path, kind, text, &source);
        match parsed.and_then(|value| set(&mut table, &path, value, &source)) {
            Ok(()) => drop(sources.insert(path, source)),
            Err(error) => problems.push(error),
        }
    }
    for Override { path, value, flag } in overrides {
        let source = Source::Flag(flag.clone());
        let kind = kind_of(path).unwrap_or(Kind::Text);
        let parsed = check_known(path, &source).and_then(|()| parse(path, kind, value, &source));
        match parsed.and_then(|value| set(&mut table, path, value, &source)) {
            Ok(()) => drop(sources.insert(path.clone(), source)),
            Err(error) => problems.push(error),
        }
    }
    let Some(config) = read_config(table, &sources, &mut problems) else {
        return (None, problems);
    };
    let loaded = Loaded {
        config,
        sources,
        unknown_variables,
    };
    (Some(loaded), problems)
}

/// Makes the configuration of the values. The parser stops at the first that is wrong, so that one is
/// left out and it begins again.
fn read_config(
    mut table: Table,
    sources: &BTreeMap<String, Source>,
    problems: &mut Vec<ConfigError>,
) -> Option<Config> {
    loop {
        let values = Toml::Table(table.clone());
        let error = match serde_path_to_error::deserialize(values.clone()) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let key = dotted(error.path());
        let reason = error.into_inner().to_string();
        let value = at(&values, &key);
        let is_url = ["edges.*.url", "edges.*.kv.api"]
            .iter()
            .any(|pattern| values::is_of(&key, pattern));
        problems.push(ConfigError::Value {
            source_name: source_of(sources, &key),
            reason: if is_url {
                "must be like https://edge.example".to_owned()
            } else {
                without_secret(&reason, value)
            },
            key: key.clone(),
        });
        if !leave_out(&mut table, &key) {
            return None;
        }
    }
}

/// Takes a value out. An edge is left where it is, so that the others keep their numbers, with a URL that
/// stands for none. False where there is nothing to take out.
fn leave_out(table: &mut Table, path: &str) -> bool {
    let Some((parent, name)) = path.rsplit_once('.') else {
        return table.remove(path).is_some();
    };
    let (edge, name) = if name.bytes().all(|byte| byte.is_ascii_digit()) {
        (path, "url")
    } else {
        (parent, name)
    };
    let mut words = edge.split('.');
    let first = words.next().and_then(|word| table.get_mut(word));
    let parent = words.try_fold(first, |value, word| {
        Some(match value? {
            Toml::Array(items) => items.get_mut(word.parse::<usize>().ok()?),
            value => value.get_mut(word),
        })
    });
    let Some(parent) = parent.flatten().and_then(Toml::as_table_mut) else {
        return false;
    };
    if name == "url" {
        // Of a host that is nobody else's: an edge without a name is named by it.
        let none = Toml::String(format!("http://{edge}.invalid"));
        return parent.insert(name.to_owned(), none.clone()) != Some(none);
    }
    parent.remove(name).is_some()
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::File {
        path: path.to_owned(),
        reason,
    })?;
    text.parse::<Table>().map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(1, |span| {
            text.bytes()
                .take(span.start)
                .filter(|byte| *byte == b'\n')
                .count()
                + 1
        }),
        // The parser's full text shows the line, which may hold a secret.
        reason: without_quoted(error.message().trim()),
    })
}

/// Returns the path of every value in a file. What is empty or of another shape counts as a value of its own,
/// so that its name is checked and its shape is refused by its type.
fn leaves(table: &Table) -> Vec<String> {
    fn walk(prefix: &str, value: &Toml, found: &mut Vec<String>) {
        match value {
            Toml::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    walk(&format!("{prefix}.{name}"), value, found);
                }
            }
            Toml::Array(items) if items.iter().all(Toml::is_table) => {
                for (index, item) in items.iter().enumerate() {
                    walk(&format!("{prefix}.{index}"), item, found);
                }
            }
            _ => found.push(prefix.to_owned()),
        }
    }
    let mut found = Vec::new();
    for (name, value) in table {
        walk(name, value, &mut found);
    }
    found
}

fn check_known(path: &str, source: &Source) -> Result<(), ConfigError> {
    if kind_of(path).is_some() || is_section(path) {
        return Ok(());
    }
    if let Some(error) = moved(path, source) {
        return Err(error);
    }
    let last = path.rsplit('.').next().unwrap_or(path);
    if let Some(secret) = SECRETS
        .iter()
        .find(|secret| values::is_of(path, secret.path))
        .or_else(|| {
            // A secret in the wrong section, or in the plural, is still a secret in a file.
            let singular = last.trim_end_matches('s');
            SECRETS.iter().find(|secret| {
                let name = secret.path.rsplit('.').next().unwrap_or_default();
                name == singular || (singular == "token" && name == "api_token")
            })
        })
    {
        let number = path.split('.').nth(1).unwrap_or("0");
        return Err(ConfigError::SecretInFile {
            key: path.to_owned(),
            source_name: source.to_string(),
            variable: values::variable(&secret.path.replace('*', number)),
            file_key: secret.file_path.replace('*', number),
        });
    }
    let section = path.rsplit_once('.').map_or("", |(section, _)| section);
    let siblings: Vec<&str> = VALUES
        .iter()
        .filter_map(|value| {
            let (parent, name) = value.path.rsplit_once('.')?;
            values::is_of(section, parent).then_some(name)
        })
        .collect();
    let hint = if siblings.is_empty() {
        "there are [origin], [generate], [generate.retail], [outbox], [tickets], [updates], [listen], [kv], [secrets], [[edges]] and [edges.kv]".to_owned()
    } else {
        format!("there are {}", siblings.join(", "))
    };
    Err(ConfigError::Unknown {
        key: path.to_owned(),
        source_name: source.to_string(),
        hint,
    })
}

/// Returns what is wrong with a path that a value no longer has.
fn moved(path: &str, source: &Source) -> Option<ConfigError> {
    let (key, now) = MOVED.iter().find(|(old, _)| *old == path)?;
    Some(ConfigError::Moved {
        key: (*key).to_owned(),
        source_name: source.to_string(),
        now,
        variable: values::variable(now),
    })
}

fn kind_of(path: &str) -> Option<Kind> {
    VALUES
        .iter()
        .find(|value| values::is_of(path, value.path))
        .map(|value| value.kind)
}

/// Returns whether a path names a whole section, as an empty one in a file does.
fn is_section(path: &str) -> bool {
    VALUES.iter().any(|value| {
        let mut section = value.path;
        while let Some((parent, _)) = section.rsplit_once('.') {
            if values::is_of(path, parent) {
                return true;
            }
            section = parent;
        }
        false
    })
}

fn value_of_variable(name: &str) -> Option<(String, Kind)> {
    VALUES
        .iter()
        .find_map(|value| Some((values::path_of_variable(name, value.path)?, value.kind)))
}

/// Returns the number in `edges.2.url`.
fn edge_number(path: &str) -> Option<u32> {
    path.split('.').nth(1)?.parse().ok()
}

fn is_known_otherwise(name: &str) -> bool {
    OTHER_VARIABLES.contains(&name)
        || SECRETS
            .iter()
            .any(|secret| values::path_of_variable(name, secret.path).is_some())
}

fn parse(path: &str, kind: Kind, text: &str, source: &Source) -> Result<Toml, ConfigError> {
    let number = text.trim();
    let (value, reason) = match kind {
        Kind::Text => return Ok(Toml::String(text.to_owned())),
        Kind::Integer => (
            number.parse().map(Toml::Integer).ok(),
            "must be a whole number",
        ),
        Kind::Fraction => (number.parse().map(Toml::Float).ok(), "must be a number"),
    };
    value.ok_or_else(|| ConfigError::Value {
        key: path.to_owned(),
        source_name: source.to_string(),
        reason: reason.to_owned(),
    })
}

/// Puts a value at a path, making the tables on the way. An edge may be added after the last.
fn set(table: &mut Table, path: &str, value: Toml, source: &Source) -> Result<(), ConfigError> {
    let refused = |reason: String| ConfigError::Value {
        key: path.to_owned(),
        source_name: source.to_string(),
        reason,
    };
    let Some((name, rest)) = path.split_once('.') else {
        table.insert(path.to_owned(), value);
        return Ok(());
    };
    let (index, rest) = match rest.split_once('.') {
        Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            (number.parse::<usize>().ok(), after)
        }
        _ => (None, rest),
    };
    let Some(index) = index else {
        let inner = table
            .entry(name)
            .or_insert_with(|| Toml::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| refused(format!("{name} is not a section")))?;
        return set(inner, rest, value, source);
    };
    let items = table
        .entry(name)
        .or_insert_with(|| Toml::Array(Vec::new()))
        .as_array_mut()
        .ok_or_else(|| refused(format!("{name} is not a list")))?;
    let count = items.len();
    if index == count {
        items.push(Toml::Table(Table::new()));
    }
    let item = items.get_mut(index).ok_or_else(|| {
        refused(format!(
            "there are {count} {name}, and the next has number {count}"
        ))
    })?;
    let inner = item
        .as_table_mut()
        .ok_or_else(|| refused(format!("{name} is not a list of sections")))?;
    set(inner, rest, value, source)
}

fn dotted(path: &serde_path_to_error::Path) -> String {
    // The library writes `edges[0].url`.
    path.to_string().replace('[', ".").replace(']', "")
}

fn source_of(sources: &BTreeMap<String, Source>, key: &str) -> String {
    sources
        .get(key)
        .or_else(|| {
            // A missing value is reported at its section.
            let section = format!("{key}.");
            sources
                .iter()
                .find(|(path, _)| path.starts_with(&section))
                .map(|(_, source)| source)
        })
        .map_or_else(|| "default".to_owned(), Source::to_string)
}

/// Returns the value at a path.
fn at<'a>(table: &'a Toml, path: &str) -> Option<&'a Toml> {
    path.split('.').try_fold(table, |value, name| match value {
        Toml::Array(items) => items.get(name.parse::<usize>().ok()?),
        value => value.get(name),
    })
}

/// Takes a value that may be a secret out of what a parser said of it, which likes to repeat it.
fn without_secret(message: &str, value: Option<&Toml>) -> String {
    let first = message.lines().next().unwrap_or_default();
    match value.and_then(Toml::as_str) {
        Some(text) if may_be_secret(text) => without_quoted(&first.replace(text, "(not shown)")),
        _ => first.to_owned(),
    }
}

/// Returns whether it is a key, or as long as tokens are.
fn may_be_secret(text: &str) -> bool {
    text.contains("whsec_") || text.len() >= 20
}

/// Takes everything in double quotes out of a message.
fn without_quoted(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}(not shown){}", &message[..first], &message[last + 1..])
        }
        _ => message.to_owned(),
    }
}
