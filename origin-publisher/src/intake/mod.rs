//! Where logins come in: over the [`link`]s to the edges, over the HTTP [`listener`], and what an
//! earlier run took and did not finish ([`unfinished`]). All hand over to the pipeline.

pub mod link;
pub mod listener;
pub mod unfinished;
