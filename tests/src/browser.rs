//! A real browser: Chromium, driven by a Node script.

use std::{env, path::PathBuf};

use serde_json::Value;

use crate::script::Script;

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

/// The script `tests/{path}`, which may start a browser.
#[must_use]
pub fn script(path: &str) -> Script {
    Script::new(path).env("HEADSTART_CHROMIUM", chromium())
}

/// Runs `tests/browser/{file}` to its end, which must be a good one, and answers what it asks.
pub async fn run(file: &str, arguments: &[&str], answer: impl AsyncFnMut(&str, &[Value]) -> Value) {
    let script = script(&format!("browser/{file}"));
    let script = arguments
        .iter()
        .fold(script, |script, argument| script.arg(*argument));
    script.run(answer).await;
}
