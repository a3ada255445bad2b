//! Shows the effective configuration: as TOML that could be used again, with the source of each value
//! beside it, and secrets as nothing but their presence.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{Loaded, Secrets, layers::Source, secrets::Found, values::variable};

/// Column at which the sources begin, where a line is not longer.
const SOURCE_COLUMN: usize = 48;

/// The configuration as annotated TOML, and after it where each secret comes from.
#[must_use]
pub fn effective(loaded: &Loaded, secrets: &Secrets) -> String {
    let toml = toml::to_string(&loaded.config).unwrap_or_default();
    let mut shown = annotate(&toml, &loaded.sources);
    shown.push_str("\n# secrets, none of which is shown\n");
    secret_line(&mut shown, "secrets.ticket_key", Some(&secrets.ticket));
    secret_line(&mut shown, "secrets.login_key", secrets.login.as_ref());
    secret_line(&mut shown, "secrets.token_key", secrets.token.as_ref());
    for (index, (edge, secrets)) in loaded.config.edges.iter().zip(&secrets.edges).enumerate() {
        let path = format!("edges.{index}.key");
        secret_line(&mut shown, &path, Some(&secrets.key));
        if edge.kv.is_some() {
            let path = format!("edges.{index}.kv.api_token");
            secret_line(&mut shown, &path, secrets.api_token.as_ref());
        }
    }
    shown
}

fn secret_line<T>(shown: &mut String, path: &str, found: Option<&Found<T>>) {
    let state = found.map_or_else(
        || "not set, and not needed".to_owned(),
        |found| format!("*** from {}", found.from),
    );
    // Writing to a string cannot fail.
    let _ = writeln!(shown, "# {:<36} {state}", variable(path));
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
