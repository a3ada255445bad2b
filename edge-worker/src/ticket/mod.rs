//! Tickets and the offers behind them: the Durable Object that waits for the settlement, and the
//! routes that hand the offer over.

pub mod client;
pub mod delivery;
mod memory_cache;
mod object;
mod offer;
pub mod routes;
mod store;
