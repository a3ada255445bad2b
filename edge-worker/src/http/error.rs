//! Every way in which a request can fail, and the one place where each gets its status and its
//! problem type ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).

use headstart_edge_rules::ticket::Failure;
use headstart_protocol::{
    cursor::CursorError,
    event::EventError,
    limits::{MAX_EVENTS_PER_BATCH, MAX_TOPICS_PER_CONNECTION, REPLAY_MEMORY_MS},
    login::LoginError,
    problem::Problem,
    signature::SignatureError,
    ticket::TicketError,
    token::TokenError,
    topic::TopicError,
};
use worker::{console_error, wasm_bindgen::JsValue};

/// What is wrong with the settings: one sentence each, none with a secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misconfigured(pub Vec<String>);

/// Why a request is not answered as its sender hoped. What is shown of it never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No route has this path.
    #[error("there is nothing at this path")]
    NotFound,
    /// The path exists, with other methods.
    #[error("this path takes {allow}")]
    MethodNotAllowed {
        /// The methods, as in the header `Allow`.
        allow: String,
    },
    /// Not a ticket of ours, or expired.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// The ticket settled as failed.
    #[error("{}", .0.reason)]
    GenerationFailed(Box<Failure>),
    /// A body over its limit.
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A body that ended before its end.
    #[error("the body broke off")]
    BodyBroken,
    /// The body of `POST /login` is not a login.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The same `webhook-id` came with another body before.
    #[error(
        "another login was sent under this webhook-id in the last {} minutes",
        REPLAY_MEMORY_MS / 60_000
    )]
    LoginConflict,
    /// This client, or this user, logs in too often.
    #[error("too many logins from here; try again in a minute")]
    RateLimited,
    /// The desk holds as many logins as it may.
    #[error("too many logins wait for an origin; try again shortly")]
    BacklogFull,
    /// The request is not signed by one of the keys that may.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// `POST /events` with a body that is no CloudEvent.
    #[error(
        "the content type must be application/cloudevents+json or application/cloudevents-batch+json, or the event in ce- headers"
    )]
    MediaType,
    /// A batch of more events than one request may bring.
    #[error("a batch may have {MAX_EVENTS_PER_BATCH} events")]
    TooManyEvents,
    /// The body of `POST /events` cannot be read as events.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The route is a WebSocket's, and the request does not ask for one.
    #[error("this route is for WebSockets: send Upgrade: websocket")]
    UpgradeRequired,
    /// `desk` is missing or out of range.
    #[error("desk must be a number below {desks}")]
    UnknownDesk {
        /// How many desks there are.
        desks: u32,
    },
    /// The handshake of a link was sent before.
    #[error("a link was opened with this webhook-id before; sign each handshake anew")]
    LinkReplayed,
    /// A ticket with too many waiters.
    #[error("too many clients wait here already: poll, or come again later")]
    TooManyWaiters,
    /// What should name a topic does not.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// No origin was named that could be asked.
    #[error("this deployment asks no origin: ORIGIN_URL is not set")]
    NoOrigin,
    /// The origin does not answer.
    #[error("the origin cannot be reached")]
    OriginUnreachable,
    /// A connection to no topic, or to too many.
    #[error("name 1 to {MAX_TOPICS_PER_CONNECTION} topics as ?topic=a&topic=b")]
    TopicCount,
    /// A topic that nothing was published on.
    #[error("nothing was published on this topic yet")]
    NoUpdate,
    /// Where to resume cannot be read.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// As many are subscribed here as may be.
    #[error("too many subscribers here; try again shortly")]
    TooManySubscribers,
    /// The deployment does not tell who is connected.
    #[error("this edge does not tell who is connected")]
    PresenceOff,
    /// The subscriber of an ack is not connected.
    #[error("no such subscriber is connected to this topic")]
    UnknownSubscriber,
    /// The body of an ack is not one.
    #[error("an ack must be like {{\"subscriber\": \"...\", \"sequence\": 42}}")]
    MalformedAck,
    /// A private topic, and no token.
    #[error("this topic is private: send a token as Authorization: Bearer")]
    TokenRequired,
    /// A token that is none of ours, or has expired.
    #[error(transparent)]
    TokenRefused(#[from] TokenError),
    /// A token, and no keys to verify it with.
    #[error("this edge takes no tokens: TOKEN_KEYS is not set")]
    TokensUnsupported,
    /// A good token for other topics.
    #[error("the token does not cover this topic")]
    TopicForbidden,
    /// The deployment's settings are wrong.
    #[error("the edge is misconfigured; /healthz says how")]
    Misconfigured(Misconfigured),
    /// The platform failed us. The text is for the log only.
    #[error("something failed inside the edge; try again")]
    Platform(String),
}

impl Error {
    /// Returns a failure of the platform while `doing` something.
    pub fn platform(doing: &str, error: &JsValue) -> Self {
        Self::Platform(format!("{doing}: {error:?}"))
    }

    /// Returns the error as a Durable Object's handler that nobody waits for gives it to the platform, once
    /// the log has it.
    pub fn into_worker(self) -> worker::Error {
        self.log();
        worker::Error::RustError(self.to_string())
    }

