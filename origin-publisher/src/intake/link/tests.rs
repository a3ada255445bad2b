//! What the link promises.
