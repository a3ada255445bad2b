//! The secrets of every edge and origin in these tests, and tickets minted with them.

use std::time::{SystemTime, UNIX_EPOCH};

use headstart_protocol::{keys::Key, ticket::Ticket};

/// Milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("now is after 1970").as_millis()).expect("now is before 500,000,000")
}

/// Random bytes.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// The key that edges mint tickets with.
#[must_use]
pub fn ticket_key() -> Key {
    key(1)
}

/// The key that origins sign with.
#[must_use]
pub fn origin_key() -> Key {
    key(2)
}

/// The key that the site's backend signs logins with.
#[must_use]
pub fn login_key() -> Key {
    key(3)
}

/// The key that tokens of private topics are made with.
#[must_use]
pub fn token_key() -> Key {
    key(6)
}

/// A key that no edge knows.
#[must_use]
pub fn foreign_key() -> Key {
    key(4)
}

/// A key that edges accept beside each of the others, as while keys are rotated.
#[must_use]
pub fn rotated_key() -> Key {
    key(5)
}

/// A ticket minted right now, as an origin or the site's backend could.
#[must_use]
pub fn fresh_ticket() -> Ticket {
    ticket_of_age(0)
}

/// A ticket minted `age_ms` ago.
#[must_use]
pub fn ticket_of_age(age_ms: u64) -> Ticket {
    Ticket::mint(now_ms() - age_ms, 0, random(), &ticket_key())
}

fn key(fill: u8) -> Key {
    Key::from_bytes(&[fill; 32]).expect("32 bytes are a key")
}
