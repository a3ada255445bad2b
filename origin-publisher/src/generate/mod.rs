//! Turns a login into an offer: the [`Generator`] trait, the bounded [`pool`] it runs on
//! and the [`retail`] generator.
//!
//! A generator is plain synchronous code that uses a CPU. It knows nothing of tickets,
//! networks or clocks; the pool keeps it away from the async threads and takes the stamps.
//! `examples/own_generator.rs` is a whole origin around another one.

pub mod deadline;
pub mod pool;
pub mod retail;

pub use deadline::Deadline;
pub use headstart_protocol::login::LoginData;

/// Makes the content for one login.
pub trait Generator: Send + Sync + 'static {
    /// Generates the content for `login`. It runs on a thread of the pool and may use it
    /// fully, but should ask `deadline` every few milliseconds and stop when it has passed.
    ///
    /// # Errors
    /// [`GenerateError::TimedOut`] when the deadline passed, [`GenerateError::BadAttribute`] or
    /// [`GenerateError::Failed`] when there can be no content for this login.
    fn generate(&self, login: &LoginData, deadline: &Deadline) -> Result<Content, GenerateError>;
}

/// What was generated: the body of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The media type of `bytes`, for example `application/json`.
    pub media_type: String,
    /// The content itself.
    pub bytes: Vec<u8>,
}

/// Why there is no content. The text of each is what the user is told as the `reason` of a
/// failed offer, so it says nothing about the inside of the origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// It was not done in time, waiting in the queue included.
    #[error("the offer was not ready in time")]
    TimedOut,
    /// The login carries an attribute that the generator knows, with a value it cannot use.
    #[error("the attribute `{name}` must be {must_be}")]
    BadAttribute {
        /// The attribute's name: one of the generator's own, never text from the login.
        name: &'static str,
        /// What it must be, for example "a whole number from 1 to 50".
        must_be: String,
    },
    /// There can be no content for this login. The text is written for the user.
    #[error("{0}")]
    Failed(String),
    /// The generator panicked. The thread lives on.
    #[error("the offer could not be generated")]
    Panicked,
    /// The queue is full. Nothing was started, so the login can go elsewhere or come again.
    #[error("too many offers are being generated, try again")]
    Busy,
    /// The pool is closed. Nothing was started.
    #[error("the origin is shutting down")]
    ShuttingDown,
}

impl GenerateError {
    /// Returns whether nothing was started for this login, so that it should be handed back instead of being
    /// settled as failed.
    #[must_use]
    pub fn is_not_started(&self) -> bool {
        matches!(self, Self::Busy | Self::ShuttingDown)
    }
}
