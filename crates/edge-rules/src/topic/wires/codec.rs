//! What a wire has to say of itself.

use headstart_protocol::{
    channel::{Down, MessageError, Up},
    presence::Transport,
    topic::TopicName,
};

use crate::topic::{
    batch::Batch,
    catch_up::{Missed, Opening},
};

/// What is written or heard at once: what a stream is written, or one message of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
}

/// Why what a client said is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HearError {
    /// It is of a kind that the wire does not have.
    #[error("messages are {0}")]
    Kind(&'static str),
    /// It is longer than the wire allows.
    #[error("the message is too large")]
    TooLarge,
    /// It breaks a rule of the channel.
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// How one wire puts things: pure, and the same for every client, so that what many are told is encoded
/// once.
pub trait Codec {
    /// Returns the name by which groups tell it from others.
    fn name(&self) -> &'static str;

    /// Returns how presence shows who is connected by it.
    fn transport(&self) -> Transport;

    /// Returns whether it is a WebSocket; else it is a stream, which ends by itself and hears nothing.
    fn is_socket(&self) -> bool;

    /// Returns whether what is written holds the cursors of all of a client's topics, and so differs
    /// between clients with different topics.
    fn tells_cursors(&self) -> bool;

    /// Encodes a batch for clients with the topics of `at`, in that order, who have everything of each up
    /// to the number there.
    fn encode(&self, batch: &Batch<'_>, at: &[(&TopicName, u64)]) -> Vec<Message>;

    /// Encodes the first that a client hears, which is followed by what it missed.
    fn welcome(&self, opening: &Opening<'_>) -> Vec<Message>;

    /// Encodes what is said to one client alone; nothing, where the wire has no way to say it.
    fn say(&self, _down: &Down) -> Vec<Message> {
        vec![]
    }

    /// Reads what a client says; nothing, where the wire has no way up.
    ///
    /// # Errors
    /// [`HearError`].
    fn hear(&self, _message: &Message) -> Result<Vec<Up>, HearError> {
        Ok(vec![])
    }

    /// Encodes what a client missed of each of its topics, in its order. Each cursor on the way says how
    /// far it has got by then: a connection that breaks before all has arrived is resumed from there.
    fn missed(&self, missed: &[Missed], now_ms: u64) -> Vec<Message> {
        let mut at: Vec<(&TopicName, u64)> = missed
            .iter()
            .map(|missed| (&missed.topic, missed.after))
            .collect();
        let mut messages = Vec::new();
        for (index, missed) in missed.iter().enumerate() {
            for batch in missed.batches(now_ms) {
                messages.extend(self.encode(&batch, &at));
            }
            if let Some((_, sequence)) = at.get_mut(index) {
                *sequence = missed.head;
            }
        }
        messages
    }

    /// Encodes all that a connection begins with: the welcome, then what the client missed.
    fn open(&self, opening: &Opening<'_>) -> Vec<Message> {
        let mut messages = self.welcome(opening);
        messages.extend(self.missed(opening.missed, opening.now_ms));
        messages
    }
}
