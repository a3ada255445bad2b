//! Headstart's origin: generates content when a login event arrives and positions it at the edge.
//!
//! Data flows one way, and the folders are in that order. Nothing skips the outbox, though an
//! offer's event may go beside its commit.
//!
//! ```text
//! intake/  ->  pipeline: generate/  ->  outbox/  ->  deliver/
//!   link                pool              SQLite       edge: signed events, at once
//!   listener            retail                         kv: bulk writes, at most one a second
//!                       sources/  ->                   updates: signed events, in their topic's order
//! ```
//!
//! | question | place |
//! |---|---|
//! | Where do logins come from? | [`intake`] |
//! | Where do updates come from? | [`sources`]; by hand: [`publish`] |
//! | Who makes the offer? | [`generate`] |
//! | When may a login be let go? | [`pipeline`] |
//! | What happens while the disk is full? | [`breaker`] |
//! | What survives a `kill -9`? | [`outbox`] |
//! | How does an edge get the offer? | [`deliver`] |
//! | What can be configured? | [`config`] |
//! | What is counted and measured? | [`metrics`] |
//! | Would `serve` start, and would the edges know it? | [`preflight`], [`probe`] |
//! | How does it start and end? | [`serve`], [`shutdown`] |
//! | How is it tried and measured, and how are topics followed? | the crate `headstart-client` |

pub mod breaker;
pub mod config;
pub mod deliver;
pub mod generate;
pub mod intake;
pub mod metrics;
pub mod outbox;
pub mod pipeline;
pub mod preflight;
pub mod probe;
pub mod publish;
pub mod serve;
pub mod shutdown;
pub mod sources;
#[cfg(test)]
mod testing;
