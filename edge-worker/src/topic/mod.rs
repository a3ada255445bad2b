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
//! | Where does a client subscribe? | `connect.rs`, `placement.rs`, `subscription.rs` |
//! | How is it let in, and what does it say? | `host.rs`, `seat.rs` |
//! | What is a subscriber told first? | `opening.rs` |
//! | Who is connected at an object, and what are they told? | `connections.rs`, `crowd.rs`, `subscribers.js` |
//! | How does one speak to a topic's object, the root? | `root.rs` |
//! | The root itself, and its SQLite | `topic_do.rs`, `root_object.rs`, `topic_store.rs` |
//! | How does it speak to its relays, and tell who is connected? | `root_relays.rs`, `root_presence.rs` |
//! | How does one speak to a relay? | `relay.rs` |
//! | The relay itself, and its SQLite | `relay_do.rs`, `relay_object.rs`, `relay_store.rs` |
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
mod connections;
mod crowd;
mod digest;
pub mod follower;
pub mod history;
mod host;
pub mod latest;
pub mod messages;
mod opening;
mod placement;
pub mod presence;
pub mod read;
pub mod region;
mod relay;
mod relay_do;
pub mod relay_name;
mod relay_object;
mod relay_store;
mod request;
pub mod root;
mod root_object;
mod root_presence;
mod root_relays;
mod seat;
pub mod spread;
pub mod subscribers;
mod subscription;
mod topic_do;
mod topic_store;
pub mod update;
#[cfg(test)]
mod world;
