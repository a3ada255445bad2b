//! Headstart's edge: a Worker that mints tickets and serves what is positioned behind them.
//!
//! | question | place |
//! |---|---|
//! | Which routes are there, and who answers them? | `router.rs` |
//! | What is read of a request, and how is it answered? | `http/` |
//! | What is asked of the platform? | `platform/` |
//! | How does a login reach an origin? | `desk/` |
//! | How is an offer kept, found and handed over? | `ticket/` |
//! | How does an update reach its subscribers? | `topic/` |
//! | What does an origin send? | `events.rs` |
//! | What can be set? | `config.rs`, and each setting's reason in `wrangler.toml` |
//!
//! A Durable Object has a folder with the same files in each: `object.rs` is the object, `store.rs` its
//! SQLite, `client.rs` how the rest of the Worker speaks to it, `routes` what clients ask of it. What it
//! decides is in the crate `headstart-edge-rules` and is tested natively.

mod config;
mod desk;
mod events;
mod health;
mod http;
mod offers;
mod platform;
mod router;
mod ticket;
mod topic;

use worker::{Context, Env, Result, event, web_sys};

use http::request::RequestContext;

#[event(fetch)]
async fn fetch(
    request: web_sys::Request,
    env: Env,
    _execution: Context,
) -> Result<web_sys::Response> {
    router::answer(RequestContext::new(request, env)).await
}
