//! The servers, each started afresh and killed when it is let go of.

use std::{
    fmt, fs,
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Arc,
};

use anyhow::bail;
use headstart_client::{
    load::{headstart::Headstart, target::Target},
    subscribe::transport::Transport,
};
use headstart_protocol::topic::TopicName;
use headstart_tests::{edge_config::root, keys::origin_key, process::ProcessGroup, wait::until};
use tempfile::TempDir;
use url::Url;

use crate::{
    plain::{Plain, Publishing},
    usage::Process,
    workerd::Workerd,
};

/// The topic of every benchmark: each server is new, so nobody else has it.
const TOPIC: &str = "bench";

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
    runs: Runs,
}

#[derive(Debug)]
enum Runs {
    Worker(Workerd),
    Nginx(Nginx),
}

/// nginx, with the process that does the work: its worker.
#[derive(Debug)]
struct Nginx {
    url: Url,
    process: Process,
    _group: ProcessGroup,
    _folder: TempDir,
}

impl Server {
    /// Starts one; `settings` are variables of our edge.
    pub async fn start(kind: Kind, settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let runs = match kind {
            Kind::Headstart => {
                // One object, as the others have one.
                let mut all = vec![("RELAY_THRESHOLD", "10000".to_owned())];
                all.extend_from_slice(settings);
                Runs::Worker(Workerd::headstart(&all).await?)
            }
            Kind::JavaScript => {
                Runs::Worker(Workerd::start("benchmarks/javascript/fan-out.toml", &[]).await?)
            }
            Kind::Nchan => Runs::Nginx(start_nginx().await?),
        };
        Ok(Self { kind, runs })
    }

    pub fn process(&self) -> Process {
        match &self.runs {
            Runs::Worker(worker) => worker.process(),
            Runs::Nginx(nginx) => nginx.process,
        }
    }

    fn url(&self) -> &Url {
        match &self.runs {
            Runs::Worker(worker) => worker.url(),
            Runs::Nginx(nginx) => &nginx.url,
        }
    }

    /// How many Durable Objects of a class have stored something; nginx has none.
    pub fn objects(&self, class: &str) -> usize {
        match &self.runs {
            Runs::Worker(worker) => worker.objects(class),
            Runs::Nginx(_) => 0,
        }
    }

    /// Its topic, as something that can be measured.
    pub fn target(&self, transport: Transport) -> anyhow::Result<Arc<dyn Target>> {
        let plain = |publishing| {
            let topic = self.url().join(&format!("topics/{TOPIC}"))?;
            Ok::<_, anyhow::Error>(Arc::new(Plain::new(topic, transport, publishing)))
        };
        Ok(match self.kind {
            Kind::Headstart => {
                let topic = TopicName::parse(TOPIC)?;
                let url = self.url().clone();
                Arc::new(Headstart::new(url, topic, transport, origin_key(), None))
            }
            Kind::JavaScript => plain(Publishing::Together)?,
            Kind::Nchan => plain(Publishing::OneByOne)?,
        })
    }
}

async fn start_nginx() -> anyhow::Result<Nginx> {
    let folder = TempDir::with_prefix("headstart-bench-")?;
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
    // It listens before it starts its worker.
    let process = until("the process of nginx that works", async || {
        Process::of(group.id(), "nginx")
    })
    .await;
    Ok(Nginx {
        url: format!("http://127.0.0.1:{port}").parse()?,
        process,
        _group: group,
        _folder: folder,
    })
}
