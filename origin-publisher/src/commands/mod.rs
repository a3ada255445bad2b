//! What each command of the binary does, in terms of the library.

pub mod config;
pub mod help;
pub mod keys;
pub mod load;
pub mod logging;
pub mod login;
pub mod outbox;
pub mod output;
pub mod publish;
pub mod serve;
mod signals;
pub mod subscribe;
pub mod token;

/// Runs an asynchronous command to its end, on a runtime of its own.
pub fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(command);
    // Work that does not end, such as a generation, must not keep the process.
    runtime.shutdown_background();
    result
}
