//! Tells an optimised build which commit it is made of, where there is a repository. A debug build is
//! made too often to be made anew after each commit for that.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = env!("CARGO_PKG_VERSION");
    let is_optimised = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = is_optimised.then(|| git(&["log", "-1", "--format=%h %cs"]));
    let version = match commit.flatten() {
        Some(commit) => format!("{version} ({commit})"),
        None => version.to_owned(),
    };
    println!("cargo::rustc-env=HEADSTART_VERSION={version}");
    // What a commit and a checkout change.
    let head = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    if let Some(head) = head.filter(|head| is_optimised && Path::new(head).exists()) {
        println!("cargo::rerun-if-changed={head}");
    }
}

/// What git says on one line; `None` without git or a repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let line = said.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
