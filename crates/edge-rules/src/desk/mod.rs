//! The desk: which login waits, which origin holds it under which lease, and what happens when an origin
//! says nothing. The object `DeskDo` does the I/O, and stores every change before anyone hears of it.
//!
//! A login is *queued*, *leased* to a link, or *acked* (its settlement is durable at an origin, and on its
//! way), and leaves when its ticket settles. An ack does not end the watch: an origin whose event never
//! comes costs the user no more than the time to settle. What a link knows is in `protocol::link`; how the
//! ticket stands is in [`crate::ticket`].

use std::collections::{BTreeMap, BTreeSet};

use headstart_protocol::link::DEAD_AFTER_MS;
use uuid::Uuid;

pub use link::Greeting;
use link::Link;
pub use login::{Login, LoginState};
use login::{lease_name, parse_lease};
use rate::Rate;

mod link;
mod login;
mod rate;

/// Most logins that a desk holds. At 1,000 logins a second and the default time-out of 30 s an origin
/// that keeps up never gets near it; without one, it bounds what is stored.
pub const MAX_LOGINS: usize = 10_000;

/// Logins that a desk keeps in any case, beside those that its links have room for.
const SHORT_QUEUE: usize = 100;

/// A desk keeps as many more as have lately settled in this time, in milliseconds: who is let in waits about
/// so long, and everybody else learns at once that there are too many.
const QUEUE_MS: f64 = 500.0;

/// How long a closed link's leases wait for their origin to come back with them, in milliseconds.
const GRACE_MS: u64 = 2_000;

/// How long a released login stays away from the origin that released it, in milliseconds.
const RELEASE_PAUSE_MS: u64 = 1_000;

/// Most logins that one tick deals with, so that none of them takes long.
const DUE_AT_A_TIME: usize = 500;

/// Why a login fails that was leased in vain.
const REASON_LOST: &str = "no origin finished this login";

/// Why a login fails that nobody took.
const REASON_UNTAKEN: &str = "no origin took this login in time";

/// Why a login fails whose origin says that it is done, and whose settlement has not come.
const REASON_UNSETTLED: &str = "the origin that finished this login did not deliver in time";

/// What the shell has to do, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Store the login as it is now.
    Save(Uuid, Login),
    /// Delete the login.
    Delete(Uuid),
    /// Send a lease.
    Lease {
        /// Over this link.
        link: String,
        /// Of this login.
        login: Uuid,
        /// Under this name.
        lease: String,
        /// Milliseconds from now to its end.
        expires_in_ms: u64,
    },
    /// Settle the login's ticket as failed, unless it has settled; then the login is to be deleted.
    Fail {
        /// The login.
        login: Uuid,
        /// Why.
        reason: String,
    },
    /// Close a link: to the desk it is closed.
    Close {
        /// Which.
        link: String,
        /// Why.
        why: CloseReason,
    },
}

/// Why a desk closes a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// Its origin has said hello over another one.
    Replaced,
    /// Nothing was heard over it for [`DEAD_AFTER_MS`].
    Dead,
}

/// The desk holds as many logins as it may: [`MAX_LOGINS`], or fewer where its origins do not keep up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The desk's time-outs, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskTimes {
    /// How long a lease lasts.
    pub lease_ms: u64,
    /// How long a login waits for an origin.
    pub login_timeout_ms: u64,
    /// How long after its ack an origin's event may take.
    pub settle_ms: u64,
}

/// The desk. Every method that changes something gives the effects, to be carried out at once.
#[derive(Debug)]
pub struct Desk {
    times: DeskTimes,
    logins: BTreeMap<Uuid, Login>,
    /// Those that are queued; a UUID of version 7 sorts by the time of minting.
    queue: BTreeSet<Uuid>,
    /// Every login by the time at which something has to happen to it.
    deadlines: BTreeSet<(u64, Uuid)>,
    links: BTreeMap<String, Link>,
    turns: u64,
    settled: Rate,
}

impl Desk {
    /// Returns an empty desk.
    pub fn new(times: DeskTimes) -> Self {
        Self {
            times,
            logins: BTreeMap::new(),
            queue: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            links: BTreeMap::new(),
            turns: 0,
            settled: Rate::default(),
        }
    }

