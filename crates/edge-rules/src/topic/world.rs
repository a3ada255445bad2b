//! A small world to test in: one root and some relays with the real rules, a network that delays,
//! reorders and loses, objects that are evicted, and subscribers that watch what they are handed.
//! Time and fate are arguments, so every run can be repeated.

use std::collections::{BTreeMap, BTreeSet};

use headstart_protocol::topic::TopicName;
use proptest::{prelude::*, sample::Index};

use crate::topic::{
    fanout::{Effect, Fanout, PushOrder, Registered},
    follower::{Applied, FOLLOW_EVERY_MS, Follower, Resume},
    history::{History, HistoryLimits, Identity, Replay},
    messages::{Follow, Push, PushAnswer},
    region::Region,
    relay_name::RelayName,
    update::tests::update,
};

const RELAYS: usize = 4;
const CAPACITY: u32 = 4;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    Publish,
    Deliver(Index),
    Lose(Index),
    /// The sender gives up, but the message arrives later.
    GiveUpOn(Index),
    EvictRelay(usize),
    RestartRoot,
    /// At which relay, and how many updates ago the subscriber went away; none: it is new.
    Subscribe(usize, Option<u64>),
    Unsubscribe(usize, Index),
    Wait(u64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let relay = 0..RELAYS;
    prop_oneof![
        6 => Just(Step::Publish),
        12 => any::<Index>().prop_map(Step::Deliver),
        2 => any::<Index>().prop_map(Step::Lose),
        2 => any::<Index>().prop_map(Step::GiveUpOn),
        1 => relay.clone().prop_map(Step::EvictRelay),
        1 => Just(Step::RestartRoot),
        3 => (relay.clone(), prop::option::of(0..6_u64)).prop_map(|(at, ago)| Step::Subscribe(at, ago)),
        2 => (relay, any::<Index>()).prop_map(|(at, who)| Step::Unsubscribe(at, who)),
        3 => (0..20_000_u64).prop_map(Step::Wait),
    ]
}

#[derive(Debug)]
enum Message {
    Push {
        order: u64,
        to: usize,
        push: Push,
    },
    /// From the lead of a call; the call may be over.
    HandOn {
        call: u64,
        to: usize,
        push: Push,
    },
    PushAnswer {
        order: u64,
        answers: Vec<PushAnswer>,
    },
    Follow {
        from: usize,
        life: u64,
        number: u64,
        follow: Follow,
    },
    FollowAnswer {
        to: usize,
        life: u64,
        number: u64,
        follow: Follow,
        missed: Replay,
    },
    /// On behalf of a subscriber.
    Ask {
        from: usize,
        subscriber: u64,
        after: u64,
    },
    Asked {
        to: usize,
        subscriber: u64,
        missed: Replay,
    },
}

/// A lead that hands on.
#[derive(Debug)]
struct Call {
    lead: usize,
    order: u64,
    pending: usize,
    answers: Vec<PushAnswer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For nothing: it may ask to resume.
    No,
    /// For the answer to this follow.
    ForFollow(u64),
    ForRoot,
}

#[derive(Debug)]
struct Subscriber {
    id: u64,
    /// Up to where it has got everything, or was told that it is lost.
    at: Option<u64>,
    live: bool,
    waits: Waits,
    followed: bool,
    gaps: u64,
}

impl Subscriber {
    /// Checks that what it is handed is what comes next.
    fn take(&mut self, applied: &Applied) {
        if let Some((after, first)) = applied.gap {
            assert_eq!(Some(after), self.at, "a gap begins where the subscriber is");
            assert!(first > after + 1, "something is lost");
            self.at = Some(first - 1);
            self.gaps += 1;
        }
        for update in &applied.updates {
            let next = self.at.expect("it is somewhere") + 1;
            assert_eq!(update.sequence, next, "each update once, in order");
            self.at = Some(next);
        }
    }
}

#[derive(Debug)]
struct Relay {
    name: RelayName,
    follower: Follower,
    stored_head: Option<u64>,
    subscribers: Vec<Subscriber>,
    /// How often it was evicted.
    life: u64,
    /// The number of its last follow, and of the last one that was answered.
    asked: u64,
    answered: u64,
}

impl Relay {
    fn count(&self) -> u32 {
        u32::try_from(self.subscribers.len()).unwrap()
    }

    fn hand_out(&mut self, applied: &Applied) {
        for subscriber in &mut self.subscribers {
            if subscriber.live {
                subscriber.take(applied);
            }
        }
        self.stored_head = self.follower.head();
    }
}

