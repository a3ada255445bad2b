//! Every value that can be configured, under its name in the file; the names in the environment and
//! for `--set` follow from that.
//!
//! `generate.queue` in the file is `HEADSTART_GENERATE_QUEUE` in the environment and
//! `--set generate.queue=8` as a flag. Edges are counted from 0: `edges.0.url` is
//! `HEADSTART_EDGES_0_URL`. The section name `secrets` is left out: `HEADSTART_TICKET_KEY_FILE`.

/// What a value is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text: a name, a path, a URL.
    Text,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Fraction,
}

/// A value: its path, with `*` for the number of an edge, and its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value {
    /// Path in the file.
    pub path: &'static str,
    /// What it is made of.
    pub kind: Kind,
}

const fn text(path: &'static str) -> Value {
    Value {
        path,
        kind: Kind::Text,
    }
}

const fn integer(path: &'static str) -> Value {
    Value {
        path,
        kind: Kind::Integer,
    }
}

const fn fraction(path: &'static str) -> Value {
    Value {
        path,
        kind: Kind::Fraction,
    }
}

/// Every value.
pub const VALUES: [Value; 28] = [
    text("origin.name"),
    integer("origin.grace_seconds"),
    integer("generate.workers"),
    integer("generate.queue"),
    integer("generate.timeout_ms"),
    text("generate.retail.history"),
    integer("generate.retail.effort"),
    integer("generate.retail.effort_limit"),
    text("outbox.path"),
    integer("outbox.max_bytes_per_edge"),
    integer("outbox.min_free_bytes"),
    integer("tickets.ttl_seconds"),
    integer("updates.ttl_seconds"),
    text("listen.addr"),
    text("listen.auth"),
    fraction("kv.share"),
    text("secrets.origin_key_file"),
    text("secrets.ticket_key_file"),
    text("secrets.login_key_file"),
    text("secrets.token_key_file"),
    text("secrets.api_token_file"),
    text("edges.*.name"),
    text("edges.*.url"),
    text("edges.*.key_file"),
    text("edges.*.kv.api"),
    text("edges.*.kv.account_id"),
    text("edges.*.kv.namespace_id"),
    text("edges.*.kv.api_token_file"),
];

/// Values that were renamed, as their old path and the one they have now. The old one is refused with
/// the new one: left unread, it would be missed where nobody looks.
pub const MOVED: [(&str, &str); 3] = [
    ("generate.history", "generate.retail.history"),
    ("generate.effort", "generate.retail.effort"),
    ("generate.effort_limit", "generate.retail.effort_limit"),
];

/// A secret: the path under which someone may try to write it into the file, and the path of the
/// setting that names a file with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// Where it is not read from; its variable's name follows from it.
    pub path: &'static str,
    /// The setting that names its file.
    pub file_path: &'static str,
}

/// Every secret.
pub const SECRETS: [Secret; 7] = [
    Secret {
        path: "secrets.origin_key",
        file_path: "secrets.origin_key_file",
    },
    Secret {
        path: "secrets.ticket_key",
        file_path: "secrets.ticket_key_file",
    },
    Secret {
        path: "secrets.login_key",
        file_path: "secrets.login_key_file",
    },
    Secret {
        path: "secrets.token_key",
        file_path: "secrets.token_key_file",
    },
    Secret {
        path: "secrets.api_token",
        file_path: "secrets.api_token_file",
    },
    Secret {
        path: "edges.*.key",
        file_path: "edges.*.key_file",
    },
    Secret {
        path: "edges.*.kv.api_token",
        file_path: "edges.*.kv.api_token_file",
    },
];

/// Prefix of every variable.
pub const PREFIX: &str = "HEADSTART_";

/// Variables that are read elsewhere: by the commands' own flags, and for the log.
pub const OTHER_VARIABLES: [&str; 5] = [
    "HEADSTART_CONFIG",
    "HEADSTART_LOG",
    "HEADSTART_EDGE_URL",
    "HEADSTART_ORIGIN_URL",
    "HEADSTART_TOKEN",
];

/// Returns the variable of a path.
#[must_use]
pub fn variable(path: &str) -> String {
    let path = path.strip_prefix("secrets.").unwrap_or(path);
    format!("{PREFIX}{}", path.replace('.', "_").to_uppercase())
}

/// Returns whether `path` (with numbers) is one of `pattern` (with `*`).
#[must_use]
pub fn is_of(path: &str, pattern: &str) -> bool {
    let mut words = path.split('.');
    let mut pattern_words = pattern.split('.');
    loop {
        match (words.next(), pattern_words.next()) {
            (None, None) => return true,
            (Some(word), Some("*")) if is_number(word) => {}
            (Some(word), Some(pattern_word)) if word == pattern_word => {}
            _ => return false,
        }
    }
}

/// Returns the path of `pattern` that `name` is the variable of.
#[must_use]
pub fn path_of_variable(name: &str, pattern: &str) -> Option<String> {
    let Some((before, after)) = pattern.split_once('*') else {
        return (variable(pattern) == name).then(|| pattern.to_owned());
    };
    let number = name
        .strip_prefix(&variable(before))?
        .strip_suffix(after.replace('.', "_").to_uppercase().as_str())?;
    is_number(number).then(|| format!("{before}{number}{after}"))
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.len() <= 4 && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_environment_follow_from_names_in_the_file() {
        assert_eq!(variable("generate.queue"), "HEADSTART_GENERATE_QUEUE");
        assert_eq!(
            variable("secrets.ticket_key_file"),
            "HEADSTART_TICKET_KEY_FILE"
        );
        assert_eq!(
            path_of_variable("HEADSTART_EDGES_12_KV_ACCOUNT_ID", "edges.*.kv.account_id")
                .as_deref(),
            Some("edges.12.kv.account_id")
        );
        assert_eq!(
            path_of_variable("HEADSTART_EDGES_X_URL", "edges.*.url"),
            None
        );
    }

    #[test]
    fn a_path_with_numbers_is_of_its_pattern_only() {
        assert!(is_of("edges.0.url", "edges.*.url"));
        assert!(!is_of("edges.x.url", "edges.*.url"));
        assert!(!is_of("edges.0.kv.api", "edges.*.kv"));
        assert!(!is_of("edges.0", "edges.*.url"));
    }
}
