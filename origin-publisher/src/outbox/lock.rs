//! Keeps a second process out of an outbox: two would deliver everything twice, and each would
//! think the other's deliveries lost.

use std::{
    ffi::OsString,
    fs::{File, TryLockError},
    path::{Path, PathBuf},
};

use super::OutboxError;

/// Holds the lock until dropped; the system lets go of it when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "holding the file is the lock")] File);

impl Lock {
    /// Acquires the lock of the outbox at `path`.
    pub(super) fn acquire(path: &Path) -> Result<Self, OutboxError> {
        let lock_path = beside(path);
        let failed = |reason: std::io::Error| OutboxError::Open {
            path: lock_path.display().to_string(),
            reason: reason.to_string(),
        };
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(OutboxError::InUse(path.display().to_string())),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    name.into()
}
