//! `config check`.

use std::collections::BTreeMap;

use anyhow::bail;
use origin_publisher::{
    config::{Config, Loaded, Secrets, layers::process_environment, show},
    preflight,
    probe::{self, Finding},
};
use serde::Serialize;

use super::{block_on, logging::say, output::Output};
use crate::arguments::{CheckArgs, ConfigCommand, ConfigSubcommand};

/// The outcome for programs.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    problems: &'a [String],
    /// Variables that look like settings and are none.
    unknown_variables: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a Config>,
    /// Where each value that is not a default came from, by path.
    sources: BTreeMap<&'a str, String>,
    /// Where each secret came from, by its variable; none where it is not set, and not needed.
    secrets: BTreeMap<String, Option<&'a str>>,
    /// What the edges say; empty unless they were asked.
    connect: &'a [Finding],
}

/// Checks the configuration and prints it.
///
/// # Errors
/// When something is wrong, or cannot be printed.
pub fn run(command: ConfigCommand, output: &Output) -> anyhow::Result<()> {
    let ConfigSubcommand::Check(args) = command.command;
    block_on(check(&args, output))
}

async fn check(args: &CheckArgs, output: &Output) -> anyhow::Result<()> {
    let environment = process_environment();
    let (loaded, wrong) = args.config.examine(&environment);
    let mut problems: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    let mut secrets = None;
    if let Some(loaded) = &loaded {
        problems.extend(preflight::problems(&loaded.config));
        match Secrets::read(&loaded.config, &environment) {
            Ok(found) => secrets = Some(found),
            Err(error) => problems.extend(error.to_string().lines().map(str::to_owned)),
        }
    }
    let mut findings = Vec::new();
    if let (Some(loaded), Some(secrets), true, true) =
        (&loaded, &secrets, args.connect, problems.is_empty())
    {
        findings = probe::probe(&loaded.config, secrets).await?;
    }
    let failed = findings.iter().filter(|finding| !finding.ok).count();
    if args.json {
        output.pretty_json(&report(
            loaded.as_ref(),
            secrets.as_ref(),
            &problems,
            &findings,
        ))?;
    } else if let Some(loaded) = &loaded {
        if let (Some(secrets), true) = (&secrets, problems.is_empty()) {
            output.line(show::effective(loaded, secrets).trim_end())?;
        }
        for finding in &findings {
            let Finding {
                edge,
                check,
                detail,
                ..
            } = finding;
            let verdict = if finding.ok { "ok    " } else { "FAILED" };
            output.line(format_args!("# {verdict} {edge}, {check}: {detail}"))?;
        }
        for name in &loaded.unknown_variables {
            say(format_args!(
                "warning: {name} is no setting of ours; is it misspelt?"
            ));
        }
    }
    match (problems.as_slice(), failed) {
        ([], 0) => Ok(()),
        ([], _) => bail!("{failed} of {} checks at the edges failed", findings.len()),
        ([problem], _) => bail!("{problem}"),
        (problems, _) => bail!(
            "{} things are wrong:\n  - {}",
            problems.len(),
            problems.join("\n  - ")
        ),
    }
}

fn report<'a>(
    loaded: Option<&'a Loaded>,
    secrets: Option<&'a Secrets>,
    problems: &'a [String],
    connect: &'a [Finding],
) -> Report<'a> {
    let sources = loaded.iter().flat_map(|loaded| &loaded.sources);
    Report {
        ok: problems.is_empty() && connect.iter().all(|finding| finding.ok),
        problems,
        unknown_variables: loaded.map_or(&[], |loaded| &loaded.unknown_variables),
        config: loaded.map(|loaded| &loaded.config),
        sources: sources
            .map(|(path, source)| (path.as_str(), source.to_string()))
            .collect(),
        secrets: loaded
            .zip(secrets)
            .map(|(loaded, secrets)| show::secret_sources(&loaded.config, secrets))
            .unwrap_or_default()
            .into_iter()
            .collect(),
        connect,
    }
}
