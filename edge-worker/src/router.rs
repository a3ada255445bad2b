//! Finds the route of a request.

use headstart_protocol::topic::RESERVED_SEGMENTS;

/// Who answers a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `login.rs`
    Login,
    /// `pull.rs`
    Pull,
    /// `tickets.rs`: the offer.
    Offer,
    /// `tickets.rs`: its arrival as Server-Sent Events.
    OfferEvents,
    /// `tickets.rs`: its arrival over a WebSocket.
    OfferSocket,
    /// `events.rs`
    Events,
    /// `origin_link.rs`
    OriginLink,
    /// `topic/read.rs`: the latest update, or those after a sequence number.
    Topic,
    /// `topic/connect.rs`: updates of several topics.
    Topics,
    /// `topic/connect.rs`: updates as Server-Sent Events.
    TopicEvents,
    /// `topic/connect.rs`: updates over a WebSocket.
    TopicSocket,
    /// `topic/subscribers.rs`: who is connected.
    Subscribers,
    /// `topic/subscribers.rs`: who is connected, as it changes.
    SubscriberEvents,
    /// `topic/subscribers.rs`: a subscriber says what it has received.
    Acks,
    /// `health.rs`: who is there.
    Ping,
    /// `health.rs`: is it well.
    Health,
}

/// The parameter that may span several segments.
const TAIL: &str = "{topic}";

/// One row of the route table. A pattern's segments in braces match any one segment; `{topic}` matches
/// one or more, up to what follows it in the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method, in upper case.
    pub method: &'static str,
    /// The path, with parameters in braces.
    pub pattern: &'static str,
    /// Who answers.
    pub target: Target,
}

impl Route {
    /// A row.
    pub const fn new(method: &'static str, pattern: &'static str, target: Target) -> Self {
        Self {
            method,
            pattern,
            target,
        }
    }
}

/// What the table says of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// A route, and its path parameter if it has one.
    Found(Target, &'a str),
    /// A preflight of a path that has routes with these methods.
    Preflight(String),
    /// The path has routes, but only with these methods.
    MethodNotAllowed(String),
    /// No route has this path.
    NotFound,
}

/// Finds the route for `method` and `path`.
pub fn resolve<'a>(routes: &[Route], method: &str, path: &'a str) -> Resolved<'a> {
    let mut allowed = Vec::new();
    for route in routes {
        if let Some(parameter) = matches(route.pattern, path) {
            if route.method == method {
                return Resolved::Found(route.target, parameter);
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

/// The path's parameter if it fits the pattern; an empty one where the pattern has none.
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
    use crate::ROUTES;

    #[test]
    fn a_route_is_found_by_method_and_path() {
        for (method, path, target, parameter) in [
            ("POST", "/login", Target::Login, ""),
            ("GET", "/tickets/abc", Target::Offer, "abc"),
            ("HEAD", "/tickets/abc", Target::Offer, "abc"),
            ("GET", "/tickets/abc/events", Target::OfferEvents, "abc"),
            ("GET", "/tickets/abc/ws", Target::OfferSocket, "abc"),
            ("POST", "/events", Target::Events, ""),
            ("GET", "/topics/scores/nba", Target::Topic, "scores/nba"),
            ("GET", "/topics/a/events", Target::TopicEvents, "a"),
            ("GET", "/topics/a/b/ws", Target::TopicSocket, "a/b"),
            ("GET", "/topics/a/subscribers", Target::Subscribers, "a"),
            (
                "GET",
                "/topics/a/subscribers/events",
                Target::SubscriberEvents,
                "a",
            ),
            ("POST", "/topics/a/b/acks", Target::Acks, "a/b"),
        ] {
            assert_eq!(
                resolve(ROUTES, method, path),
                Resolved::Found(target, parameter)
            );
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
            assert_eq!(resolve(ROUTES, "GET", path), Resolved::NotFound, "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_are_allowed() {
        assert_eq!(
            resolve(ROUTES, "DELETE", "/tickets/a"),
            Resolved::MethodNotAllowed("GET, HEAD, OPTIONS".to_owned())
        );
        assert_eq!(
            resolve(ROUTES, "OPTIONS", "/login"),
            Resolved::Preflight("POST, OPTIONS".to_owned())
        );
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
                "{route:?} needs an operationId and a summary"
            );
            let responses = operation["responses"].as_mapping().expect("has responses");
            assert!(
                responses
                    .keys()
                    .filter_map(Value::as_str)
                    .any(|status| status == "405" || status == "default"),
                "{route:?} must describe its errors"
            );
            let parameter = route.pattern.split(['{', '}']).nth(1);
            if let Some(name) = parameter {
                let listed = item["parameters"].as_sequence().is_some_and(|all| {
                    all.iter().any(|entry| {
                        entry["name"] == name
                            || entry["$ref"] == format!("#/components/parameters/{name}")
                    })
                });
                assert!(listed, "{route:?} does not describe {{{name}}}");
            }
        }
    }
}
