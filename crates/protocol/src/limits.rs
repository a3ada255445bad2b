//! Every size and time limit both sides agree on, with where it comes from.

/// Longest user name in a login, in bytes. Our own: room for any e-mail address (RFC 5321 allows
/// 254) or opaque subject identifier (OpenID Connect allows 255).
pub const MAX_USER_BYTES: usize = 256;

/// Largest body of `POST /login`, in bytes. Our own: a user, and attributes of a session.
pub const MAX_LOGIN_BODY_BYTES: usize = 16 * 1024;

/// Most events in one `POST /events`. Half of the platform's 1,000 subrequests per invocation, since
/// each event may cost one call to a Durable Object and one retry.
pub const MAX_EVENTS_PER_BATCH: usize = 500;

/// Largest body of `POST /events`, in bytes. Our own: an isolate has 128 MB for everything it does,
/// and a parsed batch stands in memory more than once.
pub const MAX_EVENTS_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Largest offer that an event carries inline, in bytes. Larger content is positioned in KV first
/// and the event then names it (`dataref`). Keeps a ticket's row far below the platform's 2 MB limit
/// for a value in a Durable Object's SQLite.
pub const MAX_INLINE_OFFER_BYTES: usize = 256 * 1024;

/// Largest offer of all, in bytes: the platform's limit for a KV value (25 MiB).
pub const MAX_OFFER_BYTES: usize = 25 * 1024 * 1024;

/// Largest metadata of a KV entry, in bytes of its JSON: the platform's limit.
pub const MAX_KV_METADATA_BYTES: usize = 1024;

/// Shortest life of a KV entry that the platform accepts, in seconds.
pub const MIN_KV_TTL_SECONDS: u64 = 60;

/// Most pairs in one KV bulk write: the platform's limit.
pub const MAX_KV_BULK_PAIRS: usize = 10_000;

/// Largest body of one KV bulk write, in bytes: the platform's limit (100 MB).
pub const MAX_KV_BULK_BYTES: usize = 100_000_000;

/// Longest `id`, `source`, `type` or `subject` of an event, in bytes. Our own. An id also stands in KV
/// metadata (1,024 bytes in all), so it must leave room for the rest.
pub const MAX_ATTRIBUTE_BYTES: usize = 256;

/// Most extension attributes of an event. Our own: six stamps and room for a sender's own.
pub const MAX_EXTENSIONS: usize = 32;

/// Longest reason of a failed generation, in bytes; longer ones are cut at a character's boundary.
pub const MAX_REASON_BYTES: usize = 512;

/// How far a signature's timestamp may be from the verifier's clock, in seconds.
/// Standard Webhooks suggests five minutes.
pub const SIGNATURE_TOLERANCE_SECONDS: u64 = 300;

/// How long an already used `webhook-id` is remembered, in milliseconds: twice the tolerance, so that
/// no signature outlives the memory of its use however the clocks differ.
pub const REPLAY_MEMORY_MS: u64 = 2 * SIGNATURE_TOLERANCE_SECONDS * 1000;

/// Longest wait that `Prefer: wait=N` is granted, in seconds. Our own: below the idle time-outs
/// of common proxies (60 s).
pub const MAX_WAIT_SECONDS: u32 = 50;

/// Largest message on the origin's link, in bytes: a login with its body's limit, and its envelope.
pub const MAX_LINK_MESSAGE_BYTES: usize = 64 * 1024;

/// Longest name of a topic, in bytes. Our own: with `topic:` before it, a quarter of the platform's
/// 512 bytes for a key of KV, and it also is an event's `subject` ([`MAX_ATTRIBUTE_BYTES`]).
pub const MAX_TOPIC_BYTES: usize = 128;

/// Largest update, in bytes of the event's JSON. Our own: an update goes to every subscriber, and a
/// topic keeps many of them. Larger content belongs into KV, with an update that says so.
pub const MAX_UPDATE_BYTES: usize = 64 * 1024;

/// Most topics on one connection. Our own: each is followed by itself, at the cost of a call to a
/// Durable Object.
pub const MAX_TOPICS_PER_CONNECTION: usize = 32;

/// Largest WebSocket message of a subscriber, in bytes: an update with its limit, and its envelope.
pub const MAX_SUBSCRIBER_MESSAGE_BYTES: usize = 80 * 1024;

/// Largest body of `POST /topics/{topic}/acks`, in bytes. Our own: an id, a number and a place.
pub const MAX_ACK_BODY_BYTES: usize = 4 * 1024;

/// Most subscribers in one list. Our own: the count is always whole, the list is for looking at.
pub const MAX_PRESENCE_LIST: usize = 1000;

/// How long a subscriber may be silent and still be listed, in milliseconds. Our own.
pub const SILENT_AFTER_MS: u64 = 10_000;

/// Longest token, in bytes. Our own: a cookie may have 4,096 (RFC 6265, section 6.1).
pub const MAX_TOKEN_BYTES: usize = 4096;

/// Most streams and long polls on one ticket, and most watchers of one topic's presence. Our own: a
/// ticket is one user's; this is room for a device in every room, and bounds what a runaway client costs.
pub const MAX_WAITERS: u32 = 256;
