//! The root's view of its relays: who follows, how far each has got, and whom to push to now. Rules
//! only; the shell sends, and stores who follows.
//!
//! An update costs the root one push for each region: the region's first relay, its *lead*, hands it
//! on to the others. There is at most one push on its way to any relay, so what comes meanwhile goes
//! together with the next one. A relay that lags behind, or failed, is pushed to by itself.

use std::collections::BTreeMap;

use headstart_protocol::topic::TopicName;

use crate::topic::{
    follower::nearly_full,
    history::Replay,
    messages::{Follow, Forward, Push, PushAnswer, Standing},
    region::Region,
    relay_name::{MAX_SHARDS, RelayName},
};

/// How long pushes to a relay may fail before it is dropped, in milliseconds: twice the time between
/// its own follows, by which it comes back.
pub const RELAY_GIVE_UP_MS: u64 = 60_000;

/// How much one push holds, in bytes of its updates; more goes with the next one.
pub const PUSH_BYTES: usize = 1024 * 1024;

/// Time from a failed push to the next one, in milliseconds; it doubles with every failure.
const FIRST_RETRY_MS: u64 = 250;

/// Longest time between two tries, in milliseconds.
const LONGEST_RETRY_MS: u64 = 10_000;

/// A relay that follows, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The relay.
    pub relay: RelayName,
    /// The epoch under which it follows.
    pub epoch: u64,
    /// Its subscribers, when it began to follow.
    pub subscribers: u32,
}

/// A push to make. The shell says [`Fanout::answered`] or [`Fanout::failed`] then, always: until it
/// does, nothing else goes to the relays in it. A relay has to give up handing on sooner than the root
/// gives up on the relay, or one bad relay makes its whole region look bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushOrder {
    /// Names the push.
    pub id: u64,
    /// Who gets it.
    pub to: RelayName,
    /// The epoch under which that relay follows.
    pub epoch: u64,
    /// It has everything up to this sequence, as far as is known.
    pub after: u64,
    /// It lacks everything up to this sequence; the same as `after` where the root only asks.
    pub up_to: u64,
    /// Whom it hands the push on to.
    pub forward: Vec<Forward>,
}

impl PushOrder {
    /// Returns the push itself, given what came after [`PushOrder::after`].
    #[must_use]
    pub fn push(&self, topic: &TopicName, missed: Replay) -> Push {
        Push {
            topic: topic.clone(),
            epoch: self.epoch,
            after: missed
                .gap
                .map_or(self.after, |first| first.saturating_sub(1)),
            gap: missed.gap.is_some(),
            updates: missed.updates,
            forward: self.forward.clone(),
        }
    }
}

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Store that a relay follows.
    Save(Registered),
    /// Delete a relay: it does not follow any more.
    Forget(RelayName),
    /// Store over how many relays a region is spread.
    SaveShards(Region, u32),
    /// Push, after having stored.
    Push(PushOrder),
}

/// Where a subscriber belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To the root itself.
    Local,
    /// To one of its region's relays, of which there are so many.
    Relays {
        /// The relays' number, a power of 2 up to [`MAX_SHARDS`].
        shards: u32,
    },
}

#[derive(Debug)]
struct Relay {
    epoch: u64,
    subscribers: u32,
    /// It has everything up to here.
    position: u64,
    /// It said so itself.
    confirmed: bool,
    /// The push on its way to it.
    flight: Option<u64>,
    failures: u32,
    failing_since: Option<u64>,
    retry_at: u64,
}

impl Relay {
    fn lacks(&self, head: u64) -> bool {
        !self.confirmed || self.position < head
    }

    fn is_well(&mut self, position: u64) {
        self.position = position;
        self.confirmed = true;
        self.failures = 0;
        self.failing_since = None;
        self.retry_at = 0;
    }
}

#[derive(Debug)]
struct Flight {
    after: u64,
    up_to: u64,
    /// With the epochs under which they followed; the first one hands on to the others.
    relays: Vec<(RelayName, u64)>,
}

/// The view. Every method that changes something gives the effects, to be carried out at once.
#[derive(Debug)]
pub struct Fanout {
    capacity: u32,
    head: u64,
    /// Sorted by region.
    relays: BTreeMap<RelayName, Relay>,
    /// Regions with more than one shard.
    shards: BTreeMap<Region, u32>,
    flights: BTreeMap<u64, Flight>,
    next_flight: u64,
}

