//! `keys new`.

use headstart_protocol::keys::Key;

use crate::cli::{KeysCommand, KeysSubcommand};

/// Bytes of a new key: as many as the hash has, and in the middle of what is allowed.
const KEY_BYTES: usize = 32;

/// Prints a new key.
pub fn run(command: &KeysCommand) -> anyhow::Result<()> {
    let KeysSubcommand::New = command.command;
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    println!("{}", Key::from_bytes(&bytes)?.expose());
    Ok(())
}
