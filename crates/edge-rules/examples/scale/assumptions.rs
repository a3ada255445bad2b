//! What the arithmetic takes for granted. Change a number and run it again.

use headstart_edge_rules::topic::region::Region;

/// How many subscribers one topic has.
pub const SUBSCRIBERS: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

/// Most subscribers of one relay. Our own: what an object can write to in a fraction of a second.
pub const RELAY_CAPACITY: u32 = 10_000;

/// Where the root is.
pub const ROOT_IN: Region = Region::Weur;

/// One way from one object to another in the same region, in microseconds. A guess.
pub const HOP_WITHIN_REGION_US: u64 = 5_000;

/// One way from one object to another in another region, in microseconds. A guess: about half a way
/// around the earth in glass fibre, which is the worst case for each region.
pub const HOP_BETWEEN_REGIONS_US: u64 = 100_000;

/// What an object needs to send or take a request, in microseconds: the provider says that an object
/// takes about 1,000 requests a second
/// (<https://developers.cloudflare.com/durable-objects/platform/limits/>).
pub const REQUEST_US: u64 = 1_000;

/// How many requests of one object may wait for the first byte of their answer at a time; the next ones
/// wait their turn (<https://developers.cloudflare.com/workers/platform/limits/>). The provider does not
/// say whether requests to other objects count; here they do. A relay begins its answer as soon as it
/// has a push, and ends it when everything is known.
pub const WAITING_REQUESTS: usize = 6;

/// What an object needs to write to one WebSocket, in microseconds. Measured with workerd on two shared
/// cores: 30,600 single updates a second to 5,000 sockets.
pub const SOCKET_US: u64 = 33;

/// How many updates the topic has, per second, day and night.
pub const UPDATES_PER_SECOND: u64 = 1;

/// Seconds in a month of 30 days.
pub const MONTH_SECONDS: u64 = 30 * 24 * 60 * 60;

/// How long a WebSocket lives, in seconds, on average. The edge does not end it: its client, the network or
/// a deployment does. A guess, for two audiences: one that looks in, as at a score on a phone that is soon
/// put away, and one that stays, as for a match or at a desk.
pub const SOCKET_LIVES_SECONDS: [u64; 2] = [600, 7_200];

/// After how long the edge ends a stream of Server-Sent Events, in seconds (`STREAM_LIFE_SECONDS`): as
/// `wrangler.toml` has it, and the most that it may be.
pub const STREAM_LIVES_SECONDS: [u64; 2] = [300, 3_600];

/// Time between two signs of life of a subscriber that wants to be listed, in seconds.
pub const SIGN_OF_LIFE_SECONDS: u64 = 10;

/// CPU time of the Worker for one new connection, in milliseconds. A guess.
pub const WORKER_MS_PER_CONNECTION: f64 = 2.0;

/// Rows that the root writes for an update: the update and its identity, as many deleted, and the
/// sequence that KV has.
pub const ROOT_ROWS_PER_UPDATE: u64 = 5;

/// Rows that a relay writes for a push: its head.
pub const RELAY_ROWS_PER_PUSH: u64 = 1;

/// What things cost, in US dollars, beyond what is included.
pub mod prices {
    /// A million requests to a Worker
    /// (<https://developers.cloudflare.com/workers/platform/pricing/>).
    pub const WORKER_REQUESTS: f64 = 0.30;
    /// A million milliseconds of a Worker's CPU time (same page).
    pub const WORKER_CPU_MS: f64 = 0.02;
    /// A million writes to KV (same page).
    pub const KV_WRITES: f64 = 5.00;
    /// A million requests to Durable Objects, alarms among them
    /// (<https://developers.cloudflare.com/durable-objects/platform/pricing/>).
    pub const OBJECT_REQUESTS: f64 = 0.15;
    /// How many incoming WebSocket messages count as one request (same page). Outgoing ones are free.
    pub const MESSAGES_PER_REQUEST: f64 = 20.0;
    /// A million GB-seconds of a Durable Object that is active (same page). One that holds only
    /// hibernating WebSockets is active while it does something; one that holds streams always is.
    pub const GB_SECONDS: f64 = 12.50;
    /// Memory that an active object is billed for, in GB (same page).
    pub const OBJECT_GB: f64 = 0.128;
    /// A million rows written to SQLite, deletions and alarms among them (same page).
    pub const ROWS_WRITTEN: f64 = 1.00;
}
