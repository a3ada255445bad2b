//! The login desk: which login waits, which origin holds it under which lease, and what happens when
//! an origin says nothing. The object `LoginDeskDo` does the I/O, and stores every change
//! before anyone hears of it.
//!
//! A login is *queued*, *leased* to a link, or *failing* (its ticket is about to be settled as failed),
//! and leaves the desk by an ack or when its failure has been told. What a link knows is in
//! `protocol::link`.

use std::collections::{BTreeMap, BTreeSet};

use headstart_protocol::link::DEAD_AFTER_MS;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most logins that a desk holds. At 1,000 logins a second and the default time-out of 30 s an origin
/// that keeps up never gets near it; without one, it bounds what is stored.
pub const MAX_LOGINS: usize = 10_000;

/// How many leases may end in silence before a login fails: whatever the login does to origins, it does
/// it to no more than these.
pub const MAX_LOST_LEASES: u32 = 3;

/// Most leases that one link may hold, whatever capacity it claims.
const MAX_CAPACITY: u32 = 10_000;

/// How long a closed link's leases wait for their origin to come back with them, in milliseconds.
const GRACE_MS: u64 = 2_000;

/// How long a released login stays away from the origin that released it, in milliseconds.
const RELEASE_PAUSE_MS: u64 = 1_000;

/// Time to the second try to tell a failure, in milliseconds; it doubles with every try.
const FIRST_RETRY_MS: u64 = 1_000;

/// Longest time between two tries, in milliseconds.
const LONGEST_RETRY_MS: u64 = 60_000;

/// How many failures are told at a time.
const FAILURES_AT_A_TIME: usize = 64;

/// Why a login fails that was leased in vain.
const REASON_LOST: &str = "no origin finished this login";

/// Why a login fails that nobody took.
const REASON_UNTAKEN: &str = "no origin took this login in time";

/// Where a login is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginState {
    /// Waiting for an origin.
    Queued {
        /// The origin that gave it back, and until when it stays away from it.
        away_from: Option<(String, u64)>,
    },
    /// Held by an origin.
    Leased {
        /// The link it went out over.
        link: String,
        /// The origin's name.
        origin: String,
        /// When the lease ends.
        ends_at: u64,
        /// The link is closed: when the origin has to be back with it.
        back_by: Option<u64>,
    },
    /// About to be settled as failed.
    Failing {
        /// Why.
        reason: String,
        /// Tries so far.
        tries: u32,
        /// When to try.
        next_at: u64,
    },
}

/// A login, as the desk stores it. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Since when it waits for an origin; a release does not begin the wait anew.
    pub waits_since: u64,
    /// How often it has been leased: the number in the name of its lease.
    pub leases: u32,
    /// How many of its leases ended in silence.
    pub lost: u32,
    /// Where it is.
    pub place: LoginState,
}

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
    /// Settle the login's ticket as failed, then say [`Desk::failure_told`].
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

/// The desk holds [`MAX_LOGINS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// The desk's time-outs, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeskTimes {
    /// How long a lease lasts.
    pub lease_ms: u64,
    /// How long a login waits for an origin.
    pub login_timeout_ms: u64,
}

/// What an origin said of itself in its hello. It is also what a link's socket remembers while the
/// desk sleeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The origin's name.
    pub origin: String,
    /// Names this run of the origin; empty where it did not say.
    #[serde(default)]
    pub instance: String,
    /// How many leases it wants to hold at once.
    pub capacity: u32,
    /// It wants no more.
    pub draining: bool,
}

#[derive(Debug, Default)]
struct Link {
    greeting: Option<Greeting>,
    held: BTreeSet<Uuid>,
    /// A lease of it ended in silence, and none was answered since: perhaps nobody is there.
    silent: bool,
    /// When the desk knows that something was heard of it, pings included.
    heard_at: u64,
    /// When it got its last lease, in the desk's own count.
    last_turn: u64,
}

