//! A request and its answer, whoever gives it: the Worker or one of its objects.

pub mod answer;
pub mod cache_status;
pub mod cors;
pub mod error;
pub mod head;
pub mod request;
