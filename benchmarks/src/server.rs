//! The servers, each started afresh and killed when it is let go of.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, bail};
use headstart_client::{
    load::{headstart::Headstart, target::Target},
    subscribe::transport::Transport,
};
use headstart_protocol::topic::TopicName;
use headstart_tests::{
    edge_config::root,
    keys::{login_key, origin_key, ticket_key},
    process::ProcessGroup,
    wait::until,
};
use tempfile::TempDir;
use url::Url;

use crate::{
    plain::{Plain, Publishing},
    usage::Process,
};

/// The topic of every benchmark: each server is new, so nobody else has it.
const TOPIC: &str = "bench";

/// What `serve.mjs` writes when workerd listens.
const LISTENING: &str = "listening on ";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Headstart,
    /// The Durable Object in JavaScript.
    JavaScript,
    Nchan,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Headstart, Self::JavaScript, Self::Nchan];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Headstart => "Headstart",
            Self::JavaScript => "JavaScript",
            Self::Nchan => "nchan",
        })
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    url: Url,
    /// The process that does the work: workerd, or nginx's worker.
    process: Process,
    _group: ProcessGroup,
    folder: TempDir,
}

impl Server {
    /// Starts one; `settings` are variables of a Worker.
    pub async fn start(kind: Kind, settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("headstart-bench-")?;
        let (group, url, program) = match kind {
            Kind::Headstart => {
                let (group, url) = start_headstart(&folder, settings).await?;
                (group, url, "workerd")
            }
            Kind::JavaScript => {
                let config = "benchmarks/javascript/wrangler.toml";
                let (group, url) = start_worker(&folder, config, vec![]).await?;
                (group, url, "workerd")
            }
            Kind::Nchan => {
                let (group, url) = start_nginx(&folder).await?;
                (group, url, "nginx")
            }
        };
        // nginx listens before it starts its worker.
        let process = until("the server's process", async || {
            Process::of(group.id(), program)
        })
        .await;
        Ok(Self {
            kind,
            process,
            url: url.parse()?,
            _group: group,
            folder,
        })
    }

    pub fn process(&self) -> Process {
        self.process
    }

    /// Its topic, as something that can be measured.
    pub fn target(&self, transport: Transport) -> anyhow::Result<Arc<dyn Target>> {
        let plain = |publishing| {
            let topic = self.url.join(&format!("topics/{TOPIC}"))?;
            Ok::<_, anyhow::Error>(Arc::new(Plain::new(topic, transport, publishing)))
        };
        Ok(match self.kind {
            Kind::Headstart => {
                let topic = TopicName::parse(TOPIC)?;
                let url = self.url.clone();
                Arc::new(Headstart::new(url, topic, transport, origin_key(), None))
            }
            Kind::JavaScript => plain(Publishing::Together)?,
            Kind::Nchan => plain(Publishing::OneByOne)?,
        })
    }

    /// How many Durable Objects of a class have stored something.
    pub fn objects(&self, class: &str) -> usize {
        let classes = fs::read_dir(self.folder.path().join("state/do"));
        let of_class = classes
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(class));
        of_class
            .flat_map(|entry| fs::read_dir(entry.path()).into_iter().flatten().flatten())
            .filter(|file| {
                let path = file.path();
                // The platform keeps a file of its own beside theirs.
                path.extension().is_some_and(|kind| kind == "sqlite")
                    && path.file_stem().is_some_and(|name| name != "metadata")
            })
            .count()
    }
}

async fn start_headstart(
    folder: &TempDir,
    settings: &[(&str, String)],
) -> anyhow::Result<(ProcessGroup, String)> {
    let mut all = vec![
        ("TICKET_KEY", ticket_key().expose()),
        ("ORIGIN_KEYS", origin_key().expose()),
        ("LOGIN_KEYS", login_key().expose()),
        // Nobody is to be sent away while it is measured.
        ("STREAM_LIFE_SECONDS", "3600".to_owned()),
        // One object, as the others have one.
        ("RELAY_THRESHOLD", "10000".to_owned()),
    ];
    all.extend_from_slice(settings);
    start_worker(folder, "wrangler.toml", all).await
}

/// Runs a Worker in workerd, with nothing between that and us.
async fn start_worker(
    folder: &TempDir,
    config: &str,
    settings: Vec<(&str, String)>,
) -> anyhow::Result<(ProcessGroup, String)> {
    let root = root();
    for needed in ["node_modules/wrangler", "edge-worker/build/index.js"] {
        if !root.join(needed).exists() {
            bail!("{needed} is missing: `make build` makes it");
        }
    }
    let mut path = OsString::from(root.join("node_modules/.bin"));
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("node");
    command
        .arg(root.join("benchmarks/serve.mjs"))
        .arg(root.join(config))
        .arg(folder.path().join("state"))
        .args(
            settings
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        )
        .current_dir(folder)
        .env("PATH", path)
        .env("TMPDIR", folder.path())
        .env("WRANGLER_LOG_PATH", folder.path().join("logs"))
        .env("WRANGLER_SEND_METRICS", "false")
        .env("CLOUDFLARE_CF_FETCH_ENABLED", "false");
    let mut group = ProcessGroup::start("worker", command, folder.path());
    let url = until("workerd to listen", async || {
        if let Some(status) = group.ended() {
            return Some(Err(anyhow::anyhow!(
                "it ended with {status}: {}",
                group.log()
            )));
        }
        let log = group.log();
        let (_, rest) = log.split_once(LISTENING)?;
        // The line is whole only once its end is there.
        let (url, _) = rest.split_once('\n')?;
        Some(Ok(url.to_owned()))
    })
    .await
    .context("workerd does not start")?;
    Ok((group, url))
}

async fn start_nginx(folder: &TempDir) -> anyhow::Result<(ProcessGroup, String)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = fs::read_to_string(root().join("benchmarks/nginx.conf"))?;
    let file = folder.path().join("nginx.conf");
    fs::write(&file, config.replace("PORT", &port.to_string()))?;
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(&file)
        .args(["-e", "stderr"]);
    if Command::new("nginx").arg("-v").output().is_err() {
        bail!("nginx is missing: apt-get install nginx libnginx-mod-nchan");
    }
    let mut group = ProcessGroup::start("nginx", command, folder.path());
    until("nginx to listen", async || {
        if let Some(status) = group.ended() {
            let log = group.log();
            return Some(Err(anyhow::anyhow!("nginx ended with {status}: {log}")));
        }
        TcpStream::connect(("127.0.0.1", port)).ok().map(|_| Ok(()))
    })
    .await?;
    Ok((group, format!("http://127.0.0.1:{port}")))
}
