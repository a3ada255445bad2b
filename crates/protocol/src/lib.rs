//! What Headstart's edge and origin say to each other.
//!
//! Pure rules: no I/O, no clock, no randomness. Whoever calls passes the time (milliseconds since
//! the Unix epoch) and random bytes in, so every rule here is tested natively in microseconds and
//! runs unchanged in Wasm.
//!
//! | question | file |
//! |---|---|
//! | What is a ticket, when is it forged, young, expired? | [`ticket`] |
//! | What does an event look like on the wire? | [`event`], [`binary_mode`] |
//! | Who signed this request? | [`signature`], [`keys`] |
//! | What may a login say, and what is answered? | [`login`] |
//! | How does a ticket settle? | [`settlement`] |
//! | When did what happen, by whose clock? | [`stamps`] |
//! | What may a topic be called? | [`topic`] |
//! | What is an update, and who numbers it? | [`update`] |
//! | Where does a subscriber go on? | [`cursor`] |
//! | Who may read and publish on a private topic? | [`token`] |
//! | What travels over a subscriber's WebSocket? | [`channel`] |
//! | Who is connected, how far away? | [`presence`] |
//! | What travels over the origin's link? | [`link`] |
//! | What does `POST /events` answer? | [`report`] |
//! | Under which key is content positioned, and what stands beside it? | [`kv`] |
//! | How is a Server-Sent Event written? | [`sse`] |
//! | What does an error look like? | [`problem`] |
//! | How large may anything be? | [`limits`] |

pub mod binary_mode;
pub mod channel;
pub mod cursor;
pub mod event;
mod hs256;
pub mod keys;
pub mod kv;
pub mod limits;
pub mod link;
pub mod login;
pub mod presence;
pub mod problem;
pub mod report;
pub mod settlement;
pub mod signature;
pub mod sse;
pub mod stamps;
pub mod ticket;
pub mod token;
pub mod topic;
pub mod update;
