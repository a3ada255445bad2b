//! Logins on their way to an origin: the Durable Object that keeps them, and the routes that reach it.

pub mod client;
mod object;
pub mod routes;
pub mod store;
