//! The real `origin-publisher`.
