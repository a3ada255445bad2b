//! Whatever happens to a desk, in any order: no login is lost, and none leaves twice.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::Index};

use super::{
    tests::{TIMES, greeting, id},
    *,
};

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
    Settle(Index),
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
        2 => any::<Index>().prop_map(Step::Settle),
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
            Step::Settle(index) => {
                if self.entered.is_empty() {
                    return;
                }
                let all: Vec<_> = self.entered.iter().copied().collect();
                self.desk.settle(*index.get(&all), self.now)
            }
            Step::Evict => {
                let links = self.links.clone().into_iter();
                let links = links.map(|(link, greeting)| (link, greeting, self.now));
                let (desk, effects) = Desk::restore(TIMES, self.stored.clone(), links, self.now);
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
        }
        prop_assert_eq!(world.done, world.entered);
    }
}
