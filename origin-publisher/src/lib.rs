//! Headstart's origin: generates content when a login event arrives and positions it at the edge.

pub mod generate;

pub mod clock;
pub mod commands;
pub mod http_client;
pub mod login;
pub mod signing;
