//! Topics: streams of numbered updates for many subscribers. One object, the root, numbers and
//! keeps a topic's updates; relays near the subscribers hold the connections.
//!
//! | question | file |
//! |---|---|
//! | How is an update kept and handed on? | [`update`] |
//! | What does a topic remember, and what did a subscriber miss? | [`history`] |
//! | When is the newest value written to KV? | [`kv_pace`] |
//! | When are subscribers written to? | [`coalesce`] |
//! | What are subscribers told together? | [`batch`] |
//! | What is written to a client, and heard from it, over each wire? | [`wires`] |
//! | Who gets what bytes? | [`groups`] |
//! | What does a client ask for? | [`subscription`] |
//! | Who is connected at an object, and with which topics? | [`sessions`] |
//! | What is a subscriber told first? | [`catch_up`] |
//! | Who is connected, how far away and where? | [`presence`] |
//! | In which part of the world is a client? | [`region`] |
//! | What is a relay called? | [`relay_name`] |
//! | What do a root and its relays say to each other? | [`messages`] |
//! | Which relays are there, and what is pushed to whom? | [`fanout`] |
//! | How far has a relay got, and how does a subscriber get there? | [`follower`] |

pub mod batch;
pub mod catch_up;
pub mod coalesce;
pub mod digest;
pub mod fanout;
pub mod follower;
pub mod groups;
pub mod history;
pub mod kv_pace;
pub mod messages;
pub mod presence;
pub mod region;
pub mod relay_name;
pub mod sessions;
pub mod subscription;
pub mod update;
pub mod wires;
#[cfg(test)]
mod world;
