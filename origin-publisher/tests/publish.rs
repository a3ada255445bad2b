//! `origin-publisher publish`, as a process of its own that may die at any time.

use std::{
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Json, Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use headstart_protocol::{
    event::Event,
    keys::Key,
    report::{EventResult, PublishReport, Status},
};
use serde_json::Value;

/// An edge that takes updates, or is down.
#[derive(Clone, Default)]
struct Edge {
    is_up: Arc<AtomicBool>,
    /// What it answers instead of taking anything, though it is up.
    status: Arc<Mutex<Option<StatusCode>>>,
    /// Ids of what came while it was down.
    refused: Arc<Mutex<Vec<String>>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl Edge {
    /// Listens on a thread of its own, and gives its URL.
    fn start(&self) -> String {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let router = Router::new()
            .route("/events", post(publish))
            .with_state(self.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let socket = tokio::net::TcpListener::from_std(socket).unwrap();
                axum::serve(socket, router).await.unwrap();
            });
        });
        url
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }
}

async fn publish(State(edge): State<Edge>, body: Bytes) -> Result<Json<PublishReport>, StatusCode> {
    let batch = Event::batch_from_json(&body).unwrap().into_iter();
    let ids = batch.map(|event| event.unwrap().id);
    if !edge.is_up.load(Ordering::SeqCst) {
        edge.refused.lock().unwrap().extend(ids);
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    if let Some(status) = *edge.status.lock().unwrap() {
        return Err(status);
    }
    let mut taken = edge.taken.lock().unwrap();
    let results = ids
        .map(|id| {
            taken.push(id.clone());
            EventResult {
                id,
                status: Status::Accepted,
                reason: None,
            }
        })
        .collect();
    Ok(Json(PublishReport { results }))
}

/// `publish` on a topic, with a key, and a folder of its own.
fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_origin-publisher"));
    command
        .current_dir(folder)
        .args(["publish", "--topic", "scores/nba"])
        .env("XDG_STATE_HOME", folder)
        .env(
            "HEADSTART_ORIGIN_KEY",
            Key::from_bytes(&[2; 32]).unwrap().expose(),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn command(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = program(folder);
    command.args(["--edge", url]).args(arguments);
    command
}

fn run(folder: &Path, url: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = command(folder, url, arguments).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Kills as `kill -9` does.
fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_killed_publisher_had_kept_the_next_one_delivers() {
    let folder = tempfile::tempdir().unwrap();
    let edge = Edge::default();
    let url = edge.start();
    for id in ["1", "2"] {
        let child = command(folder.path(), &url, &["--data", "1", "--id", id])
            .spawn()
            .unwrap();
        // It sends the update only once that is durable; what the one before left it may send sooner.
        let start = Instant::now();
        while !edge.refused.lock().unwrap().contains(&id.to_owned()) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "nothing was sent"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        kill(child);
    }
    assert_eq!(edge.taken(), [""; 0]);
    edge.is_up.store(true, Ordering::SeqCst);
    let output = run(folder.path(), &url, &["--data", "1", "--id", "3"], "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "3 accepted\n");
    assert_eq!(edge.taken(), ["1", "2", "3"]);
}

#[test]
fn each_line_of_the_input_is_an_update_and_what_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let edge = Edge::default();
    edge.is_up.store(true, Ordering::SeqCst);
    let url = edge.start();
    let output = run(folder.path(), &url, &[], "{\"a\":1}\nno JSON\n\n[2]\n");
    assert!(!output.status.success());
    let errors = text(&output.stderr);
    assert!(errors.contains("line 2: refused"), "{errors}");
    assert!(errors.contains("1 of 3"), "{errors}");
    let printed: Vec<String> = text(&output.stdout)
        .lines()
        .map(|line| line.strip_suffix(" accepted").unwrap().to_owned())
        .collect();
    assert_eq!(edge.taken(), printed);
    assert_eq!(printed.len(), 2);
}

#[test]
fn what_no_trying_again_heals_ends_it_at_once_and_what_is_left_is_told() {
    let edge = Edge::default();
    edge.is_up.store(true, Ordering::SeqCst);
    let url = edge.start();
    for (status, word) in [
        (StatusCode::UNAUTHORIZED, "ORIGIN_KEYS"),
        (StatusCode::NOT_FOUND, "is this the URL of an edge?"),
        (StatusCode::MOVED_PERMANENTLY, "is this the URL of an edge?"),
        // An empty body is no report.
        (StatusCode::OK, "is this the URL of an edge?"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        *edge.status.lock().unwrap() = Some(status);
        let start = Instant::now();
        let output = run(folder.path(), &url, &["--data", "1"], "");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{status}: {errors}");
        assert!(start.elapsed() < Duration::from_secs(5), "{status}");
        for word in [word, "1 deliveries are still to be made"] {
            assert!(errors.contains(word), "{status}: {errors}");
        }
    }
}

#[test]
fn an_edge_that_is_away_is_given_up_after_the_time_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let edge = Edge::default();
    let url = edge.start();
    let start = Instant::now();
    let output = run(folder.path(), &url, &["--data", "1", "--give-up", "1"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(start.elapsed() >= Duration::from_secs(1));
    let errors = text(&output.stderr);
    let told = "error: given up: nothing was taken for 1 s; 1 deliveries are still to be made";
    assert!(errors.contains(told), "{errors}");
    // With nothing to give up, it goes by its input alone.
    edge.is_up.store(true, Ordering::SeqCst);
    let mut child = command(folder.path(), &url, &["--give-up", "1"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    child.stdin.take().unwrap().write_all(b"2\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(edge.taken().len(), 2);
}

#[test]
fn an_interrupted_publisher_ends_soon_and_says_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let edge = Edge::default();
    let url = edge.start();
    let child = command(folder.path(), &url, &["--data", "1"])
        .spawn()
        .unwrap();
    while edge.refused.lock().unwrap().is_empty() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let start = Instant::now();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    let errors = text(&output.stderr);
    assert!(
        errors.contains("interrupted; 1 deliveries are still"),
        "{errors}"
    );
    assert!(errors.contains("outbox.sqlite3.publish-1"), "{errors}");
}

#[test]
fn programs_get_a_line_of_json_for_each_document_and_who_asks_for_quiet_none() {
    let folder = tempfile::tempdir().unwrap();
    let edge = Edge::default();
    edge.is_up.store(true, Ordering::SeqCst);
    let url = edge.start();
    let output = run(folder.path(), &url, &["--json"], "1\nno JSON\n");
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |name: &str| lines.iter().find_map(|line| line.get(name)).unwrap();
    assert_eq!(of("refused")["document"], "line 2");
    let published = of("published");
    assert_eq!(published["topic"], "scores/nba");
    assert_eq!(published["id"], edge.taken()[0]);
    let name = url.strip_prefix("http://").unwrap();
    assert_eq!(published["edges"][name]["status"], "accepted");
    let quiet = run(folder.path(), &url, &["--quiet", "--data", "1"], "");
    assert!(quiet.status.success() && quiet.stdout.is_empty());
}

#[test]
fn without_its_key_it_says_what_is_missing_and_its_environment_may_name_the_edge() {
    let folder = tempfile::tempdir().unwrap();
    let without_key = command(folder.path(), "http://127.0.0.1:1", &["--data", "1"])
        .env_remove("HEADSTART_ORIGIN_KEY")
        .output()
        .unwrap();
    let errors = text(&without_key.stderr);
    assert!(errors.contains("HEADSTART_ORIGIN_KEY: missing"), "{errors}");
    assert!(errors.contains("source scripts/activate.sh"), "{errors}");
    let edge = Edge::default();
    edge.is_up.store(true, Ordering::SeqCst);
    let mut by_variable = program(folder.path());
    by_variable.args(["--data", "1"]);
    let output = by_variable
        .env("HEADSTART_EDGE_URL", edge.start())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let nowhere = by_variable
        .env("HEADSTART_EDGE_URL", "notaurl")
        .output()
        .unwrap();
    let errors = text(&nowhere.stderr);
    assert!(
        errors.contains("HEADSTART_EDGE_URL: must be like"),
        "{errors}"
    );
}
