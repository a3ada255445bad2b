//! An edge as its users see it.
//!
//! | question | place |
//! |---|---|
//! | How long does a user wait for an offer, in each way to receive it? | [`race`] |
//! | How are topics followed? | [`subscribe`] |
//! | How many subscribers does an edge take, and how soon are they told? | [`load`] |
//! | What do these have in common? | [`http_client`], [`signing`], [`token`], [`backoff`], [`clock`] |

pub mod backoff;
pub mod clock;
pub mod http_client;
pub mod load;
pub mod race;
pub mod signing;
pub mod subscribe;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
