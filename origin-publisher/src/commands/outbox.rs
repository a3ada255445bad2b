//! `outbox verify`.

use anyhow::bail;
use origin_publisher::{
    config::layers::process_environment,
    outbox::{Outbox, Verified},
};
use serde::Serialize;

use super::output::Output;
use crate::arguments::{OutboxCommand, OutboxSubcommand};

/// The outcome for programs.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    path: String,
    #[serde(flatten)]
    verified: &'a Verified,
}

/// Verifies the configured outbox and prints what waits in it.
///
/// # Errors
/// When it is damaged, or there is none, or it cannot be printed.
pub fn run(command: OutboxCommand, output: &Output) -> anyhow::Result<()> {
    let OutboxSubcommand::Verify(args) = command.command;
    let loaded = args.config.load(&process_environment(), [])?;
    let path = &loaded.config.outbox.path;
    let verified = Outbox::verify(path)?;
    let Verified {
        problems,
        schema,
        deliveries,
        logins,
    } = &verified;
    let path = path.display().to_string();
    if args.json {
        output.pretty_json(&Report {
            ok: problems.is_empty(),
            path: path.clone(),
            verified: &verified,
        })?;
    } else {
        output.line(format_args!("{path}: schema {schema}"))?;
        for one in deliveries {
            output.line(format_args!(
                "{}, {}: {} deliveries wait",
                one.edge, one.way, one.count
            ))?;
        }
        output.line(format_args!("{logins} logins have not settled"))?;
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!(
        "the outbox {path} is damaged:\n  - {}",
        problems.join("\n  - ")
    )
}