impl Link {
    fn free(&self) -> usize {
        match &self.greeting {
            Some(greeting) if !greeting.draining => {
                // One lease finds out whether somebody is there again.
                let most = if self.silent { 1 } else { MAX_CAPACITY };
                let capacity = greeting.capacity.min(most) as usize;
                capacity.saturating_sub(self.held.len())
            }
            _ => 0,
        }
    }

    fn is_of(&self, instance: &str) -> bool {
        let greeting = self.greeting.as_ref();
        !instance.is_empty() && greeting.is_some_and(|greeting| greeting.instance == instance)
    }

    fn is_unheard(&self, now: u64) -> bool {
        now >= self.heard_at + DEAD_AFTER_MS
    }
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
        if self.logins.len() >= MAX_LOGINS {
            return Err(Full);
        }
        let login = Login {
            waits_since: now,
            leases: 0,
            lost: 0,
            place: LoginState::Queued { away_from: None },
        };
        let mut effects = vec![self.put(id, login)];
        effects.extend(self.pump(now));
        Ok(effects)
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

    /// Ends a login: its offer or its failure is durable at an origin. That holds whichever lease
    /// the origin had of it, also one that ended long ago.
    pub fn ack(&mut self, link: &str, lease: &str, now: u64) -> Vec<Effect> {
        self.answered(link, now);
        let granted = parse_lease(lease).filter(|(id, number)| {
            self.logins
                .get(id)
                .is_some_and(|login| *number <= login.leases && *number > 0)
        });
        let Some((id, _)) = granted else {
            return self.pump(now);
        };
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
            .map(|(_, id)| *id)
            .collect();
        let mut effects = Vec::new();
        let mut failures = 0;
        for id in due {
            let Some(mut login) = self.logins.get(&id).cloned() else {
                continue;
            };
            match &mut login.place {
                LoginState::Queued { away_from } => {
                    if now >= login.waits_since + self.times.login_timeout_ms {
                        login.place = failing(REASON_UNTAKEN, now);
                    } else {
                        *away_from = None;
                    }
                }
                LoginState::Leased { link, origin, .. } => {
                    if let Some(link) = self.links.get_mut(link.as_str()) {
                        link.silent = true;
                    }
                    login.lost += 1;
                    login.waits_since = now;
                    login.place = if login.lost >= MAX_LOST_LEASES {
                        failing(REASON_LOST, now)
                    } else {
                        LoginState::Queued {
                            away_from: Some((origin.clone(), now)),
                        }
                    };
                }
                LoginState::Failing {
                    reason,
                    tries,
                    next_at,
                } => {
                    if failures == FAILURES_AT_A_TIME {
                        continue;
                    }
                    failures += 1;
                    effects.push(Effect::Fail {
                        login: id,
                        reason: reason.clone(),
                    });
                    *next_at = now + LONGEST_RETRY_MS.min(FIRST_RETRY_MS << (*tries).min(10));
                    *tries += 1;
                }
            }
            effects.push(self.put(id, login));
        }
        effects.extend(self.pump(now));
        effects
    }

    /// Ends a login whose failure has been told to its ticket.
    pub fn failure_told(&mut self, id: Uuid) -> Vec<Effect> {
        match self.logins.get(&id).map(|login| &login.place) {
            Some(LoginState::Failing { .. }) => {
                self.take(id);
                vec![Effect::Delete(id)]
            }
            _ => vec![],
        }
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
            LoginState::Failing { .. } => {}
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
            LoginState::Failing { next_at, .. } => *next_at,
        }
    }
}

fn failing(reason: &str, now: u64) -> LoginState {
    LoginState::Failing {
        reason: reason.to_owned(),
        tries: 0,
        next_at: now,
    }
}

/// Returns the name of a login's lease: no other lease ever has it.
fn lease_name(login: Uuid, number: u32) -> String {
    format!("{login}.{number}")
}

