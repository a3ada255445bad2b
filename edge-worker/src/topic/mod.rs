//! Topics: streams of numbered updates for many subscribers. One object, the root, numbers and
//! keeps a topic's updates; relays near the subscribers hold the connections.
//!
//! The rules are tested natively; the shells around them (`topic_do.rs`, `crowd.rs`) do the I/O.
//!
//! | question | file |
//! |---|---|
//! | What does a request say of topics? | `request.rs` |
//! | Who may read a topic? | `access.rs` |
//! | What is the latest, and what came after a number? | `read.rs` |
//! | How does a client subscribe? | `connect.rs`, `subscription.rs`, `seat.rs` |
//! | What is a subscriber told first? | `opening.rs` |
//! | How does the Worker speak to a topic's object? | `root.rs` |
//! | The object itself, and its SQLite | `topic_do.rs`, `root_object.rs`, `topic_store.rs` |
//! | How do its subscribers come and go? | `root_connections.rs`, `root_presence.rs` |
//! | Who is connected to it? | `crowd.rs`, `subscribers.js` |
//! | How is an update kept and handed on? | [`update`] |
//! | What does a topic remember, and what did somebody miss? | [`history`] |
//! | When is the newest value put to KV? | [`latest`] |
//! | When is something written to subscribers? | [`coalesce`] |
//! | Who gets what bytes? | [`audience`] |
//! | Who is connected, how far away and where? | [`presence`]; told by `subscribers.rs` |
//! | In which part of the world is somebody? | [`region`] |
//! | What is a relay called? | [`relay_name`] |
//! | What do a root and its relays say to each other? | [`messages`] |
//! | Which relays are there, and what is pushed to whom? | [`spread`] |
//! | How far has a relay got, and how does a subscriber get there? | [`follower`] |

mod access;
pub mod audience;
pub mod coalesce;
pub mod connect;
mod crowd;
mod digest;
pub mod follower;
pub mod history;
pub mod latest;
pub mod messages;
mod opening;
pub mod presence;
pub mod read;
pub mod region;
pub mod relay_name;
mod request;
pub mod root;
mod root_connections;
mod root_object;
mod root_presence;
mod seat;
pub mod spread;
pub mod subscribers;
mod subscription;
mod topic_do;
mod topic_store;
pub mod update;
#[cfg(test)]
mod world;