impl Fanout {
    /// Returns the view as it was stored, of a topic whose newest update is `head`; a new topic has no
    /// relays. `capacity` is how many subscribers a relay has at most. Where each relay is, is not known any
    /// more: the next [`Fanout::advanced`] or [`Fanout::tick`] pushes to all of them, to ask.
    pub fn restore(
        capacity: u32,
        head: u64,
        relays: impl IntoIterator<Item = Registered>,
        shards: impl IntoIterator<Item = (Region, u32)>,
    ) -> Self {
        let relays = relays.into_iter().map(|stored| {
            let relay = Relay {
                epoch: stored.epoch,
                subscribers: stored.subscribers,
                position: head,
                confirmed: false,
                flight: None,
                failures: 0,
                failing_since: None,
                retry_at: 0,
            };
            (stored.relay, relay)
        });
        Self {
            capacity,
            head,
            relays: relays.collect(),
            shards: shards.into_iter().collect(),
            flights: BTreeMap::new(),
            next_flight: 0,
        }
    }

    /// Notes that a relay follows, or still does. `missed` is what it is answered.
    pub fn follow(&mut self, follow: &Follow, missed: &Replay, now: u64) -> Vec<Effect> {
        let is_new = self
            .relays
            .get(&follow.relay)
            .is_none_or(|relay| relay.epoch != follow.epoch);
        let relay = self
            .relays
            .entry(follow.relay.clone())
            .or_insert_with(|| Relay {
                epoch: follow.epoch,
                subscribers: 0,
                position: 0,
                confirmed: true,
                flight: None,
                failures: 0,
                failing_since: None,
                retry_at: 0,
            });
        relay.epoch = follow.epoch;
        relay.subscribers = follow.subscribers;
        relay.is_well(missed.reaches());
        let mut effects = Vec::new();
        if is_new {
            effects.push(Effect::Save(Registered {
                relay: follow.relay.clone(),
                epoch: follow.epoch,
                subscribers: follow.subscribers,
            }));
        }
        effects.extend(self.grow(follow.relay.region()));
        effects.extend(self.plan(now));
        effects
    }

    /// Notes that the topic has updates up to `head`.
    pub fn advanced(&mut self, head: u64, now: u64) -> Vec<Effect> {
        self.head = head;
        self.plan(now)
    }

    /// Notes that a push was answered.
    pub fn answered(&mut self, id: u64, answers: &[PushAnswer], now: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(flight) = self.flights.remove(&id) else {
            return effects;
        };
        for (name, epoch) in flight.relays {
            let Some(relay) = self.landed(&name, epoch, id) else {
                continue;
            };
            let answer = answers
                .iter()
                .find(|answer| answer.relay == name && answer.epoch == epoch);
            if let Some(answer) = answer {
                relay.subscribers = answer.subscribers;
            }
            match answer.map(|answer| answer.standing) {
                Some(Standing::Unfollow) => effects.extend(self.forget(&name)),
                // One that lags says where it is, which helps; one that stays there does not listen.
                Some(Standing::Have(have)) if have != flight.after || have == flight.up_to => {
                    relay.is_well(have);
                    effects.extend(self.grow(name.region()));
                }
                Some(Standing::Have(_)) | None => effects.extend(self.fail(&name, now)),
            }
        }
        effects.extend(self.plan(now));
        effects
    }

    /// Notes that a push failed, or was not answered in time. Whom it was to be handed on to may have got
    /// it or not, and is pushed to again.
    pub fn failed(&mut self, id: u64, now: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        let Some(flight) = self.flights.remove(&id) else {
            return effects;
        };
        for (index, (name, epoch)) in flight.relays.iter().enumerate() {
            if self.landed(name, *epoch, id).is_some() && index == 0 {
                effects.extend(self.fail(name, now));
            }
        }
        effects.extend(self.plan(now));
        effects
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) -> Vec<Effect> {
        self.plan(now)
    }

