//! The commands of the `origin-publisher` binary, one file each.

pub mod login;
