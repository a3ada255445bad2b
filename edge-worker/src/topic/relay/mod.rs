//! A relay: an object near subscribers that holds their connections and follows the topics' roots.

pub mod client;
mod object;
mod store;
