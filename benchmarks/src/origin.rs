//! An origin beside an edge of these benchmarks: how it is configured, and the program that runs it.

use std::{env, path::Path, process::Command};

use headstart_tests::{
    keys::{origin_key, ticket_key},
    process::ProcessGroup,
};
use tempfile::TempDir;
use url::Url;

use crate::usage::Process;

/// The program's name. It is built into the folder that this program is in.
const PROGRAM: &str = "origin-publisher";

/// A running `origin-publisher serve`.
#[derive(Debug)]
pub struct Origin {
    process: Process,
    _group: ProcessGroup,
    _folder: TempDir,
}

impl Origin {
    /// Starts one that serves `edge`, with an outbox on disk.
    pub fn start(edge: &Url) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("headstart-bench-")?;
        let program = env::current_exe()?.with_file_name(PROGRAM);
        anyhow::ensure!(
            program.exists(),
            "{} is missing: `make bench` builds it",
            program.display()
        );
        let mut command = Command::new(program);
        command
            .arg("serve")
            .current_dir(&folder)
            .env_clear()
            .envs(variables(edge, folder.path()));
        let group = ProcessGroup::start("origin", command, folder.path());
        Ok(Self {
            process: Process::with_id(group.id()),
            _group: group,
            _folder: folder,
        })
    }

    pub fn process(&self) -> Process {
        self.process
    }
}

/// The variables of an origin that serves one edge with the least work for an offer and nothing positioned
/// in KV, with its outbox in `folder`.
pub fn variables(edge: &Url, folder: &Path) -> Vec<(String, String)> {
    let outbox = folder.join("outbox.sqlite3");
    let variables = [
        ("HEADSTART_TICKET_KEY", ticket_key().expose()),
        ("HEADSTART_ORIGIN_KEY", origin_key().expose()),
        ("HEADSTART_EDGES_0_NAME", "edge".to_owned()),
        ("HEADSTART_EDGES_0_URL", edge.to_string()),
        ("HEADSTART_GENERATE_RETAIL_EFFORT", "1".to_owned()),
        ("HEADSTART_OUTBOX_PATH", outbox.display().to_string()),
    ];
    let own = |(name, value): (&str, String)| (name.to_owned(), value);
    variables.into_iter().map(own).collect()
}
