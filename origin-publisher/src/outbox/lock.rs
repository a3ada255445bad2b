//! Keeps a second process out of an outbox: two would deliver everything twice, and each would
//! think the other's deliveries lost.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::OutboxError;

/// Holds the lock until dropped; the system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "holding the file is the lock")] File);

impl Lock {
    /// Acquires the lock of the outbox at `path`, which is a file's real path: other names of it share the
    /// lock.
    pub(super) fn acquire(path: &Path) -> Result<Self, OutboxError> {
        let lock_path = beside(path);
        let failed = |reason: std::io::Error| OutboxError::Open {
            path: lock_path.display().to_string(),
            reason: reason.to_string(),
        };
        let file = options().create(true).open(&lock_path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OutboxError::InUse(path.display().to_string())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Returns the real path of the outbox at `path`, and creates the file if there is none: for its owner only,
/// since it holds tickets and personal offers. SQLite gives its other files the same rights.
///
/// A file that is there is not opened: closing it would let go of every lock that SQLite holds on it in this
/// process.
pub(super) fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    let mut options = options();
    match options.create_new(true).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => path.canonicalize(),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    name.into()
}
