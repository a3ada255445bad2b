//! An edge without what `wrangler dev` puts before it: a proxy that opens two more files for each
//! connection, and so takes half as many clients as workerd itself.

use tempfile::TempDir;

use crate::{
    edge::{command, configure, listening},
    edge_config::{EdgeConfig, root},
    process::ProcessGroup,
};

/// What `serve.mjs` writes when it listens.
const READY: &str = "listening on http://";

/// A running workerd with the prebuilt Worker, on a port that the system chooses. Dropping it kills it
/// and removes its state.
#[derive(Debug)]
pub struct Workerd {
    url: String,
    _process: ProcessGroup,
    _folder: TempDir,
}

impl Workerd {
    /// Starts it with empty state, and waits until it listens.
    pub async fn start(config: &EdgeConfig) -> Self {
        let folder = TempDir::with_prefix("headstart-edge-").expect("a folder can be made");
        configure(&folder, config);
        let mut command = command("node", &folder);
        command
            .arg(root().join("benchmarks/serve.mjs"))
            .args(["wrangler.toml", "state"]);
        let mut process = ProcessGroup::start("edge", command, folder.path());
        let address = listening(&mut process, READY, 0).await;
        Self {
            url: format!("http://{address}"),
            _process: process,
            _folder: folder,
        }
    }

    /// Its URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
