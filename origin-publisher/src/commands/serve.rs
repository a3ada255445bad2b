//! `serve`.

use origin_publisher::{
    config::{self, Secrets, layers::process_environment},
    serve,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::block_on;
use crate::cli::ServeArgs;

/// Exit status after a second signal: the usual 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Runs the origin until a signal ends it.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let environment = process_environment();
    let loaded = config::load(
        args.config.config.as_deref(),
        &environment,
        &args.config.overrides(),
    )?;
    let secrets = Secrets::read(&loaded.config, &environment)?;
    for name in &loaded.unknown_variables {
        tracing::warn!(name, "this variable is no setting of ours; is it misspelt?");
    }
    block_on(async {
        let mut signals = Signals::new()?;
        let stop = async {
            signals.next().await;
            // Whoever asks twice does not want to wait.
            tokio::spawn(async move {
                signals.next().await;
                tracing::warn!("a second signal: going at once");
                std::process::exit(INTERRUPTED);
            });
        };
        serve::serve(&loaded.config, &secrets, stop).await?;
        Ok(())
    })
}

/// SIGTERM, as service managers send it, and SIGINT, as Ctrl-C does.
struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
