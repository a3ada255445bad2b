//! Who may send a login, and what it says.

use std::{
    collections::{HashMap, VecDeque},
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
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    tickets: HashMap<String, Ticket>,
    /// Ids in the order of their first coming, with the time of it.
    order: VecDeque<(u64, String)>,
}

/// A login that may come in.
#[derive(Debug)]
pub(super) struct Admitted {
    /// What it says.
    pub(super) login: LoginData,
    /// Its message id, where it is signed.
    pub(super) message_id: Option<String>,
}

impl Admission {
    pub(super) fn new(auth: Auth, keys: Option<KeyRing>) -> Self {
        Self {
            auth,
            keys,
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
        let message_id = match (self.auth, &self.keys) {
            (Auth::Open, _) => None,
            (Auth::Signed, None) => {
                return Err(Refusal::Signature("no login key is configured".to_owned()));
            }
            (Auth::Signed, Some(keys)) => {
                let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
                let id = signature::verify(header, body, keys, now_ms)
                    .map_err(|error| Refusal::Signature(error.to_string()))?;
                Some(id)
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
            message_id,
        })
    }

    /// The ticket of a message: the one it had before, or else the one that `mint` makes now. The
    /// second value tells whether it is new.
    pub(super) fn ticket(
        &self,
        message_id: Option<String>,
        now_ms: u64,
        mint: impl FnOnce() -> Ticket,
    ) -> (Ticket, bool) {
        let Some(id) = message_id else {
            return (mint(), true);
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now_ms);
        if let Some(ticket) = seen.tickets.get(&id) {
            return (ticket.clone(), false);
        }
        let ticket = mint();
        seen.order.push_back((now_ms, id.clone()));
        seen.tickets.insert(id, ticket.clone());
        (ticket, true)
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
        Ticket::mint(1, [random; 10], &Key::from_bytes(&[1; 32]).unwrap())
    }

    #[test]
    fn a_message_that_comes_again_gets_its_ticket_again_until_it_is_forgotten() {
        let admission = Admission::new(Auth::Open, None);
        let come =
            |now_ms, random| admission.ticket(Some("m".to_owned()), now_ms, || ticket(random));
        assert_eq!(come(0, 1), (ticket(1), true));
        assert_eq!(come(REPLAY_MEMORY_MS - 1, 2), (ticket(1), false));
        assert_eq!(come(REPLAY_MEMORY_MS, 3), (ticket(3), true));
        admission.forget("m");
        assert_eq!(come(REPLAY_MEMORY_MS, 4), (ticket(4), true));
    }

    #[test]
    fn an_unsigned_login_is_always_new() {
        let admission = Admission::new(Auth::Open, None);
        assert!(admission.ticket(None, 0, || ticket(1)).1);
        assert!(admission.ticket(None, 0, || ticket(1)).1);
    }
}
