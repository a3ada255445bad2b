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
    let operation = DOCUMENT["paths"]
        .as_object()
        .expect("paths is a map")
        .iter()
        .find(|(template, _)| fits(template, path))
        .and_then(|(_, item)| item.get(method.as_str().to_lowercase()));
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some(operation) = operation else {
        // Every server answers these, and the file need not repeat it for each path there is not.
        return match (status, essence) {
            (404 | 405, "application/problem+json") => Ok(()),
            (204, "") if method == Method::OPTIONS => Ok(()),
            _ => Err("the route is not there".to_owned()),
        };
    };
    let responses = &operation["responses"];
    let response = responses
        .get(status.to_string())
        // What any route can answer stands there once; every other status must be named.
        .or_else(|| responses.get("default").filter(|_| status == 500))
        .map(resolve)
        .ok_or("the status is not there")?;
    match response.get("content").and_then(Value::as_object) {
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

/// Follows a reference within the file.
fn resolve(value: &Value) -> &Value {
    match value.get("$ref").and_then(Value::as_str) {
        None => value,
        Some(reference) => DOCUMENT
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("openapi.yaml has no {reference}")),
    }
}

/// Whether a path is one that the template, such as `/tickets/{ticket}`, stands for.
fn fits(template: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    template.split('/').all(|expected| {
        parts
            .next()
            .is_some_and(|part| part == expected || (expected.starts_with('{') && !part.is_empty()))
    }) && parts.next().is_none()
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
    }

    #[test]
    fn what_the_file_does_not_say_is_found_out() {
        let ping = |status, content_type| documented(&Method::GET, "/ping", status, content_type);
        assert!(ping(200, "application/json").is_ok());
        assert!(ping(200, "text/html").is_err());
        assert!(ping(299, "application/json").is_err());
        assert!(documented(&Method::GET, "/pong", 200, "application/json").is_err());
        assert!(documented(&Method::DELETE, "/ping", 200, "application/json").is_err());
    }
}
