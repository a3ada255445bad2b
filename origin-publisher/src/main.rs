//! The `origin-publisher` binary: reads what it is told, and hands over to the library.

mod cli;
mod commands;

use std::process::ExitCode;

use clap::Parser;
use cli::{Cli, Command};

fn main() -> ExitCode {
    origin_publisher::http_client::install_tls_provider();
    let cli = Cli::parse();
    commands::logging::start(cli.log_format, cli.log_level);
    let result = match cli.command {
        Command::Serve(args) => commands::serve::run(&args),
        Command::Login(args) => commands::block_on(commands::login::run(args)),
        Command::Publish(args) => commands::publish::run(args),
        Command::Subscribe(args) => commands::block_on(commands::subscribe::run(args)),
        Command::Load(args) => commands::block_on(commands::load::run(args)),
        Command::Token(args) => commands::token::run(&args),
        Command::Config(args) => commands::config::run(&args),
        Command::Keys(args) => commands::keys::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
