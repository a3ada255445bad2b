//! End-to-end tests of Headstart: real workerd through `wrangler dev`, the real `origin-publisher`.
//!
//! The promises are in `tests/`; this library is what they are written with.
//!
//! | question | file |
//! |---|---|
//! | How is an edge started, stopped, started again? | [`edge`], [`edge_config`] |
//! | How is one reached without a proxy before it? | [`workerd`] |
//! | How is an origin started, stopped, killed, and its disk filled? | [`origin`] |
//! | Which edges do tests share, with which keys? | [`shared`], [`keys`] |
//! | How does a process never outlive its test? | [`process`] |
//! | How does a test speak to an edge? | [`client`], [`answer`], [`sse`], [`ws`], [`raw`] |
//! | How does a test play an origin? | [`fake_origin`], [`events`], [`topics`] |
//! | How does a test follow topics? | [`subscriber`], [`relays`], [`presence`] |
//! | How does another's client follow something? | [`follower`] |
//! | What must stay secret, and from whom? | [`private`], [`tokens`] |
//! | How is a connection cut at the right moment? | [`gate`] |
//! | What do a real browser and other people's clients do? | [`browser`], [`script`] |
//! | What is in KV? | [`kv`] |
//! | Does every answer keep to `openapi.yaml`? | [`openapi`] |
//! | How does a test wait? | [`wait`] |
#![expect(
    clippy::missing_panics_doc,
    reason = "this library fails a test by panicking, everywhere"
)]

pub mod answer;
pub mod browser;
pub mod client;
pub mod edge;
pub mod edge_config;
pub mod events;
pub mod fake_origin;
pub mod follower;
pub mod gate;
pub mod keys;
pub mod kv;
pub mod openapi;
pub mod origin;
pub mod presence;
pub mod private;
pub mod process;
pub mod raw;
pub mod relays;
pub mod script;
pub mod shared;
pub mod sse;
pub mod subscriber;
pub mod tokens;
pub mod topics;
pub mod wait;
pub mod workerd;
pub mod ws;
