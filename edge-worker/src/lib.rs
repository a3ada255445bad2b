//! Headstart's edge: a Worker that mints tickets and serves what is positioned behind them.
//!
//! | route | touches | file |
//! |---|---|---|
//! | `POST /login` | rate limiter, `LoginDeskDo`, then `TicketDo` | `login.rs` |
//! | `POST /offers` | rate limiter, the origin | `pull.rs` |
//! | `GET /tickets/{ticket}` | memory, KV, `TicketDo` | `tickets.rs`, `lookup.rs` |
//! | `GET /tickets/{ticket}/events` | same | `tickets.rs`, `ticket_do.rs` |
//! | `GET /tickets/{ticket}/ws` | same | `tickets.rs`, `ticket_do.rs` |
//! | `POST /events` | `TicketDo`, `TopicDo` | `events.rs` |
//! | `GET /topics/{topic}` | `TopicDo`, else KV | `topic/read.rs` |
//! | `GET /topics/{topic}/events` | `TopicDo`, `RelayDo` | `topic/connect.rs`, `topic/host.rs` |
//! | `GET /topics/{topic}/ws` | same | same |
//! | `GET /topics` | `RelayDo` | same |
//! | `GET /topics/{topic}/subscribers`, `.../events` | `TopicDo`, `RelayDo` | `topic/subscribers.rs`, `topic/root_presence.rs` |
//! | `POST /topics/{topic}/acks` | same | same |
//! | `GET /origin/link` | `LoginDeskDo` | `origin_link.rs`, `login_desk_do.rs` |
//! | `GET /ping`, `GET /healthz` | nothing | `health.rs` |
//!
//! A file named `*_do.rs` is the shell of a Durable Object; the state machine inside is in the file
//! beside it (`ticket_state.rs`, `desk.rs`) and is tested natively. `openapi.yaml` at the
//! repository's root describes every route, and a test fails when the table below and that file part.

mod answer;
mod cache_status;
mod call;
mod config;
mod cors;
mod delivery;
mod desk;
mod desk_store;
mod error;
mod events;
mod head;
mod health;
mod hub;
mod login;
mod login_desk_do;
mod lookup;
mod memory_cache;
mod offer;
mod origin_link;
mod platform;
mod pull;
mod router;
mod ticket_do;
mod ticket_state;
mod ticket_store;
mod tickets;
pub mod topic;
mod waiters;
mod websocket;

use worker::{Context, Env, Result, event, web_sys};

use router::{Route, Target};

/// Every route of the edge. Preflights (`OPTIONS`) are answered for each path.
const ROUTES: &[Route] = &[
    Route::new("POST", "/login", Target::Login),
    Route::new("POST", "/offers", Target::Pull),
    Route::new("GET", "/tickets/{ticket}", Target::Offer),
    Route::new("HEAD", "/tickets/{ticket}", Target::Offer),
    Route::new("GET", "/tickets/{ticket}/events", Target::OfferEvents),
    Route::new("GET", "/tickets/{ticket}/ws", Target::OfferSocket),
    Route::new("POST", "/events", Target::Events),
    Route::new("GET", "/topics", Target::Topics),
    Route::new("GET", "/topics/{topic}", Target::Topic),
    Route::new("HEAD", "/topics/{topic}", Target::Topic),
    Route::new("GET", "/topics/{topic}/events", Target::TopicEvents),
    Route::new("GET", "/topics/{topic}/ws", Target::TopicSocket),
    Route::new("GET", "/topics/{topic}/subscribers", Target::Subscribers),
    Route::new(
        "GET",
        "/topics/{topic}/subscribers/events",
        Target::SubscriberEvents,
    ),
    Route::new("POST", "/topics/{topic}/acks", Target::Acks),
    Route::new("GET", "/origin/link", Target::OriginLink),
    Route::new("GET", "/ping", Target::Ping),
    Route::new("HEAD", "/ping", Target::Ping),
    Route::new("GET", "/healthz", Target::Health),
    Route::new("HEAD", "/healthz", Target::Health),
];

#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> Result<web_sys::Response> {
    call::answer(ROUTES, request, env, context).await
}
