//! The sessions of one object, a topic's root or a relay: who is connected and what they are told.

pub mod ack;
pub mod connections;
pub mod object;
pub mod session;