    /// Returns when [`Fanout::tick`] has something to do, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.relays
            .values()
            .filter(|relay| relay.flight.is_none() && relay.lacks(self.head))
            .map(|relay| relay.retry_at)
            .min()
    }

    /// Returns where a subscriber in `region` belongs. Relays take over when the root has `threshold`
    /// subscribers of its own, and stay until the last of them has none. Relays for several topics do not
    /// count: they are there however few subscribers a topic has.
    #[must_use]
    pub fn mode(&self, region: Region, own_subscribers: u32, threshold: u32) -> Mode {
        let has_relays = self.relays.keys().any(|name| name.topic().is_some());
        if has_relays || own_subscribers >= threshold {
            Mode::Relays {
                shards: self.shards(region),
            }
        } else {
            Mode::Local
        }
    }

    /// Over how many relays the subscribers of `region` are spread.
    #[must_use]
    pub fn shards(&self, region: Region) -> u32 {
        self.shards.get(&region).copied().unwrap_or(1)
    }

    /// Returns every relay that follows, with its subscribers as it told last.
    pub fn relays(&self) -> impl Iterator<Item = (&RelayName, u32)> {
        self.relays
            .iter()
            .map(|(name, relay)| (name, relay.subscribers))
    }

    /// Ends a push for a relay. `None` where it says nothing about it, because the relay has gone
    /// or has begun anew since.
    fn landed(&mut self, name: &RelayName, epoch: u64, id: u64) -> Option<&mut Relay> {
        let relay = self.relays.get_mut(name)?;
        if relay.flight == Some(id) {
            relay.flight = None;
        }
        (relay.epoch == epoch).then_some(relay)
    }

    /// Notes that a relay was not reached.
    fn fail(&mut self, name: &RelayName, now: u64) -> Vec<Effect> {
        let Some(relay) = self.relays.get_mut(name) else {
            return vec![];
        };
        let since = *relay.failing_since.get_or_insert(now);
        if now.saturating_sub(since) >= RELAY_GIVE_UP_MS {
            return self.forget(name);
        }
        let doubled = FIRST_RETRY_MS << relay.failures.min(16);
        relay.failures += 1;
        relay.retry_at = now + doubled.min(LONGEST_RETRY_MS);
        relay.confirmed = false;
        vec![]
    }

    fn forget(&mut self, name: &RelayName) -> Vec<Effect> {
        self.relays.remove(name);
        let mut effects = vec![Effect::Forget(name.clone())];
        let region = name.region();
        if self.of_topic_in(region).next().is_none() && self.shards.remove(&region).is_some() {
            effects.push(Effect::SaveShards(region, 1));
        }
        effects
    }

    /// Doubles a region's relays where one of them is nearly full. Subscribers stay where they are for
    /// the life of their connection, so that one is still nearly full right after; therefore all of
    /// them together must be half full, too.
    fn grow(&mut self, region: Region) -> Option<Effect> {
        let shards = self.shards(region);
        let line = nearly_full(self.capacity);
        let one_is_nearly_full = self
            .of_topic_in(region)
            .any(|relay| relay.subscribers >= line);
        let all: u64 = self
            .of_topic_in(region)
            .map(|relay| u64::from(relay.subscribers))
            .sum();
        let half = u64::from(shards) * u64::from(self.capacity) / 2;
        if shards >= MAX_SHARDS || !one_is_nearly_full || all < half {
            return None;
        }
        self.shards.insert(region, shards * 2);
        Some(Effect::SaveShards(region, shards * 2))
    }

    fn of_topic_in(&self, region: Region) -> impl Iterator<Item = &Relay> {
        self.relays
            .iter()
            .filter(move |(name, _)| name.region() == region && name.topic().is_some())
            .map(|(_, relay)| relay)
    }

    /// Returns the pushes to make now.
    fn plan(&mut self, now: u64) -> Vec<Effect> {
        let ready: Vec<(RelayName, u64, bool)> = self
            .relays
            .iter()
            .filter(|(_, relay)| {
                relay.flight.is_none() && relay.lacks(self.head) && relay.retry_at <= now
            })
            .map(|(name, relay)| (name.clone(), relay.position, relay.failures > 0))
            .collect();
        let mut effects = Vec::new();
        for region in ready.chunk_by(|a, b| a.0.region() == b.0.region()) {
            let mut together: Vec<RelayName> = Vec::new();
            let mut together_at = 0;
            for (name, position, fails) in region {
                if !fails && (together.is_empty() || *position == together_at) {
                    together.push(name.clone());
                    together_at = *position;
                } else {
                    effects.extend(self.send(vec![name.clone()]));
                }
            }
            effects.extend(self.send(together));
        }
        effects
    }

    /// Sends relays on one position what they lack; the first one hands it on.
    fn send(&mut self, names: Vec<RelayName>) -> Option<Effect> {
        let id = self.next_flight;
        let mut after = 0;
        let mut forward = Vec::with_capacity(names.len());
        for relay in names {
            let Some(state) = self.relays.get_mut(&relay) else {
                continue;
            };
            state.flight = Some(id);
            after = state.position;
            let epoch = state.epoch;
            forward.push(Forward { relay, epoch });
        }
        if forward.is_empty() {
            return None;
        }
        self.next_flight += 1;
        let up_to = self.head;
        let relays = forward
            .iter()
            .map(|to| (to.relay.clone(), to.epoch))
            .collect();
        self.flights.insert(
            id,
            Flight {
                after,
                up_to,
                relays,
            },
        );
        let Forward { relay: to, epoch } = forward.remove(0);
        Some(Effect::Push(PushOrder {
            id,
            to,
            epoch,
            after,
            up_to,
            forward,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: u32 = 100;

    fn relay(name: &str) -> RelayName {
        RelayName::parse(name).unwrap()
    }

    fn fanout() -> Fanout {
        Fanout::restore(CAPACITY, 5, [], [])
    }

    fn follow_with(fanout: &mut Fanout, name: &str, epoch: u64, subscribers: u32) -> Vec<Effect> {
        let follow = Follow {
            relay: relay(name),
            epoch,
            have: None,
            subscribers,
        };
        fanout.follow(&follow, &Replay::at_head(fanout.head), 0)
    }

    /// Returns a topic at 5 with these relays, all at its head.
    fn with(names: &[&str]) -> Fanout {
        let mut fanout = fanout();
        for name in names {
            let effects = follow_with(&mut fanout, name, 1, 1);
            assert!(matches!(effects[..], [Effect::Save(_)]), "{effects:?}");
        }
        fanout
    }

    fn orders(effects: Vec<Effect>) -> Vec<PushOrder> {
        effects
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Push(order) => Some(order),
                _ => None,
            })
            .collect()
    }

    /// To whom, after which, and whom it is handed on to.
    fn told(orders: &[PushOrder]) -> Vec<(String, u64, Vec<String>)> {
        orders
            .iter()
            .map(|order| {
                let forward = order.forward.iter().map(|to| to.relay.to_string());
                (order.to.to_string(), order.after, forward.collect())
            })
            .collect()
    }

    fn to(name: &str, after: u64, forward: &[&str]) -> (String, u64, Vec<String>) {
        let forward = forward.iter().map(ToString::to_string).collect();
        (name.to_owned(), after, forward)
    }

    fn standing(name: &str, epoch: u64, standing: Standing) -> PushAnswer {
        PushAnswer {
            relay: relay(name),
            epoch,
            subscribers: 1,
            standing,
        }
    }

    fn have(name: &str, sequence: u64) -> PushAnswer {
        standing(name, 1, Standing::Have(sequence))
    }

    #[test]
    fn one_relay_of_each_region_hands_on_to_the_others() {
        let mut fanout = with(&["weur:0:a", "weur:1:a", "oc:0:a", "many:weur:0"]);
        let orders = orders(fanout.advanced(6, 0));
        assert_eq!(
            told(&orders),
            [
                to("many:weur:0", 5, &["weur:0:a", "weur:1:a"]),
                to("oc:0:a", 5, &[]),
            ]
        );
        assert!(orders.iter().all(|order| order.up_to == 6));
    }

    #[test]
    fn one_push_is_on_its_way_and_what_comes_meanwhile_goes_together() {
        let mut fanout = with(&["weur:0:a"]);
        let first = orders(fanout.advanced(6, 0));
        assert!(fanout.advanced(7, 1).is_empty());
        assert!(fanout.advanced(8, 2).is_empty());
        let next = orders(fanout.answered(first[0].id, &[have("weur:0:a", 6)], 3));
        assert_eq!((next[0].after, next[0].up_to), (6, 8));
        assert!(
            fanout
                .answered(next[0].id, &[have("weur:0:a", 8)], 4)
                .is_empty()
        );
        assert_eq!(fanout.next_due(), None);
    }

    #[test]
    fn a_relay_that_lags_is_pushed_to_by_itself_from_where_it_stands() {
        let mut fanout = with(&["weur:0:a", "weur:1:a", "weur:2:a"]);
        let first = orders(fanout.advanced(6, 0));
        let answers = [
            have("weur:0:a", 6),
            have("weur:1:a", 3),
            have("weur:2:a", 6),
        ];
        let next = orders(fanout.answered(first[0].id, &answers, 1));
        assert_eq!(told(&next), [to("weur:1:a", 3, &[])]);
        fanout.answered(next[0].id, &[have("weur:1:a", 6)], 2);
        let together = orders(fanout.advanced(7, 3));
        assert_eq!(
            told(&together),
            [to("weur:0:a", 6, &["weur:1:a", "weur:2:a"])]
        );
    }

    #[test]
    fn when_a_lead_fails_the_next_one_leads_at_once() {
        let mut fanout = with(&["weur:0:a", "weur:1:a", "weur:2:a"]);
        let first = orders(fanout.advanced(6, 0));
        let next = orders(fanout.failed(first[0].id, 100));
        assert_eq!(told(&next), [to("weur:1:a", 5, &["weur:2:a"])]);
        assert_eq!(fanout.next_due(), Some(100 + FIRST_RETRY_MS));
        let retry = orders(fanout.tick(100 + FIRST_RETRY_MS));
        assert_eq!(told(&retry), [to("weur:0:a", 5, &[])]);
    }

    #[test]
    fn a_relay_that_its_lead_did_not_reach_is_tried_by_the_root() {
        let mut fanout = with(&["weur:0:a", "weur:1:a"]);
        let first = orders(fanout.advanced(6, 0));
        assert!(
            fanout
                .answered(first[0].id, &[have("weur:0:a", 6)], 0)
                .is_empty()
        );
        let retry = orders(fanout.tick(FIRST_RETRY_MS));
        assert_eq!(told(&retry), [to("weur:1:a", 5, &[])]);
    }

    #[test]
    fn a_relay_that_fails_for_long_is_dropped_and_may_come_back() {
        let mut fanout = with(&["weur:0:a"]);
        let mut flights = orders(fanout.advanced(6, 0));
        let mut now = 0;
        let mut tries = 0;
        loop {
            let effects = fanout.failed(flights[0].id, now);
            if effects == [Effect::Forget(relay("weur:0:a"))] {
                break;
            }
            assert!(effects.is_empty());
            tries += 1;
            now = fanout.next_due().unwrap();
            flights = orders(fanout.tick(now));
        }
        assert!((RELAY_GIVE_UP_MS..RELAY_GIVE_UP_MS + LONGEST_RETRY_MS).contains(&now));
        assert!((8..20).contains(&tries), "{tries}");
        assert_eq!(fanout.next_due(), None);
        assert!(matches!(
            follow_with(&mut fanout, "weur:0:a", 1, 1)[..],
            [Effect::Save(_)]
        ));
    }

    #[test]
    fn a_relay_that_does_not_move_is_not_pushed_to_without_end() {
        let mut fanout = with(&["weur:0:a"]);
        let first = orders(fanout.advanced(6, 0));
        assert!(
            fanout
                .answered(first[0].id, &[have("weur:0:a", 5)], 0)
                .is_empty()
        );
        assert_eq!(fanout.next_due(), Some(FIRST_RETRY_MS));
    }

    #[test]
    fn a_relay_is_dropped_only_under_the_epoch_that_it_unfollowed() {
        let mut fanout = with(&["weur:0:a"]);
        let first = orders(fanout.advanced(6, 0));
        follow_with(&mut fanout, "weur:0:a", 2, 1);
        let left = [standing("weur:0:a", 1, Standing::Unfollow)];
        assert!(fanout.answered(first[0].id, &left, 0).is_empty());
        let next = orders(fanout.advanced(7, 0));
        assert_eq!((next[0].epoch, next[0].after), (2, 6));
        let left = [standing("weur:0:a", 2, Standing::Unfollow)];
        assert_eq!(
            fanout.answered(next[0].id, &left, 0),
            [Effect::Forget(relay("weur:0:a"))]
        );
        assert_eq!(fanout.relays().count(), 0);
    }

    #[test]
    fn after_a_restart_every_relay_is_asked_where_it_is() {
        let stored = ["oc:0:a", "weur:0:a", "weur:1:a"].map(|name| Registered {
            relay: relay(name),
            epoch: 1,
            subscribers: 1,
        });
        let mut fanout = Fanout::restore(CAPACITY, 9, stored.clone(), []);
        assert_eq!(fanout.next_due(), Some(0));
        let asked = orders(fanout.tick(0));
        assert_eq!(
            told(&asked),
            [to("weur:0:a", 9, &["weur:1:a"]), to("oc:0:a", 9, &[])]
        );
        assert!(asked.iter().all(|order| order.up_to == 9));
        assert!(
            fanout
                .answered(asked[1].id, &[have("oc:0:a", 9)], 0)
                .is_empty()
        );
        let answers = [have("weur:0:a", 9), have("weur:1:a", 7)];
        let next = orders(fanout.answered(asked[0].id, &answers, 0));
        assert_eq!(told(&next), [to("weur:1:a", 7, &[])]);

        let mut fanout = Fanout::restore(CAPACITY, 9, stored, []);
        let pushed = orders(fanout.advanced(10, 0));
        assert!(
            pushed
                .iter()
                .all(|order| (order.after, order.up_to) == (9, 10))
        );
    }

    #[test]
    fn shards_double_when_a_relay_is_nearly_full_and_all_of_them_half() {
        let mut fanout = fanout();
        let region = Region::Weur;
        let mut shards = |name: &str, subscribers| {
            follow_with(&mut fanout, name, 1, subscribers);
            fanout.shards(region)
        };
        assert_eq!(shards("weur:0:a", 79), 1);
        assert_eq!(shards("weur:0:a", 80), 2);
        assert_eq!(shards("weur:0:a", 90), 2, "90 of 200");
        assert_eq!(shards("weur:1:a", 10), 4, "100 of 200");
        assert_eq!(shards("oc:0:a", 100), 4);
        assert_eq!(shards("many:weur:0", 100), 4);
        for shard in 0..128 {
            shards(&format!("weur:{shard}:a"), 100);
        }
        assert_eq!(shards("weur:0:a", 100), MAX_SHARDS);
    }

    #[test]
    fn shards_are_stored_and_go_with_the_last_relay() {
        let mut fanout = fanout();
        let effects = follow_with(&mut fanout, "weur:0:a", 1, 100);
        assert!(effects.contains(&Effect::SaveShards(Region::Weur, 2)));
        let order = orders(fanout.advanced(6, 0)).remove(0);
        let left = [standing("weur:0:a", 1, Standing::Unfollow)];
        let effects = fanout.answered(order.id, &left, 0);
        assert!(effects.contains(&Effect::SaveShards(Region::Weur, 1)));
        assert_eq!(fanout.shards(Region::Weur), 1);
        let restored = Fanout::restore(CAPACITY, 6, [], [(Region::Oc, 8)]);
        assert_eq!(restored.shards(Region::Oc), 8);
    }

    #[test]
    fn relays_take_over_at_the_threshold_and_stay() {
        let mut fanout = fanout();
        let relays = |shards| Mode::Relays { shards };
        assert_eq!(fanout.mode(Region::Oc, 9, 10), Mode::Local);
        assert_eq!(fanout.mode(Region::Oc, 10, 10), relays(1));
        follow_with(&mut fanout, "many:oc:0", 1, 1);
        assert_eq!(fanout.mode(Region::Oc, 9, 10), Mode::Local);
        follow_with(&mut fanout, "weur:0:a", 1, 100);
        assert_eq!(fanout.mode(Region::Oc, 0, 10), relays(1));
        assert_eq!(fanout.mode(Region::Weur, 0, 10), relays(2));
    }
}