    /// Builds the desk anew from what was stored and the links that are open, each with when it was last
    /// heard. Leases of links that are gone get the grace of a closed link.
    pub fn restore(
        times: DeskTimes,
        logins: impl IntoIterator<Item = (Uuid, Login)>,
        links: impl IntoIterator<Item = (String, Option<Greeting>, u64)>,
        now: u64,
    ) -> (Self, Vec<Effect>) {
        let mut desk = Self::new(times);
        for (id, greeting, heard_at) in links {
            let link = Link {
                greeting,
                heard_at,
                ..Link::default()
            };
            desk.links.insert(id, link);
        }
        for (id, login) in logins {
            desk.put(id, login);
        }
        let gone: BTreeSet<String> = desk
            .logins
            .values()
            .filter_map(|login| match &login.place {
                LoginState::Leased {
                    link,
                    back_by: None,
                    ..
                } if !desk.links.contains_key(link) => Some(link.clone()),
                _ => None,
            })
            .collect();
        let mut effects = Vec::new();
        for link in gone {
            effects.extend(desk.close_link(&link, now));
        }
        for link in desk.unheard(now) {
            effects.extend(desk.close(link, CloseReason::Dead, now));
        }
        effects.extend(desk.pump(now));
        (desk, effects)
    }

    /// Takes a login in.
    ///
    /// # Errors
    /// [`Full`], and nothing changes.
    pub fn enqueue(&mut self, id: Uuid, now: u64) -> Result<Vec<Effect>, Full> {
        if self.logins.contains_key(&id) {
            return Ok(vec![]);
        }
        if self.logins.len() >= self.most_logins(now) {
            return Err(Full);
        }
        let mut effects = vec![self.put(id, Login::new(now))];
        effects.extend(self.pump(now));
        Ok(effects)
    }

