//! `completions` and `man`: what a shell and the manual know of the program.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::output::Output;
use crate::cli::Cli;

/// Prints the completions for a shell.
///
/// # Errors
/// When they cannot be printed.
pub fn completions(shell: Shell, output: &Output) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "origin-publisher", &mut text);
    Ok(output.line(String::from_utf8(text)?.trim_end())?)
}

/// Prints the program's manual page, or writes one for each command into `folder`.
///
/// # Errors
/// When they cannot be printed or written.
pub fn man(folder: Option<&Path>, output: &Output) -> anyhow::Result<()> {
    let command = Cli::command();
    let Some(folder) = folder else {
        let mut text = Vec::new();
        clap_mangen::Man::new(command).render(&mut text)?;
        return Ok(output.line(String::from_utf8(text)?.trim_end())?);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command, folder))
        .with_context(|| format!("writing to {}", folder.display()))
}
