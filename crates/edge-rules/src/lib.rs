//! The state machines behind the edge's Durable Objects. No I/O, no clock, no platform: time comes in
//! as an argument, what is to be done comes out as effects, and everything is tested natively.
//!
//! | question | file |
//! |---|---|
//! | What happens to a login between its ticket and its offer, and when an origin dies? | [`desk`] |
//! | When are there too many at a time? | [`under_way`] |
//! | When is a ticket settled, and by whom? | [`ticket`] |
//! | Where is an offer looked for, and in which order? | [`lookup`] |
//! | What does a topic remember, and who is told what? | [`topic`] |

pub mod desk;
pub mod lookup;
pub mod ticket;
pub mod topic;
pub mod under_way;
