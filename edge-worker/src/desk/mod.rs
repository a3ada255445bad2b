//! Desks: the Durable Object that keeps a login from its ticket to its offer, and the routes by which
//! logins and origins reach it. The routes of the offer are in `ticket/`.

mod attachment;
pub mod client;
mod links;
mod object;
pub mod routes;
pub mod standing;
mod store;
mod waiters;
