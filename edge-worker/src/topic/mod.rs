//! Topics: the routes, the Durable Objects and the sessions of their subscribers. The rules are in
//! `headstart_edge_rules::topic`.
//!
//! | question | file |
//! |---|---|
//! | Who may read a topic? | `access.rs` |
//! | What is the latest, and what came after a number? | `routes/read.rs` |
//! | Where does a client subscribe? | `routes/subscribe.rs`, `routes/placement.rs` |
//! | Who is connected? | `routes/presence.rs` |
//! | How is a subscriber let in, and what does it say? | `sessions/object.rs`, `sessions/session.rs` |
//! | Who is connected at an object, and what are they told? | `sessions/mod.rs` |
//! | The root, its SQLite, its relays, its presence, and how to speak to it | `root/` |
//! | A relay, its SQLite, and how to speak to it | `relay/` |

mod access;
mod relay;
pub mod root;
pub mod routes;
mod sessions;
