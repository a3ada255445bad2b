//! The root of a topic: the one object that numbers and keeps its updates.

pub mod client;
mod object;
mod presence;
mod relays;
mod store;
