//! What becomes of the program when what it prints cannot be written: a pipe that is closed, a full disk.

use std::{
    fs::File,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use headstart_protocol::keys::Key;

/// What tells that a command panicked.
const PANIC: &str = "panicked";

fn program(folder: &Path) -> Command {
    let key = Key::from_bytes(&[2; 32]).unwrap().expose();
    let mut command = Command::new(env!("CARGO_BIN_EXE_origin-publisher"));
    command
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    for name in ["TICKET", "ORIGIN", "TOKEN"] {
        command.env(format!("HEADSTART_{name}_KEY"), &key);
    }
    command
}

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// A pipe that nobody reads.
fn closed() -> Stdio {
    io::pipe().unwrap().1.into()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Commands that print something without an edge.
const COMMANDS: [&[&str]; 8] = [
    &["--help"],
    &["--version"],
    &["publish", "--help"],
    &["keys", "new"],
    &["token", "--topics", "a"],
    &["config", "check", "--edge-url", "http://127.0.0.1:1"],
    &["completions", "bash"],
    &["man"],
];

#[test]
fn a_reader_that_has_enough_ends_every_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let output = program(folder.path())
            .args(command)
            .stdout(closed())
            .output()
            .unwrap();
        assert_eq!(
            (output.status.code(), said(&output).as_str()),
            (Some(0), ""),
            "{command:?}"
        );
    }
}

#[test]
fn a_full_disk_is_said_in_one_sentence_and_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let output = program(folder.path())
            .args(command)
            .stdout(full())
            .output()
            .unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
        assert!(
            said.starts_with("error: standard output cannot be written"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_command_that_fails_ends_with_its_status_when_nobody_can_be_told() {
    let folder = tempfile::tempdir().unwrap();
    for error in [full(), closed()] {
        let mut command = program(folder.path());
        let command = command
            .args(["config", "check"])
            .stdout(Stdio::null())
            .stderr(error);
        assert_eq!(command.status().unwrap().code(), Some(1));
    }
}

/// An origin without an edge that is there; dropped, it is killed.
struct Origin {
    process: Child,
    addr: SocketAddr,
}

impl Origin {
    /// Starts it with its log going to `log`, and waits until it answers.
    fn start(folder: &Path, log: Stdio, arguments: &[&str]) -> Self {
        let addr = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let process = program(folder)
            .args([
                "serve",
                "--edge-url",
                "http://127.0.0.1:1",
                "--listen-auth",
                "open",
            ])
            .args(["--listen", &addr.to_string()])
            .args(arguments)
            .stderr(log)
            .spawn()
            .unwrap();
        let mut origin = Self { process, addr };
        let start = Instant::now();
        while origin.get("/healthz").is_err() {
            let ended = origin.process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}");
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "it does not answer"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        origin
    }

    fn get(&self, path: &str) -> io::Result<String> {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: o\r\nconnection: close\r\n\r\n"
        ))
    }

    fn log_in(&self) -> io::Result<String> {
        let body = r#"{"user":"17850"}"#;
        let length = body.len();
        self.ask(&format!(
            "POST /login HTTP/1.1\r\nhost: o\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    fn ask(&self, request: &str) -> io::Result<String> {
        let mut connection = TcpStream::connect(self.addr)?;
        connection.write_all(request.as_bytes())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Ends it as a service manager does.
    fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.process.wait().unwrap().code()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn an_origin_whose_log_cannot_be_written_goes_on_serving() {
    for format in ["human", "json"] {
        for log in [full(), closed()] {
            let folder = tempfile::tempdir().unwrap();
            let origin = Origin::start(folder.path(), log, &["--log-format", format]);
            for _ in 0..5 {
                let answer = origin.log_in().unwrap();
                assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
            }
            let metrics = origin.get("/metrics").unwrap();
            assert!(
                metrics.contains("headstart_logins_total{from=\"listener\"} 5"),
                "{metrics}"
            );
            assert_eq!(origin.stop(), Some(0));
        }
    }
}

#[test]
fn colours_are_as_the_environment_wants_them() {
    let folder = tempfile::tempdir().unwrap();
    for (variables, coloured) in [
        (&[][..], false),
        (&[("CLICOLOR_FORCE", "1")], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
    ] {
        let mut publish = program(folder.path());
        publish
            .args(["publish", "--topic", "a", "--data", "1", "--give-up", "0.3"])
            .args(["--edge", "http://127.0.0.1:1"])
            .envs(variables.iter().copied());
        let said = said(&publish.output().unwrap());
        assert!(
            said.contains("updates not delivered") && !said.contains(PANIC),
            "{said}"
        );
        assert_eq!(said.contains('\u{1b}'), coloured, "{variables:?}: {said}");
    }
}
