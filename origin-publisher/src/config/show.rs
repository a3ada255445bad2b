//! Shows the effective configuration: as TOML that could be used again, with the source of each value
//! beside it, and secrets as nothing but their presence.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Config, Loaded, Secrets, layers::Source, secrets::Found, values::variable};

/// Column at which the sources begin, where a line is not longer.
const SOURCE_COLUMN: usize = 48;

/// Returns the configuration as annotated TOML, and after it where each secret comes from.
#[must_use]
pub fn effective(loaded: &Loaded, secrets: &Secrets) -> String {
    let toml = toml::to_string(&loaded.config).unwrap_or_default();
    let mut shown = annotate(&toml, &loaded.sources);
    shown.push_str("\n# secrets, none of which is shown\n");
    for (variable, from) in secret_sources(&loaded.config, secrets) {
        let state = from.map_or_else(
            || "not set, and not needed".to_owned(),
            |from| format!("*** from {from}"),
        );
        // Writing to a string cannot fail.
        let _ = writeln!(shown, "# {variable:<36} {state}");
    }
    shown
}

/// Returns where each secret comes from, by its variable; `None` for one that is not set and not needed.
#[must_use]
pub fn secret_sources<'a>(config: &Config, secrets: &'a Secrets) -> Vec<(String, Option<&'a str>)> {
    fn from<T>(found: Option<&Found<T>>) -> Option<&str> {
        found.map(|found| found.from.as_str())
    }
    let mut sources = vec![
        (variable("secrets.ticket_key"), from(Some(&secrets.ticket))),
        (variable("secrets.login_key"), from(secrets.login.as_ref())),
        (variable("secrets.token_key"), from(secrets.token.as_ref())),
    ];
    for (index, (edge, secrets)) in config.edges.iter().zip(&secrets.edges).enumerate() {
        let of_edge = |name: &str| variable(&format!("edges.{index}.{name}"));
        sources.push((of_edge("key"), from(Some(&secrets.key))));
        if edge.kv.is_some() {
            sources.push((of_edge("kv.api_token"), from(secrets.api_token.as_ref())));
        }
    }
    sources
}

/// Appends to each line of a value where it came from.
fn annotate(toml: &str, sources: &BTreeMap<String, Source>) -> String {
    let mut shown = String::new();
    let mut section = String::new();
    let mut edges = 0_usize;
    for line in toml.lines() {
        if line == "[[edges]]" {
            section = format!("edges.{edges}.");
            edges += 1;
        } else if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let inner = name.strip_prefix("edges.");
            section = inner.map_or_else(
                || format!("{name}."),
                |inner| format!("edges.{}.{inner}.", edges.saturating_sub(1)),
            );
        }
        shown.push_str(line);
        if let Some((key, _)) = line.split_once(" = ") {
            let source = sources
                .get(&format!("{section}{key}"))
                .map_or_else(|| "default".to_owned(), Source::to_string);
            let width = SOURCE_COLUMN.saturating_sub(line.chars().count());
            let _ = write!(shown, "{:width$} # {source}", "");
        }
        shown.push('\n');
    }
    shown
}
