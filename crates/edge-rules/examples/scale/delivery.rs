//! One update on its way from a root to every subscriber, by the rules that really decide it:
//! `History`, `Fanout` and `Follower`. Only time is made up.

use std::collections::BTreeMap;

use headstart_edge_rules::topic::{
    fanout::{Effect, Fanout, Mode, PUSH_BYTES, PushOrder},
    follower::Follower,
    history::{Appended, History, HistoryLimits, Identity, Replay},
    messages::{Push, PushAnswer},
    region::Region,
    relay_name::RelayName,
    update::EventJson,
};
use headstart_protocol::{
    event::{Data, Event, TYPE_UPDATE},
    topic::TopicName,
};

use super::assumptions::{
    HOP_BETWEEN_REGIONS_US, HOP_WITHIN_REGION_US, RELAY_CAPACITY, REQUEST_US, ROOT_IN, SOCKET_US,
    WAITING_REQUESTS,
};

/// What one update took.
#[derive(Debug, Default)]
pub struct Delivery {
    pub subscribers: u64,
    pub relays: u64,
    /// Requests that the root makes, one for each region.
    pub root_requests: u64,
    /// Requests that a lead makes, to its region's other relays; the most of any.
    pub lead_requests: u64,
    /// Requests of all objects, and the one that published.
    pub all_requests: u64,
    /// Subscribers that one object writes to; the most of any.
    pub most_messages: u64,
    /// Microseconds from the root's taking the update until it was written to the first subscriber, to
    /// half of them, and to the last one.
    pub first_us: u64,
    pub half_us: u64,
    pub last_us: u64,
    /// How long relays are busy with it, or wait for answers, all added up.
    pub active_us: u64,
}

/// An object that sends requests, one after the other and not too many at a time.
struct Sender {
    ready_us: u64,
    /// When each place for a waiting request is free.
    free_us: [u64; WAITING_REQUESTS],
}

impl Sender {
    fn from(ready_us: u64) -> Self {
        Self {
            ready_us,
            free_us: [0; WAITING_REQUESTS],
        }
    }

    /// Sends a request and says when it has arrived.
    fn send(&mut self, hop_us: u64) -> u64 {
        self.free_us.sort_unstable();
        self.ready_us = self.ready_us.max(self.free_us[0]) + REQUEST_US;
        let arrived = self.ready_us + hop_us;
        self.free_us[0] = arrived + REQUEST_US + hop_us;
        arrived
    }
}

struct Relay {
    follower: Follower,
    subscribers: u32,
}

struct World {
    topic: TopicName,
    history: History,
    fanout: Fanout,
    relays: BTreeMap<RelayName, Relay>,
    /// When a relay begins to write to its subscribers, and how many it has.
    writes: Vec<(u64, u64)>,
    delivery: Delivery,
}

/// Delivers one update to so many subscribers, the same number in each region.
pub fn deliver(subscribers: u64) -> Delivery {
    let limits = HistoryLimits {
        count: 1_000,
        bytes: 1 << 20,
        age_ms: 3_600_000,
    };
    let mut world = World {
        topic: TopicName::parse("scores/nba").expect("it is a topic's name"),
        history: History::restore(limits, [], []),
        fanout: Fanout::restore(RELAY_CAPACITY, 0, [], []),
        relays: BTreeMap::new(),
        writes: vec![],
        delivery: Delivery {
            subscribers,
            ..Delivery::default()
        },
    };
    let mut left = subscribers;
    for (region, regions) in Region::ALL
        .into_iter()
        .zip((1..=Region::ALL.len() as u64).rev())
    {
        let here = left / regions;
        left -= here;
        world.subscribe(region, here);
    }
    world.delivery.relays = world.relays.len() as u64;
    world.publish();
    world.time()
}

impl World {
    /// Subscribers come to a region, a tenth more each time, and are spread over as many relays as the
    /// root says then. As connections end and begin anew, all relays get the same share.
    fn subscribe(&mut self, region: Region, subscribers: u64) {
        let mut here = 0;
        while here < subscribers {
            here = (here + here / 10 + 1).min(subscribers);
            let Mode::Relays { shards } = self.fanout.mode(region, u32::MAX, 1) else {
                unreachable!("the root is over its threshold")
            };
            for shard in 0..shards {
                self.follow(region, shard, split(here, shard, shards));
            }
        }
    }

