//! What clients ask of topics.

mod placement;
pub mod presence;
pub mod read;
mod request;
pub mod subscribe;
