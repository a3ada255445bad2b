//! The table of all routes, and how a request finds its own.

use std::future::ready;

use futures_util::future::LocalBoxFuture;
use headstart_protocol::topic::RESERVED_SEGMENTS;
use worker::web_sys;

use crate::{
    desk::routes::{link, login},
    events, health,
    http::{
        error::Error,
        request::{self, Reply, RequestContext},
    },
    offers, ticket,
    topic::routes::{presence, read, subscribe},
};

/// The parameter that may span several segments.
const TAIL: &str = "{topic}";

/// Answers a request of one route.
type Handler = for<'a> fn(&'a RequestContext) -> LocalBoxFuture<'a, Result<Reply, Error>>;

/// One row of the route table. A pattern's segments in braces match any one segment; `{topic}` matches
/// one or more, up to what follows it in the pattern.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method, in upper case.
    method: &'static str,
    /// The path, with parameters in braces.
    pattern: &'static str,
    /// Answers it.
    handler: Handler,
}

/// Returns a row of the route table.
const fn route(method: &'static str, pattern: &'static str, handler: Handler) -> Route {
    Route {
        method,
        pattern,
        handler,
    }
}

/// Every route of the edge. Preflights (`OPTIONS`) are answered for each path. `openapi.yaml` at the
/// repository's root describes exactly these; a test holds the two against each other.
const ROUTES: &[Route] = &[
    route("POST", "/login", |c| Box::pin(login::post(c))),
    route("POST", "/offers", |c| Box::pin(offers::post(c))),
    route("GET", "/tickets/{ticket}", |c| {
        Box::pin(ticket::routes::get(c))
    }),
    route("HEAD", "/tickets/{ticket}", |c| {
        Box::pin(ticket::routes::get(c))
    }),
    route("GET", "/tickets/{ticket}/events", |c| {
        Box::pin(ticket::routes::events(c))
    }),
    route("GET", "/tickets/{ticket}/ws", |c| {
        Box::pin(ticket::routes::socket(c))
    }),
    route("POST", "/events", |c| Box::pin(events::post(c))),
    route("GET", "/topics", |c| Box::pin(subscribe::several(c))),
    route("GET", "/topics/{topic}", |c| Box::pin(read::get(c))),
    route("HEAD", "/topics/{topic}", |c| Box::pin(read::get(c))),
    route("GET", "/topics/{topic}/events", |c| {
        Box::pin(subscribe::events(c))
    }),
    route("GET", "/topics/{topic}/ws", |c| {
        Box::pin(subscribe::socket(c))
    }),
    route("GET", "/topics/{topic}/subscribers", |c| {
        Box::pin(presence::list(c))
    }),
    route("GET", "/topics/{topic}/subscribers/events", |c| {
        Box::pin(presence::events(c))
    }),
    route("POST", "/topics/{topic}/acks", |c| {
        Box::pin(presence::ack(c))
    }),
    route("GET", "/origin/link", |c| Box::pin(link::get(c))),
    route("GET", "/ping", |c| Box::pin(ready(Ok(health::ping(c))))),
    route("HEAD", "/ping", |c| Box::pin(ready(Ok(health::ping(c))))),
    route("GET", "/healthz", |c| {
        Box::pin(ready(Ok(health::healthz(c))))
    }),
    route("HEAD", "/healthz", |c| {
        Box::pin(ready(Ok(health::healthz(c))))
    }),
];

/// Answers a request by the route table.
///
/// # Errors
/// None that a client can bring about: only when the platform refuses to build a response.
pub async fn answer(mut context: RequestContext) -> worker::Result<web_sys::Response> {
    let reply = match resolve(&context.head.method, &context.head.path) {
        Resolved::Found(route, parameter) => {
            context.parameter = parameter.to_owned();
            (route.handler)(&context).await
        }
        Resolved::Preflight(methods) => Ok(context
            .cors()
            .preflight(&context.head.origin, &methods)
            .into()),
        Resolved::MethodNotAllowed(allow) => Err(Error::MethodNotAllowed { allow }),
        Resolved::NotFound => Err(Error::NotFound),
    };
    request::finish(reply, &context.head, context.cors())
}

/// What the table says of a request.
#[derive(Debug)]
enum Resolved<'a> {
    /// A route, and its path parameter if it has one.
    Found(&'static Route, &'a str),
    /// A preflight of a path that has routes with these methods.
    Preflight(String),
    /// The path has routes, but only with these methods.
    MethodNotAllowed(String),
    /// No route has this path.
    NotFound,
}

/// Finds the route for `method` and `path`.
fn resolve<'a>(method: &str, path: &'a str) -> Resolved<'a> {
    let mut allowed = Vec::new();
    for route in ROUTES {
        if let Some(parameter) = matches(route.pattern, path) {
            if route.method == method {
                return Resolved::Found(route, parameter);
            }
            allowed.push(route.method);
        }
    }
    if allowed.is_empty() {
        return Resolved::NotFound;
    }
    allowed.push("OPTIONS");
    let allowed = allowed.join(", ");
    if method == "OPTIONS" {
        Resolved::Preflight(allowed)
    } else {
        Resolved::MethodNotAllowed(allowed)
    }
}

