//! A small world to test in: one root and some relays with the real rules, a network that delays,
//! reorders and loses, objects that are evicted, and subscribers that watch what they are handed.
//! Time and fate are arguments, so every run can be repeated.

use std::collections::{BTreeMap, BTreeSet};

use headstart_protocol::{event::Event, report::Status, topic::TopicName};
use proptest::{prelude::*, sample::Index};

use crate::topic::{
    catch_up::{Missed, Wanted},
    fanout::{self, PushOrder},
    follower::{Applied, FOLLOW_EVERY_MS},
    history::{HistoryLimits, Kept, Replay, Taken},
    messages::{FollowAnswer, Push, PushAnswer},
    relay::{CatchUp, FollowOrder, Need, Progress, RelayEffect, RelayState},
    relay_name::RelayName,
    root::{RootEffect, RootLimits, RootState, Stored},
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
    SubscribeAtRoot(Option<u64>),
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
        1 => prop::option::of(0..6_u64).prop_map(Step::SubscribeAtRoot),
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
        order: FollowOrder,
    },
    FollowAnswer {
        to: usize,
        life: u64,
        order: FollowOrder,
        missed: Replay,
    },
    /// On behalf of a subscriber.
    Ask {
        from: usize,
        ask: u64,
        after: u64,
    },
    Asked {
        to: usize,
        ask: u64,
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

#[derive(Debug)]
struct Subscriber {
    /// Up to where it has got everything, or was told that it is lost.
    at: Option<u64>,
    gaps: u64,
    /// While it is being brought to the head of its relay; `None` once it is live.
    catch_up: Option<CatchUp>,
    /// What the root is asked on its behalf.
    asks: Option<u64>,
}

impl Subscriber {
    /// One that is new, or that went away so many updates before `head`.
    fn new(head: u64, ago: Option<u64>) -> Self {
        Self {
            at: ago.map(|ago| head.saturating_sub(ago)),
            gaps: 0,
            catch_up: None,
            asks: None,
        }
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            topic: topic(),
            cursor: self.at,
        }
    }

    /// Checks that what it is told is what comes next.
    fn told(&mut self, applied: &Applied) {
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

    /// Is told what it missed, and live from now on.
    fn begins(&mut self, missed: Vec<Missed>) {
        self.catch_up = None;
        for missed in missed {
            assert_eq!(missed.after, *self.at.get_or_insert(missed.after));
            for part in missed.parts {
                self.told(&Applied {
                    gap: part.lost(),
                    updates: part.updates,
                });
            }
        }
    }

    /// Comes to a relay: for the first time, or again.
    fn comes(&mut self, relay: &RelayState) {
        self.catch_up = Some(relay.catch_up([self.wanted()], false));
        self.asks = None;
    }
}

fn topic() -> TopicName {
    TopicName::parse("a").unwrap()
}

#[derive(Debug)]
struct Relay {
    state: RelayState,
    stored_head: Option<u64>,
    subscribers: Vec<Subscriber>,
    /// How often it was evicted.
    life: u64,
}

impl Relay {
    fn new(name: RelayName) -> Self {
        Self {
            state: RelayState::restore(name, CAPACITY, [], |_| 0).0,
            stored_head: None,
            subscribers: vec![],
            life: 0,
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.subscribers.len()).unwrap()
    }

    fn carry_out(&mut self, effects: Vec<RelayEffect>) {
        for effect in effects {
            match effect {
                RelayEffect::SaveHead(_, head) => self.stored_head = Some(head),
                RelayEffect::ForgetHead(_) => self.stored_head = None,
                RelayEffect::Tell(_, applied) => {
                    let live = self.subscribers.iter_mut();
                    live.filter(|one| one.catch_up.is_none())
                        .for_each(|one| one.told(&applied));
                }
            }
        }
    }

    fn apply(&mut self, push: &Push) -> PushAnswer {
        let (answer, effects) = self.state.apply(push, self.count());
        self.carry_out(effects);
        answer
    }

    /// Loses its memory. Its sockets and what it stored stay; who was not live yet comes again.
    fn evict(&mut self) {
        self.life += 1;
        let live = self.subscribers.iter();
        let live = live.filter(|one| one.catch_up.is_none()).count();
        let heads = self.stored_head.map(|head| (topic(), head));
        let name = self.state.name().clone();
        let live = u32::try_from(live).unwrap();
        let (state, effects) = RelayState::restore(name, CAPACITY, heads, |_| live);
        self.state = state;
        self.carry_out(effects);
        for one in &mut self.subscribers {
            if one.catch_up.is_some() {
                one.comes(&self.state);
            }
        }
    }
}

struct World {
    now: u64,
    limits: RootLimits,
    root: RootState,
    /// What the root has stored.
    stored: Stored,
    /// The root's own subscribers, all live.
    own: Vec<Subscriber>,
    /// When the root tells what is untold.
    flush_at: Option<u64>,
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
    fn new(keeps: usize, push_bytes: usize) -> Self {
        let limits = RootLimits {
            history: HistoryLimits {
                count: keeps,
                bytes: usize::MAX,
                age_ms: u64::MAX,
            },
            relay_capacity: CAPACITY,
            push_bytes,
        };
        let names = ["weur:0:a", "weur:1:a", "many:weur:0", "oc:0:a"];
        let relays = names.map(|name| Relay::new(RelayName::parse(name).unwrap()));
        Self {
            now: 0,
            limits,
            root: RootState::restore(topic(), limits, Stored::default(), 0).0,
            stored: Stored::default(),
            own: vec![],
            flush_at: None,
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
        let at = self
            .relays
            .iter()
            .position(|relay| relay.state.name() == name);
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
                let mut subscriber = Subscriber::new(self.head(), ago);
                let relay = &mut self.relays[relay];
                subscriber.comes(&relay.state);
                relay.subscribers.push(subscriber);
            }
            Step::SubscribeAtRoot(ago) => {
                let mut subscriber = Subscriber::new(self.head(), ago);
                let wanted = [subscriber.wanted()];
                let (missed, effects) = self.root.catch_up(&wanted, false, self.now);
                self.carry_out(effects);
                subscriber.begins(missed);
                self.own.push(subscriber);
            }
            Step::Unsubscribe(relay, ref who) => {
                let relay = &mut self.relays[relay];
                if !relay.subscribers.is_empty() {
                    let who = who.index(relay.subscribers.len());
                    relay.subscribers.swap_remove(who);
                    if relay.subscribers.is_empty() {
                        let effects = relay.state.emptied(&topic());
                        relay.carry_out(effects);
                    }
                }
            }
            Step::Wait(ms) => self.wait(ms),
        }
        for relay in 0..RELAYS {
            self.admit(relay);
        }
    }

    /// Returns whether the root has stored that a relay follows, under such an epoch.
    fn follows(&self, relay: &RelayName, epoch: impl Fn(u64) -> bool) -> bool {
        let mut rows = self.stored.relays.iter();
        rows.any(|row| row.relay == *relay && epoch(row.epoch))
    }

    fn head(&self) -> u64 {
        self.root.history().head()
    }

    fn publish(&mut self) {
        let id = (self.head() + 1).to_string();
        let own = u32::try_from(self.own.len()).unwrap();
        let events = vec![Event::new(id, "/s", "t")];
        let (results, effects) = self.root.publish(events, own, self.now);
        assert_eq!(results[0].status, Status::Accepted);
        self.carry_out(effects);
    }

    fn wait(&mut self, ms: u64) {
        self.now += ms;
        if self.flush_at.take_if(|at| *at <= self.now).is_some() {
            let effects = self.root.flush_due(self.now);
            self.carry_out(effects);
        }
        let effects = self.root.tick(self.now);
        self.carry_out(effects);
        for relay in 0..RELAYS {
            let random = self.next();
            let state = &mut self.relays[relay];
            let topics = Some((topic(), state.count())).filter(|(_, count)| *count > 0);
            for order in state.state.tick(topics, random, self.now) {
                self.follow(relay, order);
            }
        }
    }

    fn carry_out(&mut self, effects: Vec<RootEffect>) {
        for effect in effects {
            match effect {
                RootEffect::Append {
                    update,
                    identity,
                    at_ms,
                } => {
                    self.stored.taken.push(Taken {
                        identity,
                        sequence: update.sequence,
                        at_ms,
                    });
                    self.stored.history.push(Kept { update, at_ms });
                }
                RootEffect::Trim(trim) => {
                    let up_to = trim.updates_up_to.unwrap_or(0);
                    let history = &mut self.stored.history;
                    history.retain(|kept| kept.update.sequence > up_to);
                }
                RootEffect::SaveTold(head) => self.stored.told = head,
                RootEffect::Tell(untold) => {
                    self.own.iter_mut().for_each(|one| one.told(&untold));
                }
                RootEffect::FlushIn(ms) => self.flush_at = Some(self.now + ms),
                RootEffect::WriteKv(update) => {
                    let effects = self.root.kv_written(update.sequence, self.now);
                    self.carry_out(effects);
                }
                RootEffect::SaveInKv(sequence) => self.stored.in_kv = sequence,
                RootEffect::Fanout(effect) => self.carry_out_fanout(effect),
            }
        }
    }

    fn carry_out_fanout(&mut self, effect: fanout::Effect) {
        let Stored { relays, shards, .. } = &mut self.stored;
        match effect {
            fanout::Effect::Save(row) => {
                relays.retain(|stored| stored.relay != row.relay);
                relays.push(row);
            }
            fanout::Effect::Forget(name) => relays.retain(|stored| stored.relay != name),
            fanout::Effect::SaveShards(region, number) => {
                shards.retain(|(stored, _)| *stored != region);
                shards.push((region, number));
            }
            fanout::Effect::Push(order) => self.push(&order),
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
            push: self.root.push(order),
        });
    }

    /// Returns an order's number in this life of the root.
    fn own(&self, order: u64) -> Option<u64> {
        order.checked_sub(self.orders_before)
    }

    fn follow(&mut self, from: usize, order: FollowOrder) {
        let life = self.relays[from].life;
        self.network.push(Message::Follow { from, life, order });
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Push { order, to, push } => {
                let call = self.next();
                let (forward, own) = push.hand_on();
                let pending = forward.len();
                for (name, push) in forward {
                    let to = self.relay(&name);
                    self.network.push(Message::HandOn { call, to, push });
                }
                let answer = self.relays[to].apply(&own);
                self.calls.insert(
                    call,
                    Call {
                        lead: to,
                        order,
                        pending,
                        answers: vec![answer],
                    },
                );
                self.finish(call);
            }
            Message::HandOn { call, to, push } => {
                let answer = self.relays[to].apply(&push);
                self.handed_on(call, Some(answer));
            }
            Message::PushAnswer { order, answers } => {
                if let Some(id) = self.own(order) {
                    self.open.remove(&id);
                    let anew: Vec<RelayName> = answers
                        .iter()
                        .filter(|answer| self.follows(&answer.relay, |epoch| epoch != answer.epoch))
                        .map(|answer| answer.relay.clone())
                        .collect();
                    let effects = self.root.push_answered(id, &answers, self.now);
                    self.carry_out(effects);
                    for relay in anew {
                        let follows = self.follows(&relay, |_| true);
                        assert!(follows, "what was said in an earlier epoch says nothing");
                    }
                }
            }
            Message::Follow { from, life, order } => {
                let (answer, effects) = self.root.follow(&order.follow, self.now);
                self.carry_out(effects);
                let FollowAnswer { missed, .. } = answer;
                self.network.push(Message::FollowAnswer {
                    to: from,
                    life,
                    order,
                    missed,
                });
            }
            Message::FollowAnswer {
                to,
                life,
                order,
                missed,
            } => {
                let relay = &mut self.relays[to];
                if relay.life == life {
                    let count = relay.count();
                    let state = &mut relay.state;
                    let effects = state.follow_answered(&order, &missed, count, self.now);
                    relay.carry_out(effects);
                }
            }
            Message::Ask { from, ask, after } => self.network.push(Message::Asked {
                to: from,
                ask,
                missed: self.root.missed(after),
            }),
            Message::Asked { to, ask, missed } => {
                let Relay {
                    state, subscribers, ..
                } = &mut self.relays[to];
                let asking = subscribers.iter_mut().find(|one| one.asks == Some(ask));
                if let Some(one) = asking
                    && let Some(catch_up) = &mut one.catch_up
                {
                    one.asks = None;
                    state.missed(catch_up, &topic(), missed);
                }
            }
        }
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
            Message::Follow {
                from: relay,
                life,
                order,
            }
            | Message::FollowAnswer {
                to: relay,
                life,
                order,
                ..
            } => {
                let relay = &mut self.relays[*relay];
                if relay.life == *life {
                    relay.state.follow_failed(order, self.now);
                }
            }
            Message::Ask {
                from: relay, ask, ..
            }
            | Message::Asked { to: relay, ask, .. } => {
                let relay = &mut self.relays[*relay];
                let mut subscribers = relay.subscribers.iter_mut();
                if let Some(one) = subscribers.find(|one| one.asks == Some(*ask)) {
                    one.comes(&relay.state);
                }
            }
        }
    }

    fn push_failed(&mut self, order: u64) {
        if let Some(id) = self.own(order) {
            self.open.remove(&id);
            let effects = self.root.push_failed(id, self.now);
            self.carry_out(effects);
        }
    }

    /// A relay loses its memory, and what it has handed on is answered to nobody.
    fn evict(&mut self, which: usize) {
        self.relays[which].evict();
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
        self.flush_at = None;
        let stored = self.stored.clone();
        let (root, effects) = RootState::restore(topic(), self.limits, stored, self.now);
        self.root = root;
        self.carry_out(effects);
    }

    /// Brings subscribers that have come to the head of their relay.
    fn admit(&mut self, at: usize) {
        for index in 0..self.relays[at].subscribers.len() {
            let random = self.next();
            let relay = &mut self.relays[at];
            let count = relay.count();
            let one = &mut relay.subscribers[index];
            let Some(catch_up) = one.catch_up.as_mut().filter(|_| one.asks.is_none()) else {
                continue;
            };
            let progress = relay.state.advance(catch_up, |_| count, random, self.now);
            match progress {
                Progress::Ready(missed) => one.begins(missed),
                Progress::Needs(needs) => {
                    assert_eq!(needs.len(), 1, "it has one topic");
                    for need in needs {
                        self.bring(at, index, need);
                    }
                }
                Progress::Failed => one.comes(&relay.state),
                Progress::Gone => panic!("it is here"),
            }
        }
    }

    fn bring(&mut self, from: usize, index: usize, need: Need) {
        match need {
            Need::Follow(order) => self.follow(from, order),
            Need::FollowAnswer(_) => {}
            Need::Missed { after, .. } => {
                let ask = self.next();
                self.relays[from].subscribers[index].asks = Some(ask);
                self.network.push(Message::Ask { from, ask, after });
            }
        }
    }

    fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        let at_relays = self.relays.iter().flat_map(|relay| &relay.subscribers);
        at_relays.chain(&self.own)
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
        push_bytes in prop_oneof![Just(100_usize), Just(100_000)],
        steps in prop::collection::vec(any_step(), 0..150),
    ) {
        let mut world = World::new(keeps, push_bytes);
        for step in steps {
            world.step(&step);
        }
        world.settle();
        let head = world.head();
        for one in world.subscribers() {
            prop_assert!(one.catch_up.is_none(), "everyone is let in: {:?}", one);
            prop_assert_eq!(one.at, Some(head));
            prop_assert!(one.gaps == 0 || head > keeps as u64, "nothing is lost that is kept");
        }
        for relay in &world.relays {
            let known = world.root.relays().any(|name| name == relay.state.name());
            prop_assert!(known || relay.subscribers.is_empty(), "the root knows who has subscribers");
        }
        let stored: BTreeSet<&RelayName> = world.stored.relays.iter().map(|row| &row.relay).collect();
        prop_assert_eq!(stored, world.root.relays().collect());
        prop_assert_eq!((world.stored.told, world.stored.in_kv), (head, head));
        prop_assert!(world.open.is_empty());
        prop_assert_eq!(world.root.next_due(world.now), world.root.history().next_due());
    }
}