    /// Returns how many logins it keeps: as many as its origins keep up with. Where there is none, logins wait
    /// for one to come back.
    fn most_logins(&self, now: u64) -> usize {
        let room: usize = self.links.values().map(Link::capacity).sum();
        if room == 0 {
            return MAX_LOGINS;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of logins"
        )]
        let lately = (self.settled.per_ms(now) * QUEUE_MS) as usize;
        MAX_LOGINS.min(room + SHORT_QUEUE.max(lately))
    }

    /// Opens a link. Nothing is leased to it before its hello.
    pub fn open_link(&mut self, link: &str, now: u64) {
        self.links.entry(link.to_owned()).or_default().heard_at = now;
    }

    /// Notes an origin's hello: what it wants to hold, and what it still holds from before. Other links of
    /// the same instance are closed: the origin has given them up, though the network has not told so.
    pub fn hello(
        &mut self,
        link: &str,
        greeting: Greeting,
        held: &[String],
        now: u64,
    ) -> Vec<Effect> {
        if !self.links.contains_key(link) {
            // The desk has closed it, and its socket has still had this to say.
            return vec![];
        }
        let origin = greeting.origin.clone();
        let others: Vec<String> = self
            .links
            .iter()
            .filter(|(id, other)| *id != link && other.is_of(&greeting.instance))
            .map(|(id, _)| id.clone())
            .collect();
        let mut effects = Vec::new();
        for other in others {
            effects.extend(self.close(other, CloseReason::Replaced, now));
        }
        let entry = self.links.entry(link.to_owned()).or_default();
        entry.silent = false;
        entry.heard_at = now;
        entry.greeting = Some(greeting);
        for lease in held {
            let Some((id, mut login)) = self.current(lease) else {
                continue;
            };
            if let LoginState::Leased {
                link: holder,
                origin: holder_name,
                back_by,
                ..
            } = &mut login.place
            {
                link.clone_into(holder);
                holder_name.clone_from(&origin);
                *back_by = None;
                effects.push(self.put(id, login));
            }
        }
        effects.extend(self.pump(now));
        effects
    }

    /// Notes that an origin wants no more leases.
    pub fn drain(&mut self, link: &str) {
        if let Some(greeting) = self
            .links
            .get_mut(link)
            .and_then(|link| link.greeting.as_mut())
        {
            greeting.draining = true;
        }
    }

    /// Returns what the link said of itself, as its socket has to remember it.
    pub fn greeting(&self, link: &str) -> Option<&Greeting> {
        self.links.get(link)?.greeting.as_ref()
    }

    /// Notes that a login is done: its offer or its failure is durable at an origin. That holds whichever
    /// lease the origin had of it, also one that ended long ago. Its event may have come before.
    pub fn ack(&mut self, link: &str, lease: &str, now: u64) -> Vec<Effect> {
        self.answered(link, now);
        let greeting = self.greeting(link);
        let origin = greeting.map_or_else(String::new, |greeting| greeting.origin.clone());
        let mut effects = Vec::new();
        if let Some((id, number)) = parse_lease(lease)
            && let Some(mut login) = self.logins.get(&id).cloned()
            && (1..=login.leases).contains(&number)
            && !matches!(login.place, LoginState::Acked { .. })
        {
            login.place = LoginState::Acked {
                origin,
                settle_by: now + self.times.settle_ms,
            };
            effects.push(self.put(id, login));
        }
        effects.extend(self.pump(now));
        effects
    }

    /// Notes that a ticket has settled: its login, if it is here, leaves.
    pub fn settle(&mut self, id: Uuid, now: u64) -> Vec<Effect> {
        if !self.logins.contains_key(&id) {
            return vec![];
        }
        self.settled.note(now);
        self.take(id);
        let mut effects = vec![Effect::Delete(id)];
        effects.extend(self.pump(now));
        effects
    }

    /// Takes a login back from its origin. Only the one that holds it can hand it back.
    pub fn release(&mut self, link: &str, lease: &str, now: u64) -> Vec<Effect> {
        self.answered(link, now);
        let mut effects = Vec::new();
        if let Some((id, mut login)) = self.current(lease)
            && let LoginState::Leased {
                link: holder,
                origin,
                ..
            } = &login.place
            && holder == link
        {
            login.place = LoginState::Queued {
                away_from: Some((origin.clone(), now + RELEASE_PAUSE_MS)),
            };
            effects.push(self.put(id, login));
        }
        effects.extend(self.pump(now));
        effects
    }

    /// Returns the links that may be dead: nothing was heard of them for [`DEAD_AFTER_MS`], as far as the
    /// desk knows. Pings do not wake it, so the shell finds out, and says [`Desk::last_heard`].
    pub fn unheard(&self, now: u64) -> Vec<String> {
        let unheard = self.links.iter().filter(|(_, link)| link.is_unheard(now));
        unheard.map(|(id, _)| id.clone()).collect()
    }

    /// Notes when a link was last heard, and closes it where that is too long ago.
    pub fn last_heard(&mut self, link: &str, at: u64, now: u64) -> Vec<Effect> {
        let Some(entry) = self.links.get_mut(link) else {
            return vec![];
        };
        entry.heard_at = entry.heard_at.max(at);
        if entry.is_unheard(now) {
            self.close(link.to_owned(), CloseReason::Dead, now)
        } else {
            vec![]
        }
    }

    fn close(&mut self, link: String, why: CloseReason, now: u64) -> Vec<Effect> {
        let mut effects = self.close_link(&link, now);
        effects.push(Effect::Close { link, why });
        effects
    }

    /// Closes a link. Its origin may come back with what it held.
    pub fn close_link(&mut self, link: &str, now: u64) -> Vec<Effect> {
        self.links.remove(link);
        let held: Vec<Uuid> = self
            .logins
            .iter()
            .filter(|(_, login)| {
                matches!(&login.place, LoginState::Leased { link: holder, back_by: None, .. } if holder == link)
            })
            .map(|(id, _)| *id)
            .collect();
        let mut effects = Vec::new();
        for id in held {
            let Some(mut login) = self.logins.get(&id).cloned() else {
                continue;
            };
            if let LoginState::Leased { back_by, .. } = &mut login.place {
                *back_by = Some(now + GRACE_MS);
            }
            effects.push(self.put(id, login));
        }
        effects
    }

    /// Takes back a lease that could not be sent, because its link is gone: the login never left.
    pub fn undelivered(&mut self, link: &str, lease: &str, now: u64) -> Vec<Effect> {
        let mut effects = self.close_link(link, now);
        if let Some((id, mut login)) = self.current(lease)
            && matches!(login.place, LoginState::Leased { .. })
        {
            login.place = LoginState::Queued { away_from: None };
            effects.push(self.put(id, login));
        }
        effects.extend(self.pump(now));
        effects
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) -> Vec<Effect> {
        let due: Vec<Uuid> = self
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(DUE_AT_A_TIME)
            .map(|(_, id)| *id)
            .collect();
        let mut effects = Vec::new();
        for id in due {
            let Some(mut login) = self.logins.get(&id).cloned() else {
                continue;
            };
            let failed = match login.place.clone() {
                LoginState::Queued { .. } => {
                    login.place = LoginState::Queued { away_from: None };
                    let untaken_at = login.waits_since + self.times.login_timeout_ms;
                    (now >= untaken_at).then_some(REASON_UNTAKEN)
                }
                LoginState::Leased { link, origin, .. } => {
                    if let Some(link) = self.links.get_mut(&link) {
                        link.silent = true;
                    }
                    let has_lost = login.queue_again((origin, now), now);
                    has_lost.then_some(REASON_LOST)
                }
                LoginState::Acked { origin, .. } => {
                    let is_alone = !self.has_other_than(&origin);
                    // That origin has nothing to generate any more, and what it has does not come.
                    let until = now + self.times.login_timeout_ms;
                    let has_lost = login.queue_again((origin, until), now);
                    (has_lost || is_alone).then_some(REASON_UNSETTLED)
                }
            };
            if let Some(reason) = failed {
                self.take(id);
                let reason = reason.to_owned();
                effects.extend([Effect::Fail { login: id, reason }, Effect::Delete(id)]);
            } else {
                effects.push(self.put(id, login));
            }
        }
        effects.extend(self.pump(now));
        effects
    }

    /// Returns whether another origin than this one takes logins.
    fn has_other_than(&self, origin: &str) -> bool {
        let mut greetings = self
            .links
            .values()
            .filter_map(|link| link.greeting.as_ref());
        greetings.any(|greeting| greeting.origin != origin && !greeting.draining)
    }

    /// Returns when [`Desk::tick`] has something to do next, or a link that holds leases may be dead.
    pub fn next_deadline(&self) -> Option<u64> {
        let holding = self.links.values().filter(|link| !link.held.is_empty());
        let dead_at = holding.map(|link| link.heard_at + DEAD_AFTER_MS).min();
        let due = self.deadlines.first().map(|(at, _)| *at);
        due.into_iter().chain(dead_at).min()
    }

    /// Leases queued logins to links with room, the oldest first.
    fn pump(&mut self, now: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut after = None;
        while let Some(id) = self.next_queued(after) {
            after = Some(id);
            if !self.links.values().any(|link| link.free() > 0) {
                break;
            }
            let Some(mut login) = self.logins.get(&id).cloned() else {
                continue;
            };
            let Some((link, origin)) = self.best_link(&login, now) else {
                continue;
            };
            self.turns += 1;
            if let Some(link) = self.links.get_mut(&link) {
                link.last_turn = self.turns;
            }
            login.leases += 1;
            login.place = LoginState::Leased {
                link: link.clone(),
                origin,
                ends_at: now + self.times.lease_ms,
                back_by: None,
            };
            let lease = lease_name(id, login.leases);
            effects.push(self.put(id, login));
            effects.push(Effect::Lease {
                link,
                login: id,
                lease,
                expires_in_ms: self.times.lease_ms,
            });
        }
        effects
    }

    fn next_queued(&self, after: Option<Uuid>) -> Option<Uuid> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.queue.range((from, Unbounded)).next().copied()
    }

    /// Returns the link that gets a login, and its origin's name: one that answers before one that fell
    /// silent, another origin before the one that had it, then the one with most room, then whose turn it is.
    fn best_link(&self, login: &Login, now: u64) -> Option<(String, String)> {
        let away_from = match &login.place {
            LoginState::Queued { away_from } => away_from.as_ref(),
            _ => None,
        };
        self.links
            .iter()
            .filter_map(|(id, link)| {
                let greeting = link.greeting.as_ref()?;
                let free = link.free();
                let had_it = away_from.is_some_and(|(origin, _)| *origin == greeting.origin);
                let kept_away = had_it && away_from.is_some_and(|(_, until)| now < *until);
                (free > 0 && !kept_away).then_some((
                    (link.silent, had_it, std::cmp::Reverse(free), link.last_turn),
                    id,
                    &greeting.origin,
                ))
            })
            .min()
            .map(|(_, id, origin)| (id.clone(), origin.clone()))
    }

    fn answered(&mut self, link: &str, now: u64) {
        if let Some(link) = self.links.get_mut(link) {
            link.silent = false;
            link.heard_at = now;
        }
    }

    /// Returns the login that `lease` is the current lease of.
    fn current(&self, lease: &str) -> Option<(Uuid, Login)> {
        let (id, number) = parse_lease(lease)?;
        let login = self.logins.get(&id)?;
        (login.leases == number).then(|| (id, login.clone()))
    }

    /// Puts a login in its place, in every index.
    fn put(&mut self, id: Uuid, login: Login) -> Effect {
        self.take(id);
        match &login.place {
            LoginState::Queued { .. } => {
                self.queue.insert(id);
            }
            LoginState::Leased { link, .. } => {
                if let Some(link) = self.links.get_mut(link) {
                    link.held.insert(id);
                }
            }
            LoginState::Acked { .. } => {}
        }
        self.deadlines.insert((self.deadline(&login), id));
        self.logins.insert(id, login.clone());
        Effect::Save(id, login)
    }

    /// Takes a login out of every index.
    fn take(&mut self, id: Uuid) {
        let Some(login) = self.logins.remove(&id) else {
            return;
        };
        self.queue.remove(&id);
        self.deadlines.remove(&(self.deadline(&login), id));
        if let LoginState::Leased { link, .. } = &login.place
            && let Some(link) = self.links.get_mut(link)
        {
            link.held.remove(&id);
        }
    }

    /// Returns when something has to happen to a login.
    fn deadline(&self, login: &Login) -> u64 {
        match &login.place {
            LoginState::Queued { away_from } => {
                let untaken = login.waits_since + self.times.login_timeout_ms;
                away_from
                    .as_ref()
                    .map_or(untaken, |(_, until)| untaken.min(*until))
            }
            LoginState::Leased {
                ends_at, back_by, ..
            } => back_by.map_or(*ends_at, |back_by| back_by.min(*ends_at)),
            LoginState::Acked { settle_by, .. } => *settle_by,
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
