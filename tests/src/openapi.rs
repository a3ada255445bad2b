//! Holds every answer that a test sees against `openapi.yaml`, so that the file stays true.

use std::{fs, sync::LazyLock};

use reqwest::Method;
use serde_json::Value;

use crate::edge_config::root;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = fs::read_to_string(root().join("openapi.yaml"))
        .expect("openapi.yaml is at the repository's root");
    serde_yaml_ng::from_str(&text).expect("openapi.yaml is YAML")
});

/// Fails unless the file says that this route can answer so.
pub fn check(method: &Method, path: &str, status: u16, content_type: &str) {
    if let Err(why) = documented(method, path, status, content_type) {
        panic!(
            "openapi.yaml does not say that {method} {path} answers {status} {content_type}: {why}"
        );
    }
}

fn documented(method: &Method, path: &str, status: u16, content_type: &str) -> Result<(), String> {
    let path = path.split('?').next().unwrap_or_default();
    let item = DOCUMENT["paths"]
        .as_object()
        .expect("paths is a map")
        .iter()
        .filter(|(template, _)| fits(template, path))
        // A topic may hold slashes, so that `/topics/{topic}` fits what others say more of.
        .max_by_key(|(template, _)| template.split('/').count())
        .map(|(_, item)| item);
    let operation = |method: &Method| item?.get(method.as_str().to_lowercase());
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some(asked) = operation(method) else {
        // Every server answers these, and the file need not repeat it for each path there is not.
        return match (status, essence) {
            (404 | 405, "application/problem+json") => Ok(()),
            (204, "") if method == Method::OPTIONS => Ok(()),
            _ => Err("the route is not there".to_owned()),
        };
    };
    let mut answer = response(asked, status).ok_or("the status is not there")?;
    if method == Method::HEAD {
        if answer.get("content").is_some() {
            return Err("the answer to HEAD has content there".to_owned());
        }
        // It names the type of what GET would answer.
        answer = operation(&Method::GET)
            .and_then(|get| response(get, status))
            .ok_or("GET does not answer so there")?;
    }
    match answer.get("content").and_then(Value::as_object) {
        None if essence.is_empty() => Ok(()),
        None => Err("the answer has no content there".to_owned()),
        Some(content)
            if content
                .keys()
                .any(|known| known == essence || known == "*/*") =>
        {
            Ok(())
        }
        Some(_) => Err("the content's type is not there".to_owned()),
    }
}

/// What an operation says of its answer with this status.
fn response(operation: &'static Value, status: u16) -> Option<&'static Value> {
    let responses = &operation["responses"];
    responses
        .get(status.to_string())
        // What any route can answer stands there once; every other status must be named.
        .or_else(|| responses.get("default").filter(|_| status == 500))
        .map(resolve)
}

/// Follows a reference within the file.
fn resolve(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        None => value,
        Some(reference) => DOCUMENT
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("openapi.yaml has no {reference}")),
    }
}

/// Whether a path is one that the template, such as `/tickets/{ticket}`, stands for. A topic is one or
/// more segments, any other parameter is one.
fn fits(template: &str, path: &str) -> bool {
    let Some((before, after)) = template.split_once("{topic}") else {
        let mut parts = path.split('/');
        return template.split('/').all(|expected| {
            parts.next().is_some_and(|part| {
                part == expected || (expected.starts_with('{') && !part.is_empty())
            })
        }) && parts.next().is_none();
    };
    path.strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after))
        .is_some_and(|topic| !topic.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fits_its_paths_and_no_other() {
        assert!(fits("/tickets/{ticket}", "/tickets/a.b"));
        assert!(fits("/ping", "/ping"));
        for other in ["/tickets/", "/tickets", "/tickets/a/events", "/ping", "/"] {
            assert!(!fits("/tickets/{ticket}", other), "{other}");
        }
        for topic in ["/topics/a", "/topics/a/b/c", "/topics/a%2Fb"] {
            assert!(fits("/topics/{topic}", topic), "{topic}");
            assert!(fits("/topics/{topic}/ws", &format!("{topic}/ws")));
            assert!(!fits("/topics/{topic}/ws", topic), "{topic}");
        }
        for other in ["/topics", "/topics/", "/topics/ws", "/a/topics/a"] {
            assert!(!fits("/topics/{topic}/ws", other), "{other}");
        }
    }

    #[test]
    fn of_templates_that_fit_the_one_that_says_most_counts() {
        let path = "/topics/scores/nba/subscribers/events";
        assert!(documented(&Method::GET, path, 200, "text/event-stream").is_ok());
        assert!(documented(&Method::GET, path, 304, "").is_err());
        assert!(documented(&Method::GET, "/topics/scores/nba", 304, "").is_ok());
    }

    #[test]
    fn what_the_file_does_not_say_is_found_out() {
        let ping = |status, content_type| documented(&Method::GET, "/ping", status, content_type);
        assert!(ping(200, "application/json").is_ok());
        assert!(ping(200, "text/html").is_err());
        assert!(ping(299, "application/json").is_err());
        assert!(documented(&Method::GET, "/pong", 200, "application/json").is_err());
        assert!(documented(&Method::DELETE, "/ping", 200, "application/json").is_err());
        let head = |status, content_type| documented(&Method::HEAD, "/ping", status, content_type);
        assert!(head(200, "application/json").is_ok());
        assert!(head(200, "text/html").is_err());
        assert!(head(299, "application/json").is_err());
    }
}
