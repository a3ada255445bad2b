//! The browser's client: small, typed, and good for every page.

use std::{collections::BTreeSet, fs, process::Command};

use headstart_tests::{
    browser,
    edge::Edge,
    edge_config::{EdgeConfig, root},
    origin::{Origin, OriginConfig},
    tokens::Token,
    topics::update,
};
use serde_json::{Value, json};

/// Largest client as it is sent, in bytes: what the README says.
const MOST_BYTES: usize = 4000;

/// An edge that a page may log in at, and its origin.
struct Site {
    edge: Edge,
    origin: Option<Origin>,
}

impl Site {
    async fn start(page: &str, history: u64) -> Self {
        let config = EdgeConfig::default()
            .var("LOGIN_AUTH", "open")
            .var("CORS_ORIGINS", page)
            .var("HISTORY_COUNT", history);
        let edge = Edge::start(config).await;
        let origin = Origin::start(OriginConfig::new("one").edge(&edge));
        origin.logged("linked", 1).await;
        Self {
            edge,
            origin: Some(origin),
        }
    }

    async fn publish(&self, topic: &str, data: &[Value]) {
        let events: Vec<_> = data.iter().map(|data| update(topic, data)).collect();
        self.edge.client().publish_all(&events).await;
    }
}

/// Does what the script asks for.
async fn answer(site: &mut Option<Site>, name: &str, values: &[Value]) -> Value {
    let text = |at: usize| values[at].as_str().expect("a string");
    let number = |at: usize| values[at].as_u64().expect("a number");
    if name == "edge" {
        let started = site.insert(Site::start(text(0), number(1)).await);
        return json!(started.edge.url());
    }
    let site = site.as_mut().expect("it asks for an edge first");
    match name {
        "publish" => {
            let data = values[1].as_array().expect("a list");
            site.publish(text(0), data).await;
        }
        "token" => {
            let token = Token::reading(&[text(0)]).publishing(&[text(0)]);
            return json!(token.expiring_in(number(1).cast_signed()).mint());
        }
        "retire" => site.origin = None,
        "kill" => site.edge.kill().await,
        "start" => site.edge.start_again().await,
        _ => panic!("{name}: nobody answers this"),
    }
    Value::Null
}

#[tokio::test]
async fn the_client_does_in_a_browser_what_it_promises() {
    let mut site = None;
    browser::run("client.mjs", &[], async |name, values| {
        Box::pin(answer(&mut site, name, values)).await
    })
    .await;
}

#[test]
fn the_client_is_small() {
    let built = root().join("edge-worker/build/pages/headstart.js");
    let output = Command::new("gzip")
        .args(["-9", "-n", "-c"])
        .arg(&built)
        .output()
        .expect("gzip can be run");
    let bytes = output.stdout.len();
    assert!(
        (1000..MOST_BYTES).contains(&bytes),
        "{} has {bytes} bytes",
        built.display()
    );
}

#[test]
fn the_types_name_what_the_client_exports() {
    let client = root().join("edge-worker/pages/client");
    let read = |name: &str| fs::read_to_string(client.join(name)).expect("the client's sources");
    // As both files write what they export.
    let named = |text: &str, before: &[&str]| -> BTreeSet<String> {
        let rest = |line: &str| {
            before
                .iter()
                .find_map(|it| line.strip_prefix(it).map(str::to_owned))
        };
        text.lines()
            .filter_map(rest)
            .map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
                rest[..end.unwrap_or(rest.len())].to_owned()
            })
            .collect()
    };
    let exports = named(&read("headstart.js"), &["export function ", "export { "]);
    let types = named(
        &read("headstart.d.ts"),
        &["export function ", "export class "],
    );
    assert_eq!(types, exports);
    assert!(exports.contains("connect"), "{exports:?}");
}