    fn follow(&mut self, region: Region, shard: u32, subscribers: u32) {
        let name = RelayName::of_topic(region, shard, self.topic.clone());
        let relay = self.relays.entry(name.clone()).or_insert_with(|| Relay {
            follower: Follower::new(RELAY_CAPACITY, None),
            subscribers: 0,
        });
        relay.subscribers = subscribers;
        assert!(subscribers <= RELAY_CAPACITY, "{name} is full");
        let random = u64::from(shard);
        let follow = relay.follower.follow(name, subscribers, random, 0);
        let missed = Replay::at_head(self.history.head());
        relay.follower.caught_up(&follow, &missed, 0);
        self.fanout.follow(&follow, &missed, 0);
    }

    fn publish(&mut self) {
        let mut event = Event::new("1", "/origin", TYPE_UPDATE);
        event.data = Some(Data::Text("87:84".to_owned()));
        let appended = self
            .history
            .append(Identity::of("/origin", "1"), 0, |_| EventJson::of(&event));
        assert!(matches!(appended, Appended::New { .. }));
        self.delivery.all_requests += 1;
        let effects = self.fanout.advanced(1, 0);
        let mut root = Sender::from(0);
        for effect in effects {
            let Effect::Push(order) = effect else {
                unreachable!("every relay follows already")
            };
            self.delivery.root_requests += 1;
            let hop = if order.to.region() == ROOT_IN {
                HOP_WITHIN_REGION_US
            } else {
                HOP_BETWEEN_REGIONS_US
            };
            let answers = self.lead(&order, root.send(hop));
            let next = self.fanout.answered(order.id, &answers, 0);
            assert!(next.is_empty(), "nothing is left to do");
        }
        assert_eq!(self.fanout.next_due(), None);
    }

    /// A push of the root arrives at a region's first relay, which hands it on and then writes to its
    /// own subscribers.
    fn lead(&mut self, order: &PushOrder, arrived: u64) -> Vec<PushAnswer> {
        let push = order.push(&self.topic, self.history.replay(order.after, PUSH_BYTES));
        let forwards = push.forward.len() as u64;
        let (handed_on, own) = push.hand_on();
        let mut lead = Sender::from(arrived + REQUEST_US);
        let mut answers = Vec::new();
        let mut answered = 0;
        for (name, push) in &handed_on {
            let there = lead.send(HOP_WITHIN_REGION_US);
            let (answer, done) = self.write(name, push, there + REQUEST_US);
            self.delivery.active_us += done - there;
            answered = answered.max(done + HOP_WITHIN_REGION_US);
            answers.push(answer);
        }
        let (answer, done) = self.write(&order.to, &own, lead.ready_us);
        self.delivery.active_us += done.max(answered) - arrived;
        answers.push(answer);
        self.delivery.lead_requests = self.delivery.lead_requests.max(forwards);
        self.delivery.all_requests += forwards + 1;
        answers
    }

    /// A relay takes a push and writes to its subscribers; says when it is done.
    fn write(&mut self, name: &RelayName, push: &Push, at_us: u64) -> (PushAnswer, u64) {
        let relay = self.relays.get_mut(name).expect("it follows");
        let (applied, answer) = relay.follower.pushed(name.clone(), push, relay.subscribers);
        assert_eq!(applied.updates.len(), 1, "everyone gets it");
        let subscribers = u64::from(relay.subscribers);
        self.delivery.most_messages = self.delivery.most_messages.max(subscribers);
        self.writes.push((at_us, subscribers));
        (answer, at_us + subscribers * SOCKET_US)
    }

    fn time(mut self) -> Delivery {
        let written: u64 = self.writes.iter().map(|(_, subscribers)| subscribers).sum();
        assert_eq!(written, self.delivery.subscribers, "nobody is left out");
        let starts = self.writes.iter().map(|(at, _)| at + SOCKET_US);
        let ends = self.writes.iter().map(|(at, n)| at + n * SOCKET_US);
        self.delivery.first_us = starts.min().unwrap_or(0);
        self.delivery.last_us = ends.max().unwrap_or(0);
        let (mut before, mut by) = (0, self.delivery.last_us);
        while before + 1 < by {
            let middle = u64::midpoint(before, by);
            if self.written_by(middle) * 2 >= written {
                by = middle;
            } else {
                before = middle;
            }
        }
        self.delivery.half_us = by;
        self.delivery
    }

    /// To how many subscribers the update was written by then.
    fn written_by(&self, us: u64) -> u64 {
        self.writes
            .iter()
            .map(|(at, subscribers)| (us.saturating_sub(*at) / SOCKET_US).min(*subscribers))
            .sum()
    }
}

/// The share of one of `parts`, the remainder going to the first ones.
fn split(all: u64, part: u32, parts: u32) -> u32 {
    let (each, rest) = (all / u64::from(parts), all % u64::from(parts));
    u32::try_from(each + u64::from(u64::from(part) < rest)).unwrap_or(u32::MAX)
}
