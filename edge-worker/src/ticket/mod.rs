//! Tickets and the offers behind them: where an offer is looked for, and the routes that hand it over. What
//! becomes of a ticket is kept by its desk (`desk/`).

pub mod delivery;
mod memory_cache;
mod offer;
pub mod routes;
