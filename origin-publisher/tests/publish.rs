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

/// An edge that takes updates, or is down.
#[derive(Clone, Default)]
struct Edge {
    is_up: Arc<AtomicBool>,
    /// Requests that came while it was down.
    refused: Arc<Mutex<u32>>,
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
    if !edge.is_up.load(Ordering::SeqCst) {
        *edge.refused.lock().unwrap() += 1;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut taken = edge.taken.lock().unwrap();
    let results = Event::batch_from_json(&body)
        .unwrap()
        .into_iter()
        .map(|event| {
            let id = event.unwrap().id;
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

fn command(folder: &Path, url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_origin-publisher"));
    command
        .current_dir(folder)
        .args(["publish", "--topic", "scores/nba", "--edge", url])
        .args(arguments)
        .env(
            "HEADSTART_ORIGIN_KEY",
            Key::from_bytes(&[2; 32]).unwrap().expose(),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
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
        let before = *edge.refused.lock().unwrap();
        let child = command(folder.path(), &url, &["--data", "1", "--id", id])
            .spawn()
            .unwrap();
        // It asks the edge only once the update is durable.
        let start = Instant::now();
        while *edge.refused.lock().unwrap() == before {
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
fn without_an_edge_or_its_key_it_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let without_key = command(folder.path(), "http://127.0.0.1:1", &["--data", "1"])
        .env_remove("HEADSTART_ORIGIN_KEY")
        .output()
        .unwrap();
    assert!(text(&without_key.stderr).contains("HEADSTART_ORIGIN_KEY: missing"));
    let without_edge = Command::new(env!("CARGO_BIN_EXE_origin-publisher"))
        .current_dir(folder.path())
        .args(["publish", "--topic", "a", "--data", "1"])
        .output()
        .unwrap();
    assert!(text(&without_edge.stderr).contains("--edge"));
    assert!(!without_key.status.success() && !without_edge.status.success());
}