struct World {
    now: u64,
    history: History,
    page_bytes: usize,
    fanout: Fanout,
    stored: BTreeMap<RelayName, Registered>,
    stored_shards: BTreeMap<Region, u32>,
    /// The orders that the root waits for, with the relays in them.
    open: BTreeMap<u64, BTreeSet<RelayName>>,
    /// Of orders before the root's last restart: nobody waits for them.
    orders_before: u64,
    relays: Vec<Relay>,
    network: Vec<Message>,
    calls: BTreeMap<u64, Call>,
    counter: u64,
}

impl World {
    fn new(keeps: usize, page_bytes: usize) -> Self {
        let limits = HistoryLimits {
            count: keeps,
            bytes: usize::MAX,
            age_ms: u64::MAX,
        };
        let names = ["weur:0:a", "weur:1:a", "many:weur:0", "oc:0:a"];
        let relays = names.map(|name| Relay {
            name: RelayName::parse(name).unwrap(),
            follower: Follower::new(CAPACITY, None),
            stored_head: None,
            subscribers: vec![],
            life: 0,
            asked: 0,
            answered: 0,
        });
        Self {
            now: 0,
            history: History::restore(limits, [], []),
            page_bytes,
            fanout: Fanout::restore(CAPACITY, 0, [], []),
            stored: BTreeMap::new(),
            stored_shards: BTreeMap::new(),
            open: BTreeMap::new(),
            orders_before: 0,
            relays: relays.into(),
            network: vec![],
            calls: BTreeMap::new(),
            counter: 0,
        }
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn relay(&self, name: &RelayName) -> usize {
        let at = self.relays.iter().position(|relay| relay.name == *name);
        at.expect("only these relays follow")
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish => self.publish(),
            Step::Deliver(ref which) if !self.network.is_empty() => {
                let at = which.index(self.network.len());
                let message = self.network.swap_remove(at);
                self.deliver(message);
            }
            Step::Lose(ref which) if !self.network.is_empty() => {
                let at = which.index(self.network.len());
                let message = self.network.swap_remove(at);
                self.give_up_on(&message);
            }
            Step::GiveUpOn(ref which) if !self.network.is_empty() => {
                let at = which.index(self.network.len());
                let message = self.network.swap_remove(at);
                self.give_up_on(&message);
                self.network.push(message);
            }
            Step::Deliver(_) | Step::Lose(_) | Step::GiveUpOn(_) => {}
            Step::EvictRelay(relay) => self.evict(relay),
            Step::RestartRoot => self.restart_root(),
            Step::Subscribe(relay, ago) => {
                let id = self.next();
                let head = self.history.head();
                self.relays[relay].subscribers.push(Subscriber {
                    id,
                    at: ago.map(|ago| head.saturating_sub(ago)),
                    live: false,
                    waits: Waits::No,
                    followed: false,
                    gaps: 0,
                });
            }
            Step::Unsubscribe(relay, ref who) => {
                let relay = &mut self.relays[relay];
                if !relay.subscribers.is_empty() {
                    relay
                        .subscribers
                        .swap_remove(who.index(relay.subscribers.len()));
                    if relay.subscribers.is_empty() {
                        relay.follower.emptied();
                        relay.stored_head = None;
                    }
                }
            }
            Step::Wait(ms) => self.wait(ms),
        }
        for relay in 0..RELAYS {
            self.admit(relay);
        }
    }

