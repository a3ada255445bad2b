//! What the outbox promises.
