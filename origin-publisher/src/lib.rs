//! Headstart's origin: generates content when a login event arrives and positions it at the edge.

pub mod generate;
