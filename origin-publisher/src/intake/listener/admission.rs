//! Who may send a login, and what it says.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

use headstart_protocol::{
    keys::KeyRing,
    limits::REPLAY_MEMORY_MS,
    login::{LoginData, LoginRequest},
    signature,
    ticket::Ticket,
};
use http::HeaderMap;

use super::answers::Refusal;
use crate::config::Auth;

/// Most message ids remembered, each some 150 bytes; at the limit the oldest go first. Only who has a
/// login key can fill it.
const MAX_REMEMBERED: usize = 100_000;

/// Decides who may send a login, and knows a signed login that comes again: the sender did not hear
/// the answer, or someone replays it. Both get the same ticket, and nothing is generated twice.
#[derive(Debug)]
pub(super) struct Admission {
    auth: Auth,
    keys: Option<KeyRing>,
    /// Tells a message that comes again from another one under its id.
    hasher: RandomState,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By id: the hash of the body, and the ticket.
    tickets: HashMap<String, (u64, Ticket)>,
    /// Ids in the order of their first coming, with the time of it.
    order: VecDeque<(u64, String)>,
}

/// A login that may come in.
#[derive(Debug)]
pub(super) struct Admitted {
    /// What it says.
    pub(super) login: LoginData,
    /// The message it came in, where it is signed.
    pub(super) message: Option<SignedMessage>,
}

/// What a signed message is known by when it comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignedMessage {
    pub(super) id: String,
    body_hash: u64,
}

impl Admission {
    pub(super) fn new(auth: Auth, keys: Option<KeyRing>) -> Self {
        Self {
            auth,
            keys,
            hasher: RandomState::new(),
            seen: Mutex::default(),
        }
    }

    pub(super) fn auth(&self) -> Auth {
        self.auth
    }

    /// Checks the signature, then reads the body.
    pub(super) fn admit(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now_ms: u64,
    ) -> Result<Admitted, Refusal> {
        let message = match (self.auth, &self.keys) {
            (Auth::Open, _) => None,
            (Auth::Signed, None) => {
                return Err(Refusal::Signature("no login key is configured".to_owned()));
            }
            (Auth::Signed, Some(keys)) => {
                let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
                let id = signature::verify(header, body, keys, now_ms)
                    .map_err(|error| Refusal::Signature(error.to_string()))?;
                Some(SignedMessage {
                    id,
                    body_hash: self.hasher.hash_one(body),
                })
            }
        };
        let LoginRequest { user, attributes } =
            LoginRequest::from_json(body).map_err(|error| Refusal::Body(error.to_string()))?;
        Ok(Admitted {
            login: LoginData {
                user,
                attributes,
                ..LoginData::default()
            },
            message,
        })
    }

    /// Returns the ticket of a message: the one it had before, or else the one that `mint` makes now. The
    /// second value tells whether it is new.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] for another login under the id of an earlier one, whose ticket would open
    /// the offer of another user.
    pub(super) fn ticket(
        &self,
        message: Option<&SignedMessage>,
        now_ms: u64,
        mint: impl FnOnce() -> Ticket,
    ) -> Result<(Ticket, bool), Refusal> {
        let Some(SignedMessage { id, body_hash }) = message else {
            return Ok((mint(), true));
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now_ms);
        match seen.tickets.get(id) {
            Some((known, ticket)) if known == body_hash => return Ok((ticket.clone(), false)),
            Some(_) => return Err(Refusal::Conflict),
            None => {}
        }
        let ticket = mint();
        seen.order.push_back((now_ms, id.clone()));
        seen.tickets
            .insert(id.clone(), (*body_hash, ticket.clone()));
        Ok((ticket, true))
    }

    /// Forgets a message whose login could not be kept: when it comes again, it is new.
    pub(super) fn forget(&self, message_id: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.tickets.remove(message_id);
        seen.order.retain(|(_, id)| id != message_id);
    }
}

impl Seen {
    fn forget(&mut self, now_ms: u64) {
        while let Some((at, _)) = self.order.front() {
            let is_old = at.saturating_add(REPLAY_MEMORY_MS) <= now_ms;
            if !is_old && self.order.len() < MAX_REMEMBERED {
                return;
            }
            if let Some((_, id)) = self.order.pop_front() {
                self.tickets.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use headstart_protocol::keys::Key;

    use super::*;

    fn ticket(random: u8) -> Ticket {
        Ticket::mint(1, 0, [random; 8], &Key::from_bytes(&[1; 32]).unwrap())
    }

    fn message(body_hash: u64) -> SignedMessage {
        SignedMessage {
            id: "m".to_owned(),
            body_hash,
        }
    }

    #[test]
    fn a_message_that_comes_again_gets_its_ticket_again_until_it_is_forgotten() {
        let admission = Admission::new(Auth::Open, None);
        let come = |now_ms, random| admission.ticket(Some(&message(1)), now_ms, || ticket(random));
        assert_eq!(come(0, 1), Ok((ticket(1), true)));
        assert_eq!(come(REPLAY_MEMORY_MS - 1, 2), Ok((ticket(1), false)));
        assert_eq!(come(REPLAY_MEMORY_MS, 3), Ok((ticket(3), true)));
        admission.forget("m");
        assert_eq!(come(REPLAY_MEMORY_MS, 4), Ok((ticket(4), true)));
    }

    #[test]
    fn another_login_under_a_known_id_gets_no_ticket() {
        let admission = Admission::new(Auth::Open, None);
        let come = |hash| admission.ticket(Some(&message(hash)), 0, || ticket(1));
        assert_eq!(come(1), Ok((ticket(1), true)));
        assert_eq!(come(2), Err(Refusal::Conflict));
        assert_eq!(come(1), Ok((ticket(1), false)));
    }

    #[test]
    fn an_unsigned_login_is_always_new() {
        let admission = Admission::new(Auth::Open, None);
        for random in [1, 2] {
            let new = admission.ticket(None, 0, || ticket(random));
            assert_eq!(new, Ok((ticket(random), true)));
        }
    }
}
