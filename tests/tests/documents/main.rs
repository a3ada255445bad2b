//! Whether `README.md` and `docs/` hold what they say: every line of shell is run as it is printed,
//! beside `make dev`, in a fresh copy of what git tracks.
//!
//! A line that cannot be run here is marked in the document, in a comment right before its block:
//!
//! | mark | meaning |
//! |---|---|
//! | `not run: REASON` | no line of the block is run |
//! | ``not run: `START` REASON`` | nor are lines that begin so; of some it is checked what can be |
//! | ``until Ctrl-C: `START` `` | lines that begin so run until they have printed something |
//! | `file: NAME` | what the block is a part of, for settings |

mod checkout;
mod code;
mod deployment;
mod document;
mod lines;
mod links;
mod rehearsal;
mod settings;
mod terminal;
