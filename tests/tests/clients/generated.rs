//! Clients that other people's generators make of `openapi.yaml`.

use std::fs;

use headstart_protocol::{keys::KeyRing, ticket::Ticket};
use headstart_tests::{
    edge_config::root,
    events::ready,
    keys::ticket_key,
    script::{Script, clients},
    shared::{Shared, brief_edge},
    topics::fresh_topic,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::signatures::signing;

fn folder() -> TempDir {
    TempDir::with_prefix("headstart-generated-").expect("a folder can be made")
}

/// Fails unless the script's client logs in, reads the offer, publishes, and reads topics.
async fn use_edge(edge: &Shared, topic: &str, script: Script) {
    let client = edge.client();
    let mut told = Vec::new();
    script
        .run(async |name, values| {
            if name == "login" {
                let ticket = values[1].as_str().expect("a ticket is text");
                let ticket = Ticket::verify(ticket, &KeyRing::from(ticket_key()));
                let ticket = ticket.expect("it is the edge's own");
                let event = ready(&ticket, &json!({ "items": [1, 2, 3] }));
                // Boxed, as it is large, and so is every future that it is in.
                Box::pin(client.settle(&event)).await;
                told.push((name.to_owned(), values[..1].to_vec()));
            } else {
                told.push((name.to_owned(), values.to_vec()));
            }
            Value::Null
        })
        .await;
    let expected = [
        ("ping", vec![json!(200), json!(true)]),
        ("health", vec![json!(200), json!("ok")]),
        ("login", vec![json!(202)]),
        ("offer", vec![json!(200), json!({ "items": [1, 2, 3] })]),
        (
            "unknown",
            vec![json!(404), json!("urn:headstart:unknown-ticket")],
        ),
        ("published", vec![json!(200), json!("accepted")]),
        (
            "latest",
            vec![json!(200), json!("1"), json!({ "home": 71 })],
        ),
        ("since", vec![json!(200), json!(["1"])]),
        ("subscribers", vec![json!(200), json!(0)]),
    ];
    assert_eq!(
        told,
        expected.map(|(name, values)| (name.to_owned(), values)),
        "{topic}"
    );
}

#[tokio::test]
async fn the_types_of_openapi_typescript_make_a_strict_client() {
    let (edge, topic, folder) = (brief_edge().await, fresh_topic(), folder());
    let types = folder.path().join("schema.d.ts");
    Script::of("openapi-typescript")
        .folder(folder.path())
        .arg(root().join("openapi.yaml"))
        .arg("--output")
        .arg(&types)
        .output()
        .await;
    let config = json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "allowJs": true, "module": "nodenext", "target": "esnext",
            "lib": ["esnext", "dom", "dom.iterable"], "types": [], "paths": { "schema": [types] },
            "skipLibCheck": true,
        },
        "files": [clients().join("generated.ts")],
    });
    let config_file = folder.path().join("tsconfig.json");
    fs::write(&config_file, config.to_string()).expect("the folder can be written");
    Script::of("tsc")
        .arg("--project")
        .arg(config_file)
        .output()
        .await;
    use_edge(
        &edge,
        &topic,
        signing("clients/generated.ts", &edge.url(), &topic),
    )
    .await;
}

#[tokio::test]
async fn openapi_python_client_makes_a_client_without_a_warning() {
    let (edge, topic, folder) = (brief_edge().await, fresh_topic(), folder());
    Script::of("openapi-python-client")
        .folder(folder.path())
        .args(&[
            "generate",
            "--meta",
            "none",
            "--fail-on-warning",
            "--output-path",
            "headstart_client",
            "--path",
        ])
        .arg(root().join("openapi.yaml"))
        .output()
        .await;
    let script = signing("clients/generated.py", &edge.url(), &topic);
    use_edge(&edge, &topic, script.env("PYTHONPATH", folder.path())).await;
}