/// Returns the path's parameter if it fits the pattern; an empty one where the pattern has none.
fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    if let Some((before, after)) = pattern.split_once(TAIL) {
        let topic = path.strip_prefix(before)?.strip_suffix(after)?;
        // A topic cannot end in what the routes below it are named, so one path has one meaning.
        let last = topic.rsplit('/').next().unwrap_or_default();
        return (!topic.is_empty() && !RESERVED_SEGMENTS.contains(&last)).then_some(topic);
    }
    let mut parameter = "";
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let segment = segments.next()?;
        if wanted.starts_with('{') && !segment.is_empty() {
            parameter = segment;
        } else if wanted != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(parameter)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_yaml_ng::Value;

    use super::*;

    fn found(method: &str, path: &'static str) -> Option<(&'static str, &'static str)> {
        match resolve(method, path) {
            Resolved::Found(route, parameter) => Some((route.pattern, parameter)),
            _ => None,
        }
    }

    #[test]
    fn a_route_is_found_by_method_and_path() {
        for (method, path, pattern, parameter) in [
            ("POST", "/login", "/login", ""),
            ("GET", "/tickets/abc", "/tickets/{ticket}", "abc"),
            ("HEAD", "/tickets/abc", "/tickets/{ticket}", "abc"),
            (
                "GET",
                "/tickets/abc/events",
                "/tickets/{ticket}/events",
                "abc",
            ),
            ("GET", "/tickets/abc/ws", "/tickets/{ticket}/ws", "abc"),
            ("POST", "/events", "/events", ""),
            ("GET", "/topics/scores/nba", "/topics/{topic}", "scores/nba"),
            ("GET", "/topics/a/events", "/topics/{topic}/events", "a"),
            ("GET", "/topics/a/b/ws", "/topics/{topic}/ws", "a/b"),
            (
                "GET",
                "/topics/a/subscribers",
                "/topics/{topic}/subscribers",
                "a",
            ),
            (
                "GET",
                "/topics/a/subscribers/events",
                "/topics/{topic}/subscribers/events",
                "a",
            ),
            ("POST", "/topics/a/b/acks", "/topics/{topic}/acks", "a/b"),
        ] {
            assert_eq!(found(method, path), Some((pattern, parameter)));
        }
    }

    #[test]
    fn another_path_is_not_found() {
        for path in [
            "/",
            "/tickets",
            "/tickets/",
            "/tickets//events",
            "/tickets/a/",
            "/tickets/a/b",
            "/login/",
            "/Login",
            "/topics/",
            "/topics/events",
            "/topics/ws/events",
        ] {
            assert!(matches!(resolve("GET", path), Resolved::NotFound), "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_are_allowed() {
        let Resolved::MethodNotAllowed(allowed) = resolve("DELETE", "/tickets/a") else {
            panic!("a ticket cannot be deleted");
        };
        assert_eq!(allowed, "GET, HEAD, OPTIONS");
        let Resolved::Preflight(allowed) = resolve("OPTIONS", "/login") else {
            panic!("a preflight is answered");
        };
        assert_eq!(allowed, "POST, OPTIONS");
    }

    #[test]
    fn openapi_describes_exactly_these_routes() {
        let text = include_str!("../../openapi.yaml");
        let file: Value = serde_yaml_ng::from_str(text).expect("openapi.yaml is YAML");
        let paths = file["paths"].as_mapping().expect("it has paths");
        let methods = ["get", "head", "post", "put", "patch", "delete", "options"];
        let mut described = BTreeSet::new();
        for (path, item) in paths {
            let path = path.as_str().expect("a path is a string");
            for method in methods {
                if item.get(method).is_some() {
                    described.insert((method.to_uppercase(), path.to_owned()));
                }
            }
        }
        let table: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| (route.method.to_owned(), route.pattern.to_owned()))
            .collect();
        assert_eq!(table, described);
    }

    #[test]
    fn every_reference_in_openapi_leads_somewhere() {
        let text = include_str!("../../openapi.yaml");
        let file: Value = serde_yaml_ng::from_str(text).expect("openapi.yaml is YAML");
        let references: BTreeSet<&str> = text
            .split("$ref: \"#/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(references.len() > 10, "{references:?}");
        for reference in references {
            let target = reference
                .split('/')
                .try_fold(&file, |value, name| value.get(name));
            assert!(target.is_some(), "{reference}");
        }
    }

    #[test]
    fn openapi_describes_every_path_parameter_and_its_errors() {
        let text = include_str!("../../openapi.yaml");
        let file: Value = serde_yaml_ng::from_str(text).expect("openapi.yaml is YAML");
        for route in ROUTES {
            let item = &file["paths"][route.pattern];
            let operation = &item[route.method.to_lowercase().as_str()];
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{} needs an operationId and a summary",
                route.pattern
            );
            let responses = operation["responses"].as_mapping().expect("has responses");
            assert!(
                responses
                    .keys()
                    .filter_map(Value::as_str)
                    .any(|status| status == "405" || status == "default"),
                "{} must describe its errors",
                route.pattern
            );
            let parameter = route.pattern.split(['{', '}']).nth(1);
            if let Some(name) = parameter {
                let listed = item["parameters"].as_sequence().is_some_and(|all| {
                    all.iter().any(|entry| {
                        entry["name"] == name
                            || entry["$ref"] == format!("#/components/parameters/{name}")
                    })
                });
                assert!(listed, "{} does not describe {{{name}}}", route.pattern);
            }
        }
    }
}
