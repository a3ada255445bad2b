//! `config check`.

use origin_publisher::config::{Secrets, layers::process_environment, show};

use crate::cli::{ConfigCommand, ConfigSubcommand};

/// Checks the configuration and prints it.
pub fn run(command: &ConfigCommand) -> anyhow::Result<()> {
    let ConfigSubcommand::Check(args) = &command.command;
    let environment = process_environment();
    let loaded = args.load(&environment)?;
    let secrets = Secrets::read(&loaded.config, &environment)?;
    print!("{}", show::effective(&loaded, &secrets));
    for name in &loaded.unknown_variables {
        eprintln!("warning: {name} is no setting of ours; is it misspelt?");
    }
    if loaded.config.edges.is_empty() {
        anyhow::bail!("no edge is configured: add [[edges]] to the file, or give --edge-url");
    }
    Ok(())
}
