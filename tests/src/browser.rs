//! A real browser: Chromium, driven by a Node script of `tests/browser/`.
//!
//! A script asks the test for what only Rust does, such as starting an edge: a line `ask {"name": [...]}`
//! on its standard output, which the test answers by a line of JSON on its standard input.

use std::{env, ffi::OsString, path::PathBuf, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::{edge_config::root, wait::within_time};

/// How long a script may take: several waits one after the other.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(4);

/// What stands before a question.
const ASK: &str = "ask ";

/// Chromium: `HEADSTART_CHROMIUM`, or where Debian has it.
fn chromium() -> PathBuf {
    let chromium =
        env::var_os("HEADSTART_CHROMIUM").map_or_else(|| "/usr/bin/chromium".into(), PathBuf::from);
    assert!(
        chromium.exists(),
        "{} is missing: `apt-get install chromium` installs it, or HEADSTART_CHROMIUM names another one",
        chromium.display()
    );
    chromium
}

/// Runs `tests/browser/{script}` to its end, which must be a good one, and answers what it asks.
pub async fn run(
    script: &str,
    arguments: &[&str],
    mut answer: impl AsyncFnMut(&str, &[Value]) -> Value,
) {
    let tools = root().join("node_modules/.bin");
    let mut path = OsString::from(&tools);
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut child = Command::new("node")
        .arg(root().join("tests/browser").join(script))
        .args(arguments)
        .env("PATH", path)
        .env("HEADSTART_CHROMIUM", chromium())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node can be started: `make setup` installs it");
    let mut input = child.stdin.take().expect("it is piped");
    let output = child.stdout.take().expect("it is piped");
    let mut errors = child.stderr.take().expect("it is piped");
    let told = async {
        let mut told = String::new();
        let _ = errors.read_to_string(&mut told).await;
        told
    };
    let conversation = async {
        let mut lines = BufReader::new(output).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Some(question) = line.strip_prefix(ASK) else {
                println!("{script}: {line}");
                continue;
            };
            let question: serde_json::Map<String, Value> =
                serde_json::from_str(question).expect("a question is an object");
            let (name, values) = question.iter().next().expect("a question has a name");
            let values = values.as_array().expect("its values are a list");
            let reply = format!("{}\n", answer(name, values).await);
            // A script that is gone has told why.
            let _ = input.write_all(reply.as_bytes()).await;
        }
    };
    let (told, (), status) = within_time(PATIENCE, script, async {
        tokio::join!(told, conversation, child.wait())
    })
    .await;
    let status = status.expect("a child can be waited for");
    assert!(status.success(), "{script} ended with {status}:\n{told}");
}
