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
//! | What travels over the origin's link? | [`link`] |
//! | What does `POST /events` answer? | [`report`] |
//! | Under which key is content positioned? | [`kv`] |
//! | How is a Server-Sent Event written? | [`sse`] |
//! | What does an error look like? | [`problem`] |
//! | How large may anything be? | [`limits`] |

pub mod binary_mode;
pub mod event;
pub mod keys;
pub mod kv;
pub mod limits;
pub mod link;
pub mod login;
pub mod problem;
pub mod report;
pub mod settlement;
pub mod signature;
pub mod sse;
pub mod stamps;
pub mod ticket;
