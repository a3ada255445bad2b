//! A real origin: the `origin-publisher` binary, with configuration, keys and outbox of its own.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
};

use headstart_protocol::keys::Key;
use tempfile::TempDir;
use toml::{Table, Value};

use crate::{
    client::Client,
    edge::Edge,
    keys::{login_key, origin_key, ticket_key, token_key},
    kv::{API_PATH, NAMESPACE},
    process::ProcessGroup,
    wait::until,
};

/// What an origin logs when it listens, beside the address.
const LISTENING: &str = "listening";

/// An effort that takes a second or more of a debug build.
const SLOW: i64 = 1500;

/// An effort that outlasts any test.
const ENDLESS: i64 = 1_000_000;

/// Makes the folder `disk` a file system of its own, of so many KiB, and runs the rest.
const WITH_DISK: &str = r#"mount -t tmpfs -o "size=$0k" tmpfs disk && exec "$@""#;

/// Longest generation, in milliseconds, where it must not run out of time on a busy machine.
const NO_TIMEOUT_MS: i64 = 600_000;

/// The binary: `HEADSTART_ORIGIN_BIN`, or the one that was built with this test.
#[must_use]
pub fn binary() -> PathBuf {
    env::var_os("HEADSTART_ORIGIN_BIN").map_or_else(|| built("origin-publisher"), PathBuf::from)
}

/// What was built with this test, by its path in the folder of the profile.
fn built(path: &str) -> PathBuf {
    let test = env::current_exe().expect("this test is a file");
    // <profile>/deps/<test>
    let profile = test.ancestors().nth(2).expect("it lies in a target folder");
    let binary = profile.join(path);
    assert!(
        binary.exists(),
        "{} is missing: `make test` builds it first, and `cargo build -p origin-publisher --bins --examples` alone",
        binary.display()
    );
    binary
}

/// The settings of one origin.
#[derive(Debug, Clone)]
pub struct OriginConfig {
    name: String,
    /// Runs this instead of the program's `serve`.
    example: Option<&'static str>,
    /// Its outbox has a disk of its own, of so many KiB.
    disk: Option<u32>,
    values: Vec<(String, Value)>,
    edges: Vec<Table>,
    environment: Vec<(String, String)>,
}

