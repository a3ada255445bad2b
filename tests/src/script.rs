//! Scripts in other languages, which use what Rust has not: a browser, and other people's clients.
//!
//! A script asks the test for what only the test does or knows: a line `ask {"name": [...]}` on its standard
//! output, which the test answers by a line of JSON on its standard input. Whatever else it writes is shown
//! when the test fails.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
};

use crate::{edge_config::root, wait::within_time};

/// How long a script may take: several waits one after the other.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(4);

/// What stands before a question.
const ASK: &str = "ask ";

/// Where other people's clients are, and the scripts that use them.
#[must_use]
pub fn clients() -> PathBuf {
    root().join("tests/clients")
}

/// A script that is not started yet.
#[derive(Debug)]
pub struct Script {
    name: String,
    command: Command,
    /// What it reads from its standard input, where it does not ask.
    input: String,
}

impl Script {
    /// `tests/{path}`, by Node or by Python.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let file = root().join("tests").join(path);
        let is_python = file.extension().is_some_and(|extension| extension == "py");
        let program = if is_python { "python" } else { "node" };
        Self::of(program).name(path).arg(file)
    }

    /// A program: of the build tools, of other people's clients, or of the system.
    #[must_use]
    pub fn of(program: &str) -> Self {
        let here = clients();
        let folders = [
            root().join("node_modules/.bin"),
            here.join("node_modules/.bin"),
            here.join(".venv/bin"),
        ];
        let paths = env::var_os("PATH").unwrap_or_default();
        let paths = folders.into_iter().chain(env::split_paths(&paths));
        let mut command = Command::new(program);
        command
            .env("PATH", env::join_paths(paths).expect("no path has a colon"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // There is nothing between a test and its edge but what it put there.
            .env("NO_PROXY", "127.0.0.1")
            .env("no_proxy", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self {
            name: program.to_owned(),
            command,
            input: String::new(),
        }
    }

    /// Under another name, for whoever reads of a failed test.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.command.arg(argument.into());
        self
    }

    /// With these arguments more.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// That reads this from its standard input.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        text.clone_into(&mut self.input);
        self
    }

    /// With a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// In this folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it to its end, which must be a good one, and answers what it asks.
    pub async fn run(self, mut answer: impl AsyncFnMut(&str, &[Value]) -> Value) {
        let name = self.name.clone();
        self.lines(async |line, input| {
            let Some(question) = line.strip_prefix(ASK) else {
                println!("{name}: {line}");
                return;
            };
            let question: serde_json::Map<String, Value> =
                serde_json::from_str(question).expect("a question is an object");
            let (asked, values) = question.iter().next().expect("a question has a name");
            let values = values.as_array().expect("its values are a list");
            let reply = format!("{}\n", answer(asked, values).await);
            // A script that is gone has told why.
            let _ = input.write_all(reply.as_bytes()).await;
        })
        .await;
    }

    /// Runs it to its end, which must be a good one, and gives all that it asked. It is answered nothing.
    pub async fn told(self) -> Vec<(String, Vec<Value>)> {
        let mut told = Vec::new();
        self.run(async |name, values| {
            told.push((name.to_owned(), values.to_vec()));
            Value::Null
        })
        .await;
        told
    }

    /// Runs it to its end, which must be a good one, and gives what it wrote.
    pub async fn output(mut self) -> String {
        let name = self.name;
        let mut child = spawn(&name, &mut self.command);
        let mut input = child.stdin.take().expect("it is piped");
        // A program that does not read it to its end tells so by its own.
        let _ = input.write_all(self.input.as_bytes()).await;
        drop(input);
        let ended = within_time(PATIENCE, &name, child.wait_with_output()).await;
        let output = ended.expect("a child can be waited for");
        let [told, errors] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(
            output.status.success(),
            "{name} ended with {}:\n{told}\n{errors}",
            output.status
        );
        told.into_owned()
    }

    /// Runs it to its end, which must be a good one, and hands each line that it writes on.
    async fn lines(mut self, mut take: impl AsyncFnMut(&str, &mut ChildStdin)) {
        let name = self.name;
        let mut child = spawn(&name, &mut self.command);
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
                take(&line, &mut input).await;
            }
        };
        let (told, (), status) = within_time(PATIENCE, &name, async {
            tokio::join!(told, conversation, child.wait())
        })
        .await;
        let status = status.expect("a child can be waited for");
        assert!(status.success(), "{name} ended with {status}:\n{told}");
    }
}

fn spawn(name: &str, command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| {
        panic!("{name} does not start: {error}; scripts/test.sh installs what tests need")
    })
}
