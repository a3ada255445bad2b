//! The `origin-publisher` binary: reads what it is told, and hands over to the library.

mod arguments;
mod cli;
mod commands;

use std::process::ExitCode;

use clap::{Parser, error::ErrorKind};
use cli::{Cli, Command};
use commands::{
    logging::say,
    output::{Output, OutputError},
};

fn main() -> ExitCode {
    headstart_client::http_client::install_tls_provider();
    let output = Output::default();
    let result = match Cli::try_parse() {
        Ok(cli) => run(cli, &output),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => error
                .print()
                .map_err(|error| OutputError::from(error).into()),
            _ => error.exit(),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref() == Some(&OutputError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli, output: &Output) -> anyhow::Result<()> {
    commands::logging::start(cli.log_format, cli.log_level);
    match cli.command {
        Command::Serve(args) => commands::serve::run(&args),
        Command::Login(args) => commands::block_on(commands::login::run(args, output)),
        Command::Publish(args) => commands::publish::run(args, output),
        Command::Subscribe(args) => commands::block_on(commands::subscribe::run(args, output)),
        Command::Load(args) => commands::block_on(commands::load::run(args, output)),
        Command::Token(args) => commands::token::run(&args, output),
        Command::Config(args) => commands::config::run(args, output),
        Command::Outbox(args) => commands::outbox::run(args, output),
        Command::Keys(args) => commands::keys::run(&args, output),
        Command::Completions { shell } => commands::help::completions(shell, output),
        Command::Man { folder } => commands::help::man(folder.as_deref(), output),
    }
}
