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
mod offers;
mod origins;
mod own_generator;
mod pages_client;
mod pages_cors;
mod pages_docs;
mod pages_live;
mod pages_race;
mod positioned;
mod secrets;
mod signatures;
mod tickets;
mod topics_cli;
mod topics_load;
mod topics_presence;
mod topics_private;
mod topics_publish;
mod topics_relays;
mod topics_relays_presence;
mod topics_relays_private;
mod topics_resume;
mod topics_several;
mod topics_several_private;
mod topics_sockets;
mod topics_subscribe;
mod waiting;