impl OriginConfig {
    /// An origin of this name, with the keys of [`crate::keys`] and a listener, that knows no edge yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let secret = |name: &str, key: Key| (name.to_owned(), key.expose());
        let environment = vec![
            secret("HEADSTART_TICKET_KEY", ticket_key()),
            secret("HEADSTART_ORIGIN_KEY", origin_key()),
            secret("HEADSTART_LOGIN_KEY", login_key()),
            secret("HEADSTART_TOKEN_KEY", token_key()),
            ("HEADSTART_API_TOKEN".to_owned(), "any".to_owned()),
        ];
        Self {
            name: name.to_owned(),
            example: None,
            disk: None,
            values: vec![("listen.addr".to_owned(), "127.0.0.1:0".into())],
            edges: Vec::new(),
            environment,
        }
    }

    /// With an edge to serve.
    #[must_use]
    pub fn edge(self, edge: &Edge) -> Self {
        self.edge_through(edge, &edge.url())
    }

    /// With an edge to serve whose own routes are reached through `url`; its KV is reached directly.
    #[must_use]
    pub fn edge_through(mut self, edge: &Edge, url: &str) -> Self {
        let kv = Table::from_iter([
            ("api".to_owned(), format!("{}{API_PATH}", edge.url()).into()),
            ("namespace_id".to_owned(), NAMESPACE.into()),
        ]);
        self.edges.push(Table::from_iter([
            (
                "name".to_owned(),
                format!("edge-{}", self.edges.len()).into(),
            ),
            ("url".to_owned(), url.into()),
            ("kv".to_owned(), kv.into()),
        ]));
        self
    }

    /// With the KV of the last edge reached through `url`.
    #[must_use]
    pub fn kv_through(mut self, url: &str) -> Self {
        let edge = self.edges.last_mut().expect("an edge");
        edge["kv"]["api"] = format!("{url}{API_PATH}").into();
        self
    }

    /// With the value at `path`, such as `generate.queue`.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        self.values.push((path.to_owned(), value.into()));
        self
    }

    /// That takes long enough for an offer to be interrupted.
    #[must_use]
    pub fn slow(self) -> Self {
        self.set("generate.retail.effort", SLOW)
            .set("generate.timeout_ms", NO_TIMEOUT_MS)
    }

    /// That never finishes an offer.
    #[must_use]
    pub fn endless(self) -> Self {
        self.set("generate.retail.effort", ENDLESS)
            .set("generate.timeout_ms", NO_TIMEOUT_MS)
    }

    /// That is this example of `origin-publisher` instead of its program.
    #[must_use]
    pub fn example(mut self, name: &'static str) -> Self {
        self.example = Some(name);
        self
    }

    /// With its outbox on a disk of `kib` KiB, which [`Origin::fill_disk`] fills.
    #[must_use]
    pub fn small_disk(mut self, kib: u32) -> Self {
        self.disk = Some(kib);
        self.set("outbox.path", "disk/outbox.sqlite3")
    }

    /// With this variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn to_toml(&self) -> String {
        let mut config = Table::new();
        let name = ("origin.name".to_owned(), Value::from(self.name.clone()));
        for (path, value) in std::iter::once(&name).chain(&self.values) {
            let (sections, key) = path.rsplit_once('.').expect("section.key");
            let section = sections.split('.').fold(&mut config, |table, name| {
                let section = table.entry(name).or_insert_with(|| Table::new().into());
                section.as_table_mut().expect("a section is a table")
            });
            section.insert(key.to_owned(), value.clone());
        }
        let edges: Vec<Value> = self.edges.iter().cloned().map(Value::Table).collect();
        config.insert("edges".to_owned(), edges.into());
        config.to_string()
    }
}

/// An origin with its folder, running or not. Dropping it kills it and removes the folder.
#[derive(Debug)]
pub struct Origin {
    process: Option<ProcessGroup>,
    config: OriginConfig,
    folder: TempDir,
    /// Length of the log when it was last started.
    started_at: usize,
}

impl Origin {
    /// Writes the configuration of an origin and starts it.
    #[must_use]
    pub fn start(config: OriginConfig) -> Self {
        let mut origin = Self::new(config);
        origin.start_again();
        origin
    }

    /// Writes the configuration of an origin, without starting it.
    #[must_use]
    pub fn new(config: OriginConfig) -> Self {
        let folder = TempDir::with_prefix("headstart-origin-").expect("a folder can be made");
        std::fs::write(folder.path().join("headstart.toml"), config.to_toml())
            .expect("the configuration can be written");
        Self {
            process: None,
            config,
            folder,
            started_at: 0,
        }
    }

    /// Starts it again with the same outbox, after [`Origin::kill`] or [`Origin::stop`].
    pub fn start_again(&mut self) {
        let mut command = if let Some(name) = self.config.example {
            self.command_of(&built(&format!("examples/{name}")))
        } else {
            let mut command = self.command();
            command.arg("serve");
            command
        };
        if let Some(kib) = self.config.disk {
            command = self.with_disk(&command, kib);
        }
        self.started_at = self.log().len();
        self.process = Some(ProcessGroup::start("origin", command, self.folder.path()));
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it as a service manager does, with SIGTERM, and waits until it has ended.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        process.terminate();
        process.wait()
    }

    /// Stops it in the middle of whatever it does, until [`Origin::thaw`].
    pub fn freeze(&self) {
        self.running().freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.running().thaw();
    }

    /// Leaves no room on its disk, until [`Origin::clear_disk`].
    pub fn fill_disk(&self) {
        let mut filler = File::create(self.filler()).expect("the disk is there");
        let zeros = [0; 1024];
        while filler.write_all(&zeros).is_ok() {}
    }

