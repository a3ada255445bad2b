//! What delivery of events promises.
