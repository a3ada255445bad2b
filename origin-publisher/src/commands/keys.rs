//! `keys new`.

use headstart_protocol::keys::Key;
use serde_json::json;

use super::output::Output;
use crate::arguments::{KeysCommand, KeysSubcommand};

/// Bytes of a new key: as many as the hash has, and in the middle of what is allowed.
const KEY_BYTES: usize = 32;

/// Prints a new key.
///
/// # Errors
/// When there are no random numbers, or it cannot be printed.
pub fn run(command: &KeysCommand, output: &Output) -> anyhow::Result<()> {
    let KeysSubcommand::New { json } = command.command;
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let key = Key::from_bytes(&bytes)?.expose();
    if json {
        return output.json(&json!({ "key": key }));
    }
    Ok(output.line(key)?)
}