    /// Makes room on its disk again.
    pub fn clear_disk(&self) {
        std::fs::remove_file(self.filler()).expect("the disk was filled");
    }

    /// What fills its disk, which only the origin itself sees at its place.
    fn filler(&self) -> PathBuf {
        let mut seen = OsString::from(format!("/proc/{}/root", self.running().id()));
        seen.push(self.folder.path());
        PathBuf::from(seen).join("disk/filler")
    }

    /// Everything that it has logged since it was first started.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("origin.log"));
        String::from_utf8_lossy(&log.unwrap_or_default()).into_owned()
    }

    /// Waits until it has logged `text`, `count` times in all.
    pub async fn logged(&self, text: &str, count: usize) {
        let what = format!("the origin to log {text:?} {count} times");
        until(&what, async || {
            (self.log().matches(text).count() >= count).then_some(())
        })
        .await;
    }

    /// Waits until it generates, or is about to, for `count` logins at the same time.
    pub async fn generates(&self, count: u64) {
        let listener = self.listener().await;
        until(&format!("the origin to hold {count} logins"), async || {
            let health = listener.get("/healthz").send().await.json();
            let of = |name: &str| health[name].as_u64().expect("a number");
            (of("generating") + of("queued") >= count && of("generating") > 0).then_some(())
        })
        .await;
    }

    /// A client of its listener.
    pub async fn listener(&self) -> Client {
        let address = until("the origin to listen", async || {
            // Each start has a port of its own.
            let log = self.log();
            let log = log.get(self.started_at..)?;
            let line = log.lines().find(|line| line.contains(LISTENING))?;
            let words = line.split(|c: char| !c.is_ascii_digit() && !".:".contains(c));
            words
                .filter_map(|word| word.parse::<SocketAddr>().ok())
                .next_back()
        })
        .await;
        Client::of_another_api(&format!("http://{address}"))
    }

    /// Runs a command of the binary beside it, with the same configuration, to its end.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments);
        command.output().expect("the binary can be run")
    }

    /// As [`Origin::run`], with its standard output going to `out`.
    #[must_use]
    pub fn run_printing_to(&self, arguments: &[&str], out: impl Into<Stdio>) -> Output {
        let mut command = self.command();
        command.args(arguments).stdout(out).stderr(Stdio::piped());
        let child = command.spawn().expect("the binary can be run");
        child.wait_with_output().expect("a child can be waited for")
    }

    /// As [`Origin::run`], with this on its standard input.
    #[must_use]
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command();
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be run");
        let mut stdin = child.stdin.take().expect("it is piped");
        // What it does not read is its own affair.
        let _ = stdin.write_all(input);
        drop(stdin);
        child.wait_with_output().expect("a child can be waited for")
    }

    /// Runs a command of the binary beside it and does not wait for its end. What it prints is its log.
    #[must_use]
    pub fn spawn(&self, name: &str, arguments: &[String]) -> ProcessGroup {
        let mut command = self.command();
        command.args(arguments);
        // Its own folder goes with its own guard.
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).expect("the origin's folder can be written");
        ProcessGroup::start(name, command, &folder)
    }

    pub(crate) fn running(&self) -> &ProcessGroup {
        self.process.as_ref().expect("it runs")
    }

    /// The binary in its folder, where it finds its configuration, with nothing but its own
    /// environment.
    fn command(&self) -> Command {
        self.command_of(&binary())
    }

    /// `command` in a view of the file system that ends with it: nothing stays mounted.
    fn with_disk(&self, command: &Command, kib: u32) -> Command {
        std::fs::create_dir_all(self.folder.path().join("disk")).expect("a folder can be made");
        let mut with_disk = self.command_of(Path::new("unshare"));
        if !rustix::process::geteuid().is_root() {
            with_disk.arg("--map-root-user");
        }
        with_disk.args(["--mount", "sh", "-c", WITH_DISK, &kib.to_string()]);
        with_disk
            .arg(command.get_program())
            .args(command.get_args());
        with_disk
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env_clear().envs(
            self.config
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        command
    }
}
