//! Standard output: what a command was asked for, for people or as JSON.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

/// Why nothing more can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// Whoever read it, such as `head`, has enough. No failure: the command ends with status 0.
    #[error("standard output is closed")]
    Closed,
    /// It cannot be written; a full disk, for example.
    #[error("standard output cannot be written: {}", io::Error::from(*.0))]
    Failed(io::ErrorKind),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            kind => Self::Failed(kind),
        }
    }
}

/// Standard output. Clones share it. Once it has failed it stays so, and says so to whoever asks.
#[derive(Debug, Clone, Default)]
pub struct Output {
    failure: Arc<Mutex<Option<OutputError>>>,
    failed: CancellationToken,
}

impl Output {
    /// Prints a line, at once.
    ///
    /// # Errors
    /// [`OutputError`], also for every line after one that could not be printed.
    pub fn line(&self, line: impl std::fmt::Display) -> Result<(), OutputError> {
        self.print(format_args!("{line}\n"))
    }

    /// Prints a value as one line of JSON.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        Ok(self.line(serde_json::to_string(value)?)?)
    }

    /// Prints a value as JSON over several lines, for a command that prints only one.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn pretty_json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        Ok(self.line(serde_json::to_string_pretty(value)?)?)
    }

    /// Waits until something could not be printed.
    pub async fn failed(&self) -> OutputError {
        self.failed.cancelled().await;
        self.failure().unwrap_or(OutputError::Closed)
    }

    /// Returns why something could not be printed, if so.
    pub fn failure(&self) -> Option<OutputError> {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, text: std::fmt::Arguments<'_>) -> Result<(), OutputError> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let mut out = io::stdout().lock();
        let printed = out.write_fmt(text).and_then(|()| out.flush());
        printed.map_err(|error| {
            let failure = error.into();
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            self.failed.cancel();
            failure
        })
    }
}

/// For what writes by itself: it need not look at errors, since the output keeps them.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        match self.print(format_args!("{text}")) {
            Ok(()) => Ok(bytes.len()),
            Err(OutputError::Closed) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(OutputError::Failed(kind)) => Err(kind.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