    fn publish(&mut self) {
        let sequence = self.history.head() + 1;
        let identity = Identity::of("/s", &sequence.to_string());
        self.history
            .append(identity, self.now, |sequence| update(sequence).event);
        let effects = self.fanout.advanced(sequence, self.now);
        self.carry_out(effects);
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        let effects = self.fanout.tick(self.now);
        self.carry_out(effects);
        for relay in 0..RELAYS {
            let state = &self.relays[relay];
            if state.follower.follow_due(state.count(), self.now) {
                self.follow(relay);
            }
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Save(row) => {
                    self.stored.insert(row.relay.clone(), row);
                }
                Effect::Forget(name) => {
                    self.stored.remove(&name);
                }
                Effect::SaveShards(region, shards) => {
                    self.stored_shards.insert(region, shards);
                }
                Effect::Push(order) => self.push(&order),
            }
        }
    }

    fn push(&mut self, order: &PushOrder) {
        let others = order.forward.iter().map(|to| to.relay.clone());
        let relays: BTreeSet<RelayName> = others.chain([order.to.clone()]).collect();
        for other in self.open.values() {
            assert!(other.is_disjoint(&relays), "one push to a relay at a time");
        }
        assert!(relays.iter().all(|name| name.region() == order.to.region()));
        self.open.insert(order.id, relays);
        self.network.push(Message::Push {
            order: order.id + self.orders_before,
            to: self.relay(&order.to),
            push: order.push(&TopicName::parse("a").unwrap(), &self.history),
        });
    }

    /// An order's number in this life of the root.
    fn own(&self, order: u64) -> Option<u64> {
        order.checked_sub(self.orders_before)
    }

    fn follow(&mut self, from: usize) {
        let random = self.next();
        let relay = &mut self.relays[from];
        let (name, count) = (relay.name.clone(), relay.count());
        let follow = relay.follower.follow(name, count, random, self.now);
        relay.asked += 1;
        self.network.push(Message::Follow {
            from,
            life: relay.life,
            number: relay.asked,
            follow,
        });
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Push { order, to, push } => {
                let answer = self.pushed(to, &push);
                let forwards: Vec<(usize, Push)> = push
                    .forwards()
                    .map(|(name, push)| (self.relay(name), push))
                    .collect();
                let call = self.next();
                self.calls.insert(
                    call,
                    Call {
                        lead: to,
                        order,
                        pending: forwards.len(),
                        answers: vec![answer],
                    },
                );
                for (to, push) in forwards {
                    self.network.push(Message::HandOn { call, to, push });
                }
                self.finish(call);
            }
            Message::HandOn { call, to, push } => {
                let answer = self.pushed(to, &push);
                self.handed_on(call, Some(answer));
            }
            Message::PushAnswer { order, answers } => {
                if let Some(id) = self.own(order) {
                    self.open.remove(&id);
                    let effects = self.fanout.answered(id, &answers, self.now);
                    self.carry_out(effects);
                }
            }
            Message::Follow {
                from,
                life,
                number,
                follow,
            } => {
                let missed = match follow.have {
                    Some(have) => self.history.replay(have, self.page_bytes),
                    None => Replay::at_head(self.history.head()),
                };
                let effects = self.fanout.follow(&follow, &missed, self.now);
                self.carry_out(effects);
                self.network.push(Message::FollowAnswer {
                    to: from,
                    life,
                    number,
                    follow,
                    missed,
                });
            }
            Message::FollowAnswer {
                to,
                life,
                number,
                follow,
                missed,
            } => {
                let relay = &mut self.relays[to];
                if relay.life == life {
                    let applied = relay.follower.caught_up(&follow, &missed, self.now);
                    relay.hand_out(&applied);
                    relay.answered = relay.answered.max(number);
                }
            }
            Message::Ask {
                from,
                subscriber,
                after,
            } => self.network.push(Message::Asked {
                to: from,
                subscriber,
                missed: self.history.replay(after, self.page_bytes),
            }),
            Message::Asked {
                to,
                subscriber,
                missed,
            } => {
                let relay = &mut self.relays[to];
                let missed = relay.follower.up_to_head(missed);
                // An answer to a question that was given up on is no answer to the next one.
                let asking = relay.subscribers.iter_mut().find(|one| {
                    (one.id, one.waits, one.at) == (subscriber, Waits::ForRoot, Some(missed.after))
                });
                if let Some(one) = asking {
                    one.waits = Waits::No;
                    one.followed = false;
                    one.take(&Applied {
                        gap: missed.lost(),
                        updates: missed.updates,
                    });
                }
            }
        }
    }

    /// A push reaches a relay.
    fn pushed(&mut self, to: usize, push: &Push) -> PushAnswer {
        let relay = &mut self.relays[to];
        let (name, count) = (relay.name.clone(), relay.count());
        let (applied, answer) = relay.follower.pushed(name, push, count);
        relay.hand_out(&applied);
        answer
    }

    /// A relay that was handed a push answers its lead, or does not.
    fn handed_on(&mut self, call: u64, answer: Option<PushAnswer>) {
        if let Some(open) = self.calls.get_mut(&call)
            && open.pending > 0
        {
            open.pending -= 1;
            open.answers.extend(answer);
            self.finish(call);
        }
    }

    fn finish(&mut self, call: u64) {
        if self.calls.get(&call).is_some_and(|call| call.pending == 0)
            && let Some(Call { order, answers, .. }) = self.calls.remove(&call)
        {
            self.network.push(Message::PushAnswer { order, answers });
        }
    }

    /// Whoever sent this message does not wait for it any longer.
    fn give_up_on(&mut self, message: &Message) {
        match message {
            Message::Push { order, .. } | Message::PushAnswer { order, .. } => {
                self.push_failed(*order);
            }
            Message::HandOn { call, .. } => self.handed_on(*call, None),
            Message::Follow { from, life, .. } | Message::FollowAnswer { to: from, life, .. } => {
                let relay = &mut self.relays[*from];
                if relay.life == *life {
                    relay.follower.follow_failed(self.now);
                    for one in &mut relay.subscribers {
                        if one.waits != Waits::ForRoot {
                            one.waits = Waits::No;
                        }
                    }
                }
            }
            Message::Ask {
                from, subscriber, ..
            }
            | Message::Asked {
                to: from,
                subscriber,
                ..
            } => {
                for one in &mut self.relays[*from].subscribers {
                    if one.id == *subscriber && one.waits == Waits::ForRoot {
                        one.waits = Waits::No;
                    }
                }
            }
        }
    }

    fn push_failed(&mut self, order: u64) {
        if let Some(id) = self.own(order) {
            self.open.remove(&id);
            let effects = self.fanout.failed(id, self.now);
            self.carry_out(effects);
        }
    }

    /// A relay loses its memory. Its sockets and what it stored stay; who was not live yet comes again.
    fn evict(&mut self, which: usize) {
        let relay = &mut self.relays[which];
        relay.life += 1;
        let any_live = relay.subscribers.iter().any(|one| one.live);
        relay.follower = Follower::new(CAPACITY, relay.stored_head.filter(|_| any_live));
        for one in &mut relay.subscribers {
            one.waits = Waits::No;
            one.followed = false;
        }
        let cut_off: Vec<u64> = self
            .calls
            .iter()
            .filter(|(_, call)| call.lead == which)
            .map(|(call, _)| *call)
            .collect();
        for call in cut_off {
            if let Some(Call { order, .. }) = self.calls.remove(&call) {
                self.push_failed(order);
            }
        }
    }

    fn restart_root(&mut self) {
        self.orders_before += 1_000_000;
        self.open.clear();
        self.fanout = Fanout::restore(
            CAPACITY,
            self.history.head(),
            self.stored.values().cloned(),
            self.stored_shards.clone(),
        );
    }

    /// Brings subscribers that have come to the head of their relay.
    fn admit(&mut self, at: usize) {
        for index in 0..self.relays[at].subscribers.len() {
            let relay = &mut self.relays[at];
            let one = &mut relay.subscribers[index];
            if let Waits::ForFollow(number) = one.waits
                && relay.answered >= number
            {
                one.waits = Waits::No;
                one.followed = true;
            }
            if one.live || one.waits != Waits::No {
                continue;
            }
            match relay.follower.resume(one.at, one.followed) {
                Resume::Ready(missed) => {
                    one.at.get_or_insert(missed.after);
                    one.take(&Applied {
                        gap: missed.lost(),
                        updates: missed.updates,
                    });
                    one.live = true;
                    relay.stored_head = relay.follower.head();
                }
                Resume::Follow => {
                    one.waits = Waits::ForFollow(relay.asked + 1);
                    self.follow(at);
                }
                Resume::AskRoot => {
                    one.waits = Waits::ForRoot;
                    let after = one.at.expect("the head is never asked for");
                    let subscriber = one.id;
                    self.network.push(Message::Ask {
                        from: at,
                        subscriber,
                        after,
                    });
                }
            }
        }
    }

    fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.relays.iter().flat_map(|relay| &relay.subscribers)
    }

    /// Lets everything arrive, for as long as it takes a root that forgot a relay to hear of it again.
    fn settle(&mut self) {
        let until = self.now + FOLLOW_EVERY_MS + 15_000;
        while self.now < until {
            while !self.network.is_empty() {
                let message = self.network.remove(0);
                self.deliver(message);
                for relay in 0..RELAYS {
                    self.admit(relay);
                }
            }
            self.step(&Step::Wait(500));
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_every_subscriber_gets_each_update_once_and_in_order(
        keeps in prop_oneof![Just(3_usize), Just(1_000)],
        page_bytes in prop_oneof![Just(100_usize), Just(100_000)],
        steps in prop::collection::vec(any_step(), 0..150),
    ) {
        let mut world = World::new(keeps, page_bytes);
        for step in steps {
            world.step(&step);
        }
        world.settle();
        let head = world.history.head();
        for one in world.subscribers() {
            prop_assert!(one.live, "everyone is let in: {:?}", one);
            prop_assert_eq!(one.at, Some(head));
            prop_assert!(one.gaps == 0 || head > keeps as u64, "nothing is lost that is kept");
        }
        for relay in &world.relays {
            let known = world.fanout.relays().any(|(name, _)| *name == relay.name);
            prop_assert!(known || relay.subscribers.is_empty(), "the root knows who has subscribers");
        }
        let stored: Vec<&RelayName> = world.stored.keys().collect();
        let known: Vec<&RelayName> = world.fanout.relays().map(|(name, _)| name).collect();
        prop_assert_eq!(stored, known);
        prop_assert!(world.open.is_empty());
        prop_assert_eq!(world.fanout.next_due(), None);
    }
}