fn parse_lease(lease: &str) -> Option<(Uuid, u32)> {
    let (login, number) = lease.split_once('.')?;
    Some((Uuid::try_parse(login).ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    const TIMES: DeskTimes = DeskTimes {
        lease_ms: 30_000,
        login_timeout_ms: 30_000,
    };

    fn id(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn greeting(origin: &str, capacity: u32) -> Greeting {
        Greeting {
            origin: origin.to_owned(),
            instance: format!("{origin}'s first run"),
            capacity,
            draining: false,
        }
    }

    /// Returns a desk at time 0 with a link to each of these origins, named like the origin.
    fn desk_with(origins: &[(&str, u32)]) -> Desk {
        let mut desk = Desk::new(TIMES);
        for (origin, capacity) in origins {
            desk.open_link(origin, 0);
            desk.hello(origin, greeting(origin, *capacity), &[], 0);
        }
        desk
    }

    /// Returns the leases among effects: over which link, under which name.
    fn leases(effects: &[Effect]) -> Vec<(String, String)> {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Lease { link, lease, .. } => Some((link.clone(), lease.clone())),
                _ => None,
            })
            .collect()
    }

    fn lease(n: u8, number: u32) -> String {
        lease_name(id(n), number)
    }

    fn to(link: &str, n: u8, number: u32) -> Vec<(String, String)> {
        vec![(link.to_owned(), lease(n, number))]
    }

    #[test]
    fn a_login_goes_to_an_origin_at_once_and_leaves_with_its_ack() {
        let mut desk = desk_with(&[("a", 1)]);
        let effects = desk.enqueue(id(1), 0).unwrap();
        assert_eq!(leases(&effects), to("a", 1, 1));
        let effects = desk.ack("a", &lease(1, 1), 10);
        assert_eq!(effects, [Effect::Delete(id(1))]);
        assert_eq!(desk.next_deadline(), None);
    }

    #[test]
    fn nothing_is_leased_before_the_hello_or_over_the_capacity() {
        let mut desk = Desk::new(TIMES);
        desk.open_link("a", 0);
        assert!(leases(&desk.enqueue(id(1), 0).unwrap()).is_empty());
        assert!(leases(&desk.enqueue(id(2), 0).unwrap()).is_empty());
        let effects = desk.hello("a", greeting("a", 1), &[], 1);
        assert_eq!(leases(&effects), to("a", 1, 1));
        let effects = desk.ack("a", &lease(1, 1), 2);
        assert_eq!(leases(&effects), to("a", 2, 1), "room for the next");
    }

    #[test]
    fn origins_share_the_work() {
        let mut desk = desk_with(&[("a", 10), ("b", 10)]);
        let mut counts = BTreeMap::new();
        for n in 0..10 {
            for (link, _) in leases(&desk.enqueue(id(n), 0).unwrap()) {
                *counts.entry(link).or_insert(0) += 1;
            }
        }
        assert_eq!(counts["a"], 5);
        assert_eq!(counts["b"], 5);
    }

    #[test]
    fn an_unacked_lease_goes_to_another_origin() {
        let mut desk = desk_with(&[("a", 9), ("b", 1)]);
        assert_eq!(leases(&desk.enqueue(id(1), 0).unwrap()), to("a", 1, 1));
        assert!(leases(&desk.tick(29_999)).is_empty());
        assert_eq!(leases(&desk.tick(30_000)), to("b", 1, 2));
    }

    #[test]
    fn a_late_ack_counts_and_the_second_origins_changes_nothing() {
        let mut desk = desk_with(&[("a", 9), ("b", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        desk.tick(30_000);
        let done = desk.ack("a", &lease(1, 1), 30_001);
        assert_eq!(done, [Effect::Delete(id(1))]);
        assert!(desk.ack("b", &lease(1, 2), 30_002).is_empty());
    }

    #[test]
    fn an_ack_of_a_lease_that_never_was_changes_nothing() {
        let mut desk = desk_with(&[("a", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        for wrong in [
            lease(1, 0),
            lease(1, 2),
            lease(2, 1),
            "x".to_owned(),
            String::new(),
        ] {
            assert!(desk.ack("a", &wrong, 1).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_released_login_goes_to_another_origin_at_once() {
        let mut desk = desk_with(&[("a", 9), ("b", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        let effects = desk.release("a", &lease(1, 1), 5);
        assert_eq!(leases(&effects), to("b", 1, 2));
    }

    #[test]
    fn a_released_login_does_not_come_straight_back() {
        let mut desk = desk_with(&[("a", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        assert!(leases(&desk.release("a", &lease(1, 1), 5)).is_empty());
        assert_eq!(desk.next_deadline(), Some(1_005));
        assert_eq!(leases(&desk.tick(1_005)), to("a", 1, 2));
    }

    #[test]
    fn only_the_holder_can_release() {
        let mut desk = desk_with(&[("a", 9), ("b", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        assert!(desk.release("b", &lease(1, 1), 5).is_empty());
    }

    #[test]
    fn endless_releases_end_with_the_time_out() {
        let mut desk = desk_with(&[("a", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        let (mut now, mut number) = (0, 1);
        while now < TIMES.login_timeout_ms {
            desk.release("a", &lease(1, number), now);
            now += RELEASE_PAUSE_MS;
            number += 1;
            desk.tick(now);
        }
        let reason = REASON_UNTAKEN.to_owned();
        let fail = Effect::Fail {
            login: id(1),
            reason,
        };
        assert!(desk.tick(now).contains(&fail));
    }

    #[test]
    fn the_leases_of_a_closed_link_wait_for_their_origin() {
        let mut desk = desk_with(&[("a", 9), ("b", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        desk.close_link("a", 100);
        assert!(leases(&desk.tick(2_099)).is_empty());
        desk.open_link("a2", 2_099);
        let effects = desk.hello("a2", greeting("a", 9), &[lease(1, 1)], 2_099);
        assert!(leases(&effects).is_empty());
        assert!(leases(&desk.tick(2_100)).is_empty(), "it is back");
        assert_eq!(desk.ack("a2", &lease(1, 1), 2_101), [Effect::Delete(id(1))]);
    }

    #[test]
    fn the_leases_of_a_dead_origin_go_to_another_after_the_grace() {
        let mut desk = desk_with(&[("a", 9), ("b", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        desk.close_link("a", 100);
        assert_eq!(leases(&desk.tick(2_100)), to("b", 1, 2));
    }

    #[test]
    fn a_lease_that_could_not_be_sent_goes_to_another_link_and_counts_for_nothing() {
        let mut desk = desk_with(&[("a", 9), ("b", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        let effects = desk.undelivered("a", &lease(1, 1), 5);
        assert_eq!(leases(&effects), to("b", 1, 2));
        assert_eq!(desk.logins[&id(1)].lost, 0);
        assert!(!desk.links.contains_key("a"));
    }

    #[test]
    fn a_draining_origin_gets_no_more() {
        let mut desk = desk_with(&[("a", 9)]);
        desk.drain("a");
        assert!(leases(&desk.enqueue(id(1), 0).unwrap()).is_empty());
    }

    #[test]
    fn a_link_that_fell_silent_is_the_last_choice_until_it_speaks() {
        let mut desk = desk_with(&[("a", 9), ("b", 2)]);
        desk.enqueue(id(1), 0).unwrap();
        desk.tick(30_000);
        let effects = desk.enqueue(id(2), 30_001).unwrap();
        assert_eq!(leases(&effects), to("b", 2, 1));
        desk.ack("a", "anything", 30_002);
        let effects = desk.enqueue(id(3), 30_003).unwrap();
        assert_eq!(leases(&effects), to("a", 3, 1));
    }

    #[test]
    fn a_link_that_fell_silent_gets_one_login_at_a_time_until_it_answers() {
        let mut desk = desk_with(&[("a", 9)]);
        desk.enqueue(id(1), 0).unwrap();
        assert_eq!(leases(&desk.tick(30_000)), to("a", 1, 2));
        assert!(leases(&desk.enqueue(id(2), 30_001).unwrap()).is_empty());
        assert!(leases(&desk.enqueue(id(3), 30_001).unwrap()).is_empty());
        assert_eq!(leases(&desk.ack("a", &lease(1, 2), 30_002)).len(), 2);
    }

    #[test]
    fn an_origin_that_says_hello_again_gets_nothing_over_its_older_link() {
        let mut desk = desk_with(&[("old", 4), ("b", 1)]);
        for n in 1..=3 {
            desk.enqueue(id(n), 0).unwrap();
        }
        desk.open_link("new", 10);
        let mut again = greeting("old", 4);
        again.origin = "renamed".to_owned();
        let held = [lease(1, 1), lease(2, 1)];
        let effects = desk.hello("new", again, &held, 10);
        let why = CloseReason::Replaced;
        let link = "old".to_owned();
        assert!(effects.contains(&Effect::Close { link, why }));
        assert!(!desk.links.contains_key("old") && desk.links.contains_key("b"));
        let mut leased = Vec::new();
        for n in 4..=6 {
            leased.extend(leases(&desk.enqueue(id(n), 11).unwrap()));
        }
        assert!(!leased.is_empty());
        assert!(leased.iter().all(|(link, _)| link != "old"), "{leased:?}");
        // It goes on with what it held.
        assert!(
            leases(&desk.tick(10 + GRACE_MS))
                .iter()
                .all(|(_, name)| !held.contains(name))
        );
        assert_eq!(desk.ack("new", &held[0], 5_000)[0], Effect::Delete(id(1)));
    }

    #[test]
    fn origins_that_do_not_say_which_run_they_are_close_no_links() {
        let mut desk = Desk::new(TIMES);
        for link in ["a", "b"] {
            let mut nameless = greeting("origin", 1);
            nameless.instance.clear();
            desk.open_link(link, 0);
            desk.hello(link, nameless, &[], 0);
        }
        assert_eq!(desk.links.len(), 2);
    }

    #[test]
    fn what_is_held_may_be_told_in_parts_and_nothing_is_leased_before_the_last() {
        let mut desk = desk_with(&[("a", 2)]);
        for n in 1..=3 {
            desk.enqueue(id(n), 0).unwrap();
        }
        desk.close_link("a", 1);
        desk.open_link("a2", 2);
        let part = desk.hello("a2", greeting("a", 0), &[lease(1, 1)], 2);
        assert!(leases(&part).is_empty());
        let rest = desk.hello("a2", greeting("a", 3), &[lease(2, 1)], 2);
        assert_eq!(leases(&rest), to("a2", 3, 1));
        assert!(leases(&desk.tick(GRACE_MS + 2)).is_empty(), "both are held");
    }

    #[test]
    fn the_leases_of_a_link_that_is_heard_no_more_go_to_another_long_before_they_end() {
        let mut desk = desk_with(&[("a", 9), ("b", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        assert_eq!(desk.next_deadline(), Some(DEAD_AFTER_MS));
        assert!(desk.unheard(DEAD_AFTER_MS - 1).is_empty());
        assert_eq!(desk.unheard(DEAD_AFTER_MS), ["a", "b"]);
        // One has pinged meanwhile.
        assert_eq!(desk.last_heard("b", 14_000, DEAD_AFTER_MS), []);
        let effects = desk.last_heard("a", 0, DEAD_AFTER_MS);
        let why = CloseReason::Dead;
        let link = "a".to_owned();
        assert!(effects.contains(&Effect::Close { link, why }));
        assert_eq!(desk.next_deadline(), Some(DEAD_AFTER_MS + GRACE_MS));
        assert_eq!(leases(&desk.tick(DEAD_AFTER_MS + GRACE_MS)), to("b", 1, 2));
        assert_eq!(desk.next_deadline(), Some(14_000 + DEAD_AFTER_MS));
    }

    #[test]
    fn whatever_an_origin_says_of_its_leases_is_heard() {
        const AT: u64 = DEAD_AFTER_MS - 1;
        let says: [fn(&mut Desk) -> Vec<Effect>; 3] = [
            |desk| desk.hello("a", greeting("a", 9), &[], AT),
            |desk| desk.ack("a", &lease(1, 1), AT),
            |desk| desk.release("a", &lease(1, 1), AT),
        ];
        for say in says {
            let mut desk = desk_with(&[("a", 9)]);
            desk.enqueue(id(1), 0).unwrap();
            say(&mut desk);
            assert!(desk.unheard(DEAD_AFTER_MS).is_empty());
            assert_eq!(desk.unheard(AT + DEAD_AFTER_MS), ["a"]);
        }
    }

    #[test]
    fn a_desk_that_slept_leases_nothing_to_a_link_that_died_meanwhile() {
        let links = ["a", "b"].map(|link| (link.to_owned(), Some(greeting(link, 9))));
        let heard = links
            .into_iter()
            .zip([0, 1])
            .map(|((link, greeting), at)| (link, greeting, at));
        let queued = Login {
            waits_since: 0,
            leases: 0,
            lost: 0,
            place: LoginState::Queued { away_from: None },
        };
        let (desk, effects) = Desk::restore(TIMES, [(id(1), queued)], heard, DEAD_AFTER_MS);
        assert_eq!(leases(&effects), to("b", 1, 1));
        assert_eq!(desk.links.len(), 1);
    }

    #[test]
    fn a_login_fails_after_three_leases_in_silence() {
        let mut desk = desk_with(&[("a", 1)]);
        desk.enqueue(id(1), 0).unwrap();
        for round in 1..MAX_LOST_LEASES {
            let effects = desk.tick(u64::from(round) * 30_000);
            assert_eq!(leases(&effects), to("a", 1, round + 1));
        }
        assert!(leases(&desk.tick(90_000)).is_empty());
        let reason = REASON_LOST.to_owned();
        let fail = Effect::Fail {
            login: id(1),
            reason,
        };
        assert!(desk.tick(90_000).contains(&fail));
    }

    #[test]
    fn a_login_that_nobody_takes_fails_and_is_told_until_it_is_heard() {
        let mut desk = Desk::new(TIMES);
        desk.enqueue(id(1), 0).unwrap();
        assert_eq!(desk.next_deadline(), Some(30_000));
        desk.tick(30_000);
        let fail = Effect::Fail {
            login: id(1),
            reason: REASON_UNTAKEN.to_owned(),
        };
        assert!(desk.tick(30_000).contains(&fail));
        assert!(!desk.tick(30_999).contains(&fail), "one try at a time");
        assert!(desk.tick(31_000).contains(&fail), "no answer: again");
        assert_eq!(desk.next_deadline(), Some(33_000), "and later each time");
        assert_eq!(desk.failure_told(id(1)), [Effect::Delete(id(1))]);
        assert_eq!(desk.next_deadline(), None);
    }

    #[test]
    fn a_full_desk_takes_no_more() {
        let mut desk = Desk::new(TIMES);
        for n in 0..MAX_LOGINS {
            desk.enqueue(Uuid::from_u128(n as u128), 0).unwrap();
        }
        assert_eq!(desk.enqueue(Uuid::from_u128(u128::MAX), 0), Err(Full));
    }

    /// What may happen to a desk, in any order.
    #[derive(Debug, Clone)]
    enum Step {
        Enqueue,
        OpenLink(u8),
        Hello {
            link: u8,
            instance: u8,
            capacity: u32,
            holds: bool,
        },
        LastHeard {
            link: u8,
            ms_ago: u64,
        },
        Ack(Index),
        Release(Index),
        Drain(u8),
        CloseLink(u8),
        Undelivered(Index),
        Wait(u64),
        FailureTold(Index),
        Evict,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Enqueue),
            2 => (0..3_u8).prop_map(Step::OpenLink),
            3 => (0..3_u8, 0..3_u8, 0..4_u32, any::<bool>()).prop_map(
                |(link, instance, capacity, holds)| Step::Hello { link, instance, capacity, holds }
            ),
            1 => (0..3_u8, 0..40_000_u64)
                .prop_map(|(link, ms_ago)| Step::LastHeard { link, ms_ago }),
            3 => any::<Index>().prop_map(Step::Ack),
            2 => any::<Index>().prop_map(Step::Release),
            1 => (0..3_u8).prop_map(Step::Drain),
            2 => (0..3_u8).prop_map(Step::CloseLink),
            1 => any::<Index>().prop_map(Step::Undelivered),
            4 => (0..40_000_u64).prop_map(Step::Wait),
            2 => any::<Index>().prop_map(Step::FailureTold),
            1 => Just(Step::Evict),
        ]
    }

    /// The world around a desk: what was stored, which sockets are open, what was sent.
    struct World {
        desk: Desk,
        now: u64,
        next: u8,
        stored: BTreeMap<Uuid, Login>,
        links: BTreeMap<String, Option<Greeting>>,
        sent: Vec<(String, Uuid, String)>,
        entered: BTreeSet<Uuid>,
        done: BTreeSet<Uuid>,
    }

    impl World {
        fn new() -> Self {
            Self {
                desk: Desk::new(TIMES),
                now: 0,
                next: 0,
                stored: BTreeMap::new(),
                links: BTreeMap::new(),
                sent: Vec::new(),
                entered: BTreeSet::new(),
                done: BTreeSet::new(),
            }
        }

        fn link(n: u8) -> String {
            format!("link-{n}")
        }

        /// Does as the shell does, and checks every effect against what the world knows.
        fn perform(&mut self, effects: Vec<Effect>) {
            for effect in effects {
                match effect {
                    Effect::Save(id, login) => {
                        assert!(!self.done.contains(&id), "a login that left is back");
                        self.stored.insert(id, login);
                    }
                    Effect::Delete(id) => {
                        assert!(self.stored.remove(&id).is_some());
                        assert!(self.done.insert(id), "a login left twice");
                    }
                    Effect::Lease {
                        link, login, lease, ..
                    } => {
                        let holder = match &self.stored[&login].place {
                            LoginState::Leased {
                                link,
                                back_by: None,
                                ..
                            } => link,
                            place => panic!("leased before it was stored so: {place:?}"),
                        };
                        assert_eq!(*holder, link);
                        let greeting = self.links[&link].as_ref().expect("said hello");
                        assert!(!greeting.draining);
                        assert!(self.sent.iter().all(|(_, _, old)| *old != lease));
                        self.sent.push((link, login, lease));
                    }
                    Effect::Fail { login, .. } => {
                        assert!(self.stored.contains_key(&login));
                    }
                    Effect::Close { link, .. } => {
                        assert!(self.links.remove(&link).is_some());
                    }
                }
            }
            assert_eq!(self.desk.logins, self.stored, "stored is what is known");
            let left: BTreeSet<_> = self.stored.keys().copied().collect();
            assert!(left.is_disjoint(&self.done));
            assert_eq!(&left | &self.done, self.entered, "a login is lost");
            let queued = self
                .stored
                .iter()
                .filter(|(_, login)| matches!(login.place, LoginState::Queued { .. }));
            assert_eq!(queued.count(), self.desk.queue.len());
            assert_eq!(self.stored.len(), self.desk.deadlines.len());
        }

        /// Leases may exceed a capacity only by what an origin said it holds, or by a smaller capacity
        /// in a later hello; so this is checked when something is sent.
        fn check_capacity(&self, sent_before: usize) {
            for (link, _, _) in &self.sent[sent_before..] {
                let held = self.desk.links[link].held.len();
                let capacity = self.links[link].as_ref().map_or(0, |g| g.capacity);
                assert!(held <= capacity as usize, "over capacity");
            }
        }

        fn step(&mut self, step: &Step) {
            let sent_before = self.sent.len();
            let effects = match step {
                Step::Enqueue => {
                    let new = id(self.next);
                    self.next = self.next.wrapping_add(1);
                    if !self.entered.insert(new) {
                        return;
                    }
                    self.desk.enqueue(new, self.now).expect("is not full")
                }
                Step::OpenLink(n) => {
                    if self.links.contains_key(&Self::link(*n)) {
                        return;
                    }
                    self.links.insert(Self::link(*n), None);
                    self.desk.open_link(&Self::link(*n), self.now);
                    vec![]
                }
                Step::LastHeard { link, ms_ago } => {
                    let at = self.now.saturating_sub(*ms_ago);
                    self.desk.last_heard(&Self::link(*link), at, self.now)
                }
                Step::Hello {
                    link,
                    instance,
                    capacity,
                    holds,
                } => {
                    let link = Self::link(*link);
                    let Some(said) = self.links.get_mut(&link) else {
                        return;
                    };
                    let mut greeting = greeting(&format!("origin-{link}"), *capacity);
                    greeting.instance = format!("run-{instance}");
                    *said = Some(greeting.clone());
                    let held: Vec<String> = self
                        .sent
                        .iter()
                        .filter(|_| *holds)
                        .map(|(_, _, lease)| lease.clone())
                        .collect();
                    self.desk.hello(&link, greeting, &held, self.now)
                }
                Step::Ack(index) | Step::Release(index) => {
                    if self.sent.is_empty() {
                        return;
                    }
                    let (link, _, lease) = index.get(&self.sent).clone();
                    if matches!(step, Step::Ack(_)) {
                        self.desk.ack(&link, &lease, self.now)
                    } else {
                        self.desk.release(&link, &lease, self.now)
                    }
                }
                Step::Drain(n) => {
                    if let Some(Some(greeting)) = self.links.get_mut(&Self::link(*n)) {
                        greeting.draining = true;
                    }
                    self.desk.drain(&Self::link(*n));
                    vec![]
                }
                Step::CloseLink(n) => {
                    self.links.remove(&Self::link(*n));
                    self.desk.close_link(&Self::link(*n), self.now)
                }
                Step::Undelivered(index) => {
                    if self.sent.is_empty() {
                        return;
                    }
                    let (link, _, lease) = index.get(&self.sent).clone();
                    self.links.remove(&link);
                    self.desk.undelivered(&link, &lease, self.now)
                }
                Step::Wait(ms) => {
                    self.now += ms;
                    self.desk.tick(self.now)
                }
                Step::FailureTold(index) => {
                    if self.entered.is_empty() {
                        return;
                    }
                    let all: Vec<_> = self.entered.iter().copied().collect();
                    self.desk.failure_told(*index.get(&all))
                }
                Step::Evict => {
                    let links = self.links.clone().into_iter();
                    let links = links.map(|(link, greeting)| (link, greeting, self.now));
                    let (desk, effects) =
                        Desk::restore(TIMES, self.stored.clone(), links, self.now);
                    self.desk = desk;
                    effects
                }
            };
            self.perform(effects);
            if !matches!(step, Step::Hello { holds: true, .. }) {
                self.check_capacity(sent_before);
            }
        }
    }

    proptest! {
        #[test]
        fn no_login_is_lost_or_done_twice_whatever_happens(
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let mut world = World::new();
            for step in &steps {
                world.step(step);
            }
            // Everything comes to an end by itself once every origin is gone.
            for n in 0..3 {
                world.step(&Step::CloseLink(n));
            }
            for _ in 0..12 {
                world.step(&Step::Wait(TIMES.lease_ms + TIMES.login_timeout_ms));
                let failing: Vec<_> = world.stored.keys().copied().collect();
                for id in failing {
                    let effects = world.desk.failure_told(id);
                    world.perform(effects);
                }
            }
            prop_assert_eq!(world.done, world.entered);
        }
    }
}
