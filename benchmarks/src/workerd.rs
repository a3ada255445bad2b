//! Workers in workerd, with nothing between that and us; each is started afresh and killed when it is let
//! go of.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use headstart_tests::{
    edge_config::root,
    keys::{login_key, origin_key, ticket_key},
    process::ProcessGroup,
    wait::until,
};
use tempfile::TempDir;
use url::Url;

use crate::usage::Process;

/// What `serve.mjs` writes when workerd listens.
const LISTENING: &str = "listening on ";

/// A running Worker, with its state on disk.
#[derive(Debug)]
pub struct Workerd {
    url: Url,
    process: Process,
    _group: ProcessGroup,
    folder: TempDir,
}

impl Workerd {
    /// Starts our edge; `settings` are variables beside its keys.
    pub async fn headstart(settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let mut all = vec![
            ("TICKET_KEY", ticket_key().expose()),
            ("ORIGIN_KEYS", origin_key().expose()),
            ("LOGIN_KEYS", login_key().expose()),
            // Nobody is to be sent away while it is measured.
            ("STREAM_LIFE_SECONDS", "3600".to_owned()),
        ];
        all.extend_from_slice(settings);
        Self::start("wrangler.toml", &all).await
    }

    /// Starts the Worker of a configuration, by its path in the repository; `settings` are variables and
    /// secrets.
    pub async fn start(config: &str, settings: &[(&str, String)]) -> anyhow::Result<Self> {
        let root = root();
        for needed in ["node_modules/wrangler", "edge-worker/build/index.js"] {
            if !root.join(needed).exists() {
                bail!("{needed} is missing: `make build` makes it");
            }
        }
        let folder = TempDir::with_prefix("headstart-bench-")?;
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
            .current_dir(&folder)
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
        let process = Process::of(group.id(), "workerd").context("workerd has no process")?;
        Ok(Self {
            url: url.parse()?,
            process,
            _group: group,
            folder,
        })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The process of workerd itself.
    pub fn process(&self) -> Process {
        self.process
    }

    /// How many Durable Objects of a class have stored something.
    pub fn objects(&self, class: &str) -> usize {
        let of_class = entries(&self.objects_folder())
            .into_iter()
            .filter(|folder| folder.to_string_lossy().ends_with(class));
        of_class.map(|folder| databases(&folder)).sum()
    }

    /// How many Durable Objects have stored something.
    pub fn all_objects(&self) -> usize {
        self.objects("")
    }

    fn objects_folder(&self) -> PathBuf {
        self.folder.path().join("state/do")
    }
}

/// The databases of Durable Objects in a folder.
fn databases(folder: &Path) -> usize {
    let of_an_object = |path: &PathBuf| {
        // The platform keeps a file of its own beside theirs.
        path.extension().is_some_and(|kind| kind == "sqlite")
            && path.file_stem().is_some_and(|name| name != "metadata")
    };
    entries(folder)
        .iter()
        .filter(|path| of_an_object(path))
        .count()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
