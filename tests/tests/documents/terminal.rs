//! A reader's terminal: a shell that is given one line after the other, and keeps its folder and its
//! variables from one to the next.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use headstart_tests::wait::{within, within_time};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::{Instant, sleep},
};

use crate::checkout::Checkout;

/// How long a line may take. The longest builds the edge.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long a reader looks at a command that says nothing before pressing Ctrl-C.
const QUIET: Duration = Duration::from_secs(8);

/// What a line has printed, on both outputs, and how it ended.
#[derive(Debug)]
pub struct Printed {
    pub status: i32,
    pub text: String,
}

/// A shell. Dropping it kills it.
#[derive(Debug)]
pub struct Terminal {
    _shell: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    outputs: TempDir,
    lines: usize,
}

impl Terminal {
    /// Opens one in the checkout's folder.
    pub fn open(checkout: &Checkout) -> Self {
        let mut command = tokio::process::Command::from(checkout.command("bash"));
        let mut shell = command
            .args(["--noprofile", "--norc"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("bash can be started");
        let output = shell.stdout.take().expect("it is piped");
        Self {
            input: shell.stdin.take().expect("it is piped"),
            answers: BufReader::new(output).lines(),
            _shell: shell,
            outputs: TempDir::new().expect("a folder can be made"),
            lines: 0,
        }
    }

    /// Runs a line to its end.
    pub async fn run(&mut self, line: &str) -> Printed {
        let output = self.next_output();
        self.say(&format!("{}; echo $?", redirected(line, &output)))
            .await;
        let status = within_time(PATIENCE, line, self.number()).await;
        read_outputs(status, &output)
    }

    /// Runs a line until it has printed something, or says nothing for a while, and presses Ctrl-C.
    pub async fn run_until_ctrl_c(&mut self, line: &str) -> Printed {
        let output = self.next_output();
        // Job control gives it a process group of its own, as at a real terminal.
        let started = format!("set -m; {} & echo $!; set +m", redirected(line, &output));
        self.say(&started).await;
        let number = within(line, self.number()).await;
        let group = Pid::from_raw(number).expect("a process has a number");
        let begun = Instant::now();
        let printed = || fs::metadata(&output).is_ok_and(|file| file.len() > 0);
        let runs = || test_kill_process(group).is_ok();
        while runs() && !printed() && begun.elapsed() < QUIET {
            sleep(Duration::from_millis(50)).await;
        }
        // Gone already is as good: then its status says how it ended.
        let _ = kill_process_group(group, Signal::INT);
        self.say(&format!("wait {number}; echo $?")).await;
        let status = within(&format!("Ctrl-C to end {line}"), self.number()).await;
        let interrupted = [128 + Signal::INT.as_raw(), 0].contains(&status);
        read_outputs(if interrupted { 0 } else { status }, &output)
    }

    fn next_output(&mut self) -> PathBuf {
        self.lines += 1;
        self.outputs.path().join(self.lines.to_string())
    }

    async fn say(&mut self, command: &str) {
        let bytes = format!("{command}\n");
        let said = self.input.write_all(bytes.as_bytes()).await;
        said.expect("the shell listens");
    }

    async fn number(&mut self) -> i32 {
        let answer = self.answers.next_line().await.expect("the shell answers");
        let answer = answer.expect("the shell has not ended");
        answer.parse().expect("it answers with a number")
    }
}

/// The command with its output in a file. The line ends before the brace does, whatever comment it has.
fn redirected(line: &str, output: &Path) -> String {
    format!("{{ {line}\n}} </dev/null >'{}' 2>&1", output.display())
}

fn read_outputs(status: i32, output: &Path) -> Printed {
    let bytes = fs::read(output).expect("the output can be read");
    Printed {
        status,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}
