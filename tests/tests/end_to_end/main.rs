//! What Headstart promises, one file for each kind of promise. `cargo test -p headstart-tests -- --list`
//! lists them.

mod cli;
mod cors;
mod crashes;
mod events;
mod failures;
mod health;
mod limits;
mod listener;
mod login_to_offer;
mod origins;
mod positioned;
mod secrets;
mod signatures;
mod tickets;
mod waiting;