    /// Returns the error as problem details.
    pub fn problem(&self) -> Problem {
        let (status, slug, title) = match self {
            Self::NotFound => (404, "not-found", "Not found"),
            Self::MethodNotAllowed { .. } => (405, "method-not-allowed", "Method not allowed"),
            Self::Ticket(TicketError::Unknown) => (404, "unknown-ticket", "Unknown ticket"),
            Self::Ticket(TicketError::Expired) => (410, "expired-ticket", "Expired ticket"),
            Self::GenerationFailed(_) => (502, "generation-failed", "Generation failed"),
            Self::BodyTooLarge { .. } => (413, "body-too-large", "Body too large"),
            Self::BodyBroken => (400, "body-broken", "Body broken off"),
            Self::Login(_) => (400, "malformed-login", "Malformed login"),
            Self::LoginConflict => (409, "login-conflict", "Login conflict"),
            Self::RateLimited => (429, "rate-limited", "Too many logins"),
            Self::BacklogFull => (503, "backlog-full", "Too many logins wait"),
            Self::Signature(_) => (401, "signature-refused", "Signature refused"),
            Self::MediaType => (415, "unsupported-media-type", "Unsupported media type"),
            Self::TooManyEvents => (413, "too-many-events", "Too many events"),
            Self::Event(_) => (400, "malformed-event", "Malformed event"),
            Self::UpgradeRequired => (426, "upgrade-required", "Upgrade required"),
            Self::UnknownDesk { .. } => (400, "unknown-desk", "Unknown desk"),
            Self::LinkReplayed => (409, "link-replayed", "Replayed handshake"),
            Self::TooManyWaiters => (503, "too-many-waiters", "Too many waiters"),
            Self::Topic(_) => (404, "unknown-topic", "Not a topic"),
            Self::NoUpdate => (404, "no-update", "No update yet"),
            Self::NoOrigin => (404, "no-origin", "No origin"),
            Self::OriginUnreachable => (502, "origin-unreachable", "Origin unreachable"),
            Self::TopicCount => (400, "topic-count", "Wrong number of topics"),
            Self::Cursor(_) => (400, "malformed-cursor", "Malformed cursor"),
            Self::TooManySubscribers => (503, "too-many-subscribers", "Too many subscribers"),
            Self::PresenceOff => (404, "presence-off", "Presence is off"),
            Self::UnknownSubscriber => (404, "unknown-subscriber", "Unknown subscriber"),
            Self::MalformedAck => (400, "malformed-ack", "Malformed ack"),
            Self::TokenRequired => (401, "token-required", "Token required"),
            Self::TokenRefused(_) | Self::TokensUnsupported => {
                (401, "token-refused", "Token refused")
            }
            Self::TopicForbidden => (403, "topic-forbidden", "Topic forbidden"),
            Self::Misconfigured(_) => (500, "misconfigured", "Misconfigured edge"),
            Self::Platform(_) => (500, "internal", "Internal error"),
        };
        Problem::new(status, slug, title, self.to_string())
    }

    /// Tells the log what the client is not told.
    pub fn log(&self) {
        if let Self::Platform(text) = self {
            console_error!("{text}");
        }
    }
}

impl From<worker::Error> for Error {
    fn from(error: worker::Error) -> Self {
        Self::Platform(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use headstart_protocol::{cursor::Cursors, stamps::Stamps, topic::TopicName};

    use super::*;

    #[test]
    fn a_failure_inside_shows_nothing_of_itself() {
        let answer = Error::Platform("SQL: secret".to_owned()).answer();
        assert_eq!(answer.status(), 500);
        assert!(!answer.text().contains("secret"), "{}", answer.text());
    }

    /// Returns one of each.
    fn all() -> Vec<Error> {
        vec![
            Error::NotFound,
            Error::MethodNotAllowed {
                allow: "GET, OPTIONS".to_owned(),
            },
            Error::Ticket(TicketError::Unknown),
            Error::Ticket(TicketError::Expired),
            Error::GenerationFailed(Box::new(Failure {
                reason: "no such customer".to_owned(),
                event_id: "e1".to_owned(),
                stamps: Stamps::default(),
            })),
            Error::BodyTooLarge { limit: 1 },
            Error::BodyBroken,
            Error::Login(LoginError::User),
            Error::LoginConflict,
            Error::RateLimited,
            Error::BacklogFull,
            Error::Signature(SignatureError::Mismatch),
            Error::MediaType,
            Error::TooManyEvents,
            Error::Event(EventError::Version),
            Error::UpgradeRequired,
            Error::UnknownDesk { desks: 1 },
            Error::LinkReplayed,
            Error::TooManyWaiters,
            Error::Topic(TopicName::parse("").unwrap_err()),
            Error::TopicCount,
            Error::NoOrigin,
            Error::OriginUnreachable,
            Error::NoUpdate,
            Error::Cursor(Cursors::parse("x", &[]).unwrap_err()),
            Error::TooManySubscribers,
            Error::PresenceOff,
            Error::UnknownSubscriber,
            Error::MalformedAck,
            Error::TokenRequired,
            Error::TokenRefused(TokenError::Expired),
            Error::TokensUnsupported,
            Error::TopicForbidden,
            Error::Misconfigured(Misconfigured(vec![])),
            Error::Platform(String::new()),
        ]
    }

    #[test]
    fn every_problem_repeats_its_status() {
        for error in all() {
            let answer = error.answer();
            let problem: Problem = serde_json::from_str(&answer.text()).unwrap();
            assert_eq!(problem.status, answer.status());
            assert!((400..600).contains(&problem.status));
            assert!(!problem.detail.is_empty());
        }
    }

    #[test]
    fn openapi_names_every_problem() {
        let file = include_str!("../../../openapi.yaml");
        for error in all() {
            let kind = error.problem().kind;
            let slug = kind.strip_prefix("urn:headstart:").unwrap();
            assert!(file.contains(&format!("`{slug}`")), "{slug}");
        }
    }
}
