//! What the program does with an outbox that is damaged.

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use headstart_protocol::{
    event::{Event, TYPE_UPDATE},
    keys::Key,
};
use origin_publisher::outbox::{EdgeWays, Outbox, TopicUpdate};

fn program(folder: &Path, args: &[&str]) -> Command {
    let key = Key::from_bytes(&[2; 32]).unwrap().expose();
    let mut command = Command::new(env!("CARGO_BIN_EXE_origin-publisher"));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HEADSTART_TICKET_KEY", &key)
        .env("HEADSTART_ORIGIN_KEY", &key)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fills an outbox with updates for an edge.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("outbox.sqlite3");
    let edges = vec![EdgeWays {
        name: "edge".to_owned(),
        kv: false,
    }];
    let outbox = Outbox::open(&path, edges).unwrap();
    let updates = (0..300).map(|number| {
        let json = format!(
            r#"{{"specversion":"1.0","id":"{number}","source":"/test","type":"{TYPE_UPDATE}",
                "subject":"topic/{number}","datacontenttype":"text/plain","data":"{}"}}"#,
            "x".repeat(3000)
        );
        let event = Event::from_json(json.as_bytes()).unwrap();
        TopicUpdate::new(event, u64::from(u32::MAX) * 1000)
            .unwrap()
            .into()
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime
        .block_on(outbox.commit_all(updates.collect()))
        .unwrap();
    path
}

fn damage(path: &Path) {
    let mut file = File::options().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(length / 4)).unwrap();
    let noise: Vec<u8> = (0..length / 2).map(|_| fastrand::u8(..)).collect();
    file.write_all(&noise).unwrap();
}

#[test]
fn an_origin_whose_outbox_is_damaged_says_so_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    damage(&fill(folder.path()));
    // Nothing listens on port 1.
    let args = [
        "serve",
        "--edge-url",
        "http://127.0.0.1:1",
        "--set",
        "edges.0.name=edge",
    ];
    let mut running = program(folder.path(), &args).spawn().unwrap();
    let start = Instant::now();
    while running.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    running.kill().unwrap();
    let output = running.wait_with_output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: the outbox is damaged ("), "{said}");
}

#[test]
fn outbox_verify_tells_a_whole_outbox_from_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = fill(folder.path());
    let verify = |args: &[&str]| {
        let args = [&["outbox", "verify"], args].concat();
        program(folder.path(), &args).output().unwrap()
    };
    let whole = verify(&["--json"]);
    assert!(whole.status.success(), "{}", said(&whole));
    let report: serde_json::Value = serde_json::from_slice(&whole.stdout).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["deliveries"][0]["count"], 300);
    let shown = String::from_utf8(verify(&[]).stdout).unwrap();
    assert!(
        shown.contains("edge, update: 300 deliveries wait"),
        "{shown}"
    );

    damage(&path);
    let damaged = verify(&["--json"]);
    assert_eq!(damaged.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&damaged.stdout).unwrap();
    assert_eq!(report["ok"], false);
    assert!(said(&damaged).contains("is damaged:"), "{}", said(&damaged));
    let none = verify(&["--outbox", "none"]);
    assert_eq!(none.status.code(), Some(1));
}
