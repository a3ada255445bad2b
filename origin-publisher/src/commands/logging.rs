//! The log: on standard error, so that standard output is what was asked for.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts it. `HEADSTART_LOG` says how much is logged, in the syntax of `RUST_LOG`.
pub fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("HEADSTART_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Human => log
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
