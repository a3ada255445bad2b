//! What Headstart promises, one file for each kind of promise. `cargo test -p headstart-tests -- --list`
//! lists them.

mod cors;
mod events;
mod failures;
mod health;
mod limits;
mod signatures;
mod tickets;
mod waiting;
