//! Topics: streams of numbered updates for many subscribers. One object, the root, numbers and
//! keeps a topic's updates; relays near the subscribers hold the connections.
//!
//! | question | file |
//! |---|---|
//! | What does a root do with an update, and when? | [`root`] |
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
//! | Who is connected at a root and its relays together? | [`root_presence`] |
//! | In which part of the world is a client? | [`region`] |
//! | What is a relay called? | [`relay_name`] |
//! | What do a root and its relays say to each other? | [`messages`] |
//! | Which relays are there, and what is pushed to whom? | [`fanout`] |
//! | How far has a relay got on a topic, and what can it replay? | [`follower`] |
//! | What does a relay follow, and how does a subscriber get to its heads? | [`relay`] |
//! | How does what subscribers publish at a relay get to the roots? | [`publish_queue`] |

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
pub mod publish_queue;
pub mod region;
pub mod relay;
pub mod relay_name;
pub mod root;
pub mod root_presence;
pub mod sessions;
pub mod subscription;
pub mod update;
pub mod wires;
#[cfg(test)]
mod world;
