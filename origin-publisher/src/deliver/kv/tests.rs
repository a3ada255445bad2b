//! What positioning promises.
