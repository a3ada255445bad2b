//! Which configurations make no sense, though each value is possible. Everything wrong is told at
//! once.

use std::collections::BTreeSet;

use headstart_protocol::limits::{MAX_OFFER_BYTES, MIN_KV_TTL_SECONDS};
use url::Url;

use super::{Config, KvConfig};

/// Longest name of an origin or an edge, in bytes: an event's source has 256 in all.
const MAX_NAME_BYTES: usize = 64;

/// Most workers: more would only wait for each other.
const MAX_WORKERS: usize = 1024;

/// Most logins in the queue: each holds its attributes in memory.
const MAX_QUEUE: usize = 100_000;

/// Longest time for one offer: nobody waits longer than a ticket's usual life.
const MAX_TIMEOUT_MS: u64 = 3_600_000;

/// Longest life of a ticket or an update, in seconds: a year.
const MAX_TTL_SECONDS: u64 = 366 * 24 * 3600;

/// Longest grace, in seconds.
const MAX_GRACE_SECONDS: u64 = 3600;

/// Fewest bytes that may wait for an edge: some of the largest offers.
const MIN_BYTES_PER_EDGE: u64 = 4 * MAX_OFFER_BYTES as u64;

/// Returns everything that makes no sense; each sentence begins with the path of a value.
pub(super) fn problems(config: &Config) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = into(&mut problems);
    check(
        is_name(&config.origin.name),
        format!("origin.name must be 1 to {MAX_NAME_BYTES} of A-Z a-z 0-9 . _ -"),
    );
    check(
        config.origin.grace_seconds <= MAX_GRACE_SECONDS,
        format!("origin.grace_seconds must be at most {MAX_GRACE_SECONDS}"),
    );
    check(
        config.generate.workers <= MAX_WORKERS,
        format!("generate.workers must be at most {MAX_WORKERS}"),
    );
    check(
        (1..=MAX_QUEUE).contains(&config.generate.queue),
        format!("generate.queue must be 1 to {MAX_QUEUE}"),
    );
    check(
        (1..=MAX_TIMEOUT_MS).contains(&config.generate.timeout_ms),
        format!("generate.timeout_ms must be 1 to {MAX_TIMEOUT_MS}"),
    );
    check(
        (1..=MAX_TTL_SECONDS).contains(&config.tickets.ttl_seconds),
        format!("tickets.ttl_seconds must be 1 to {MAX_TTL_SECONDS}"),
    );
    check(
        (1..=MAX_TTL_SECONDS).contains(&config.updates.ttl_seconds),
        format!("updates.ttl_seconds must be 1 to {MAX_TTL_SECONDS}"),
    );
    check(
        !config.outbox.path.as_os_str().is_empty(),
        "outbox.path must name a file".to_owned(),
    );
    check(
        config.outbox.max_bytes_per_edge >= MIN_BYTES_PER_EDGE,
        format!("outbox.max_bytes_per_edge must be at least {MIN_BYTES_PER_EDGE}"),
    );
    edge_problems(config, check);
    problems.dedup();
    problems
}

/// Returns what keeps a problem where something is not fine.
fn into(problems: &mut Vec<String>) -> impl FnMut(bool, String) {
    |fine, problem| {
        if !fine {
            problems.push(problem);
        }
    }
}

fn edge_problems(config: &Config, mut check: impl FnMut(bool, String)) {
    let mut names = BTreeSet::new();
    for (index, edge) in config.edges.iter().enumerate() {
        let name = edge.name();
        check(
            !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control),
            format!(
                "edges.{index}.name must be 1 to {MAX_NAME_BYTES} bytes without control characters"
            ),
        );
        check(
            is_http(&edge.url),
            format!(
                "edges.{index}.url must be http(s)://host[:port], without user, query or fragment"
            ),
        );
        check(
            names.insert(name),
            format!("edges.{index}.name is the name of another edge"),
        );
        if let Some(kv) = &edge.kv {
            check(
                is_http(&kv.api),
                format!("edges.{index}.kv.api must be http(s)://host[:port]/path"),
            );
            let is_providers = kv.api == KvConfig::default_api();
            for (key, id) in [
                ("account_id", kv.account_id.as_ref()),
                ("namespace_id", Some(&kv.namespace_id)),
            ] {
                let (is_id, like): (fn(&str) -> bool, _) = if is_providers {
                    (
                        is_provider_id,
                        "be the 32 hexadecimal digits that the provider shows".to_owned(),
                    )
                } else {
                    (
                        is_name,
                        format!("be 1 to {MAX_NAME_BYTES} of A-Z a-z 0-9 . _ -"),
                    )
                };
                check(
                    id.is_none_or(|id| is_id(id)),
                    format!("edges.{index}.kv.{key} must {like}"),
                );
            }
            check(
                kv.account_id.is_some() || !is_providers,
                format!("edges.{index}.kv.account_id is missing; the provider's API needs it"),
            );
            check(
                config.tickets.ttl_seconds >= MIN_KV_TTL_SECONDS,
                format!(
                    "tickets.ttl_seconds must be at least {MIN_KV_TTL_SECONDS}, the shortest life of a KV entry, where an edge has KV"
                ),
            );
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME_BYTES
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Ids of accounts and namespaces.
fn is_provider_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}
