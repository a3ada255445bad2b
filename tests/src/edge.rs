//! A real edge: workerd through `wrangler dev`, with the prebuilt Worker, KV and Durable Objects of
//! its own, on a port that the system chooses.

use std::{
    env,
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpListener},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    client::Client,
    edge_config::{EdgeConfig, MODULE, root},
    process::ProcessGroup,
    wait::until,
};

/// What `wrangler dev` writes when it listens.
const READY: &str = "Ready on http://";

/// A running edge. Dropping it kills it and removes its state.
#[derive(Debug)]
pub struct Edge {
    process: ProcessGroup,
    address: SocketAddr,
    folder: TempDir,
}

impl Edge {
    /// Starts an edge with empty state and waits until it says that it is well.
    pub async fn start(config: EdgeConfig) -> Self {
        Self::start_until(config, 200).await
    }

    /// Starts an edge that finds fault with its settings, and waits until it says so.
    pub async fn start_unhealthy(config: EdgeConfig) -> Self {
        Self::start_until(config, 503).await
    }

    async fn start_until(config: EdgeConfig, health: u16) -> Self {
        let folder = TempDir::with_prefix("headstart-edge-").expect("a folder can be made");
        configure(&folder, &config);
        let (process, address) = run(&folder, 0, health).await;
        Self {
            process,
            address,
            folder,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// Kills it at once, as a crash would. What it has stored stays.
    pub async fn kill(&mut self) {
        self.process.kill();
        // The group's other members die a moment after their leader.
        until("the edge's port to be free", async || {
            TcpListener::bind(self.address).ok()
        })
        .await;
    }

    /// Starts it again after [`Edge::kill`]: same port, same state.
    pub async fn start_again(&mut self) {
        (self.process, self.address) = run(&self.folder, self.address.port(), 200).await;
    }

    /// As [`Edge::start_again`], with other settings.
    pub async fn start_again_with(&mut self, config: EdgeConfig) {
        configure(&self.folder, &config);
        self.start_again().await;
    }

    /// How many objects of a class have stored something.
    #[must_use]
    pub fn objects(&self, class: &str) -> usize {
        let folder = self.folder.path().join("state/v3/do");
        let classes = fs::read_dir(folder).into_iter().flatten().flatten();
        let of_class = classes.filter(|entry| entry.file_name().to_string_lossy().ends_with(class));
        let files = of_class.flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten());
        files
            .flatten()
            .filter(|file| {
                let path = file.path();
                // The platform keeps a file of its own beside theirs.
                path.extension()
                    .is_some_and(|extension| extension == "sqlite")
                    && path.file_stem().is_some_and(|name| name != "metadata")
            })
            .count()
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) fn process(&self) -> &ProcessGroup {
        &self.process
    }
}

/// Writes what an edge reads when it starts.
pub(crate) fn configure(folder: &TempDir, config: &EdgeConfig) {
    for (file, text) in [
        ("wrangler.toml", config.wrangler_toml()),
        (".dev.vars", config.dev_vars()),
    ] {
        fs::write(folder.path().join(file), text).expect("the edge's folder can be written");
    }
    if let Some(text) = config.module() {
        fs::write(folder.path().join(MODULE), text).expect("the edge's folder can be written");
    }
}

/// A program of `node_modules` in an edge's folder, with an environment that keeps it quiet and within
/// that folder.
pub(crate) fn command(program: &str, folder: &TempDir) -> Command {
    let tools = root().join("node_modules/.bin");
    assert!(
        tools.join("wrangler").exists(),
        "{} has no wrangler: `make setup` installs it",
        tools.display()
    );
    let mut path = OsString::from(&tools);
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    // workerd leaves files behind when it is killed.
    let scratch = folder.path().join("tmp");
    fs::create_dir_all(&scratch).expect("the edge's folder can be written");
    let mut command = Command::new(tools.join(program));
    command
        .current_dir(folder)
        .env("PATH", path)
        // Edges must not find each other through the register of running ones.
        .env("WRANGLER_REGISTRY_PATH", folder.path().join("registry"))
        .env("WRANGLER_LOG_PATH", folder.path().join("logs"))
        .env("TMPDIR", &scratch)
        .env("WRANGLER_SEND_METRICS", "false")
        .env("WRANGLER_HIDE_BANNER", "true")
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    command
}

/// Waits until an edge has logged after `before` bytes that it listens, by `ready` and its URL; gives where.
pub(crate) async fn listening(
    process: &mut ProcessGroup,
    ready: &str,
    before: usize,
) -> SocketAddr {
    until("the edge to listen", async || {
        if let Some(status) = process.ended() {
            panic!("the edge ended with {status} before it was ready");
        }
        let log = process.log();
        let (_, after) = log.get(before..)?.split_once(ready)?;
        // The line is whole only once its end is there.
        let (url, _) = after.split_once('\n')?;
        let (_, port) = url.trim().trim_end_matches('/').rsplit_once(':')?;
        Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
    })
    .await
}

/// Runs an edge with the configuration and the state in `folder` until `/healthz` answers `health`.
async fn run(folder: &TempDir, port: u16, health: u16) -> (ProcessGroup, SocketAddr) {
    let mut command = command("wrangler", folder);
    command
        .args(["dev", "--ip", "127.0.0.1", "--inspector-port", "0"])
        .args(["--port", &port.to_string(), "--persist-to", "state"])
        .arg("--show-interactive-dev-session=false");
    let old_log = fs::read_to_string(folder.path().join("edge.log")).map_or(0, |log| log.len());
    let mut process = ProcessGroup::start("edge", command, folder.path());
    let address = listening(&mut process, READY, old_log).await;
    let client = Client::new(&format!("http://{address}"));
    until("the edge to answer", async || {
        let answer = client.get("/healthz").try_send().await.ok()?;
        (answer.status == health).then_some(())
    })
    .await;
    (process, address)
}
