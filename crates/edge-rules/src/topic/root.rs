//! The root of a topic: numbers its updates, keeps them, says when its own subscribers are told and
//! relays are pushed to, and when the latest value goes to KV. The object `TopicDo` does the I/O.
//!
//! What is stored in a turn is durable before anyone hears what is sent in it. So the effects of one
//! call are carried out in one turn.

use headstart_protocol::{
    event::Event,
    report::{EventResult, Status},
    topic::TopicName,
    update,
};

use crate::topic::{
    catch_up::{Missed, Wanted},
    coalesce::{Coalesce, Flush},
    fanout::{self, Fanout, Mode, PushOrder, Registered},
    follower::Applied,
    history::{Appended, History, HistoryLimits, Identity, Kept, Replay, Taken, Trim},
    kv_pace::KvPace,
    messages::{Follow, FollowAnswer, Push, PushAnswer},
    region::Region,
    relay_name::RelayName,
    update::{EventJson, Update},
};

/// After how long a write to KV that nothing was heard of is looked after, in milliseconds: the object
/// may have ended in the middle of it.
const LOOK_AFTER_MS: u64 = 5_000;

/// What bounds a root.
#[derive(Debug, Clone, Copy)]
pub struct RootLimits {
    /// How much of the past is kept.
    pub history: HistoryLimits,
    /// How many subscribers a relay has at most.
    pub relay_capacity: u32,
    /// How much one push, or one answer to a relay, holds, in bytes of its updates.
    pub push_bytes: usize,
}

/// A topic as it was stored; a new one is empty.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// The updates that are kept, oldest first.
    pub history: Vec<Kept>,
    /// The events that are recognised, oldest first.
    pub taken: Vec<Taken>,
    /// Up to where the root's own subscribers were told everything.
    pub told: u64,
    /// Which sequence number KV has.
    pub in_kv: u64,
    /// The relays that follow.
    pub relays: Vec<Registered>,
    /// Over how many relays regions are spread.
    pub shards: Vec<(Region, u32)>,
}

/// What the shell has to do, in this order and in the same turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootEffect {
    /// Store an update, and the event that it came with.
    Append {
        /// The update.
        update: Update,
        /// The event.
        identity: Identity,
        /// Now, in milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// Delete what the history has forgotten.
    Trim(Trim),
    /// Store up to where the root's own subscribers are told everything: with the next effect.
    SaveTold(u64),
    /// Tell the root's own subscribers, and whoever waits for an update.
    Tell(Applied),
    /// In so many milliseconds, say [`RootState::flush_due`].
    FlushIn(u64),
    /// Write the latest value to KV, then say [`RootState::kv_written`] or [`RootState::kv_failed`].
    WriteKv(Update),
    /// Store which sequence number KV has.
    SaveInKv(u64),
    /// Store what has changed of the relays, or push.
    Fanout(fanout::Effect),
}

impl RootEffect {
    /// Returns whether something is stored. The writes of one call go together, before all else.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self {
            Self::Append { .. } | Self::Trim(_) | Self::SaveTold(_) | Self::SaveInKv(_) => true,
            Self::Tell(_) | Self::FlushIn(_) | Self::WriteKv(_) => false,
            Self::Fanout(effect) => !matches!(effect, fanout::Effect::Push(_)),
        }
    }
}

/// The root.
#[derive(Debug)]
pub struct RootState {
    topic: TopicName,
    history: History,
    kv_pace: KvPace,
    coalesce: Coalesce,
    /// Numbered and stored, and not yet told to anyone.
    untold: Applied,
    fanout: Fanout,
    push_bytes: usize,
}

impl RootState {
    /// Returns the root as it was stored. What it had stored and not told is told now, and where its relays
    /// are is asked.
    pub fn restore(
        topic: TopicName,
        limits: RootLimits,
        stored: Stored,
        now: u64,
    ) -> (Self, Vec<RootEffect>) {
        let history = History::restore(limits.history, stored.history, stored.taken);
        let head = history.head();
        let untold = if stored.told == head {
            Applied::default()
        } else {
            let replay = history.replay(stored.told, usize::MAX);
            Applied {
                gap: replay.lost(),
                updates: replay.updates,
            }
        };
        let mut root = Self {
            topic,
            history,
            kv_pace: KvPace::restore(head, stored.in_kv),
            coalesce: Coalesce::default(),
            untold,
            fanout: Fanout::restore(limits.relay_capacity, head, stored.relays, stored.shards),
            push_bytes: limits.push_bytes,
        };
        let mut effects = root.flush(now);
        effects.extend(of_fanout(root.fanout.tick(now)));
        (root, effects)
    }

    /// Returns the topic.
    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Returns what the topic remembers.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Returns the relays that follow.
    pub fn relays(&self) -> impl Iterator<Item = &RelayName> {
        self.fanout.relays().map(|(name, _)| name)
    }

    /// Returns where a subscriber in `region` belongs: see [`Fanout::mode`].
    #[must_use]
    pub fn mode(&self, region: Region, own_subscribers: u32, threshold: u32) -> Mode {
        self.fanout.mode(region, own_subscribers, threshold)
    }

    /// Events are published, in this order; the root has so many subscribers of its own. Gives what
    /// became of each.
    pub fn publish(
        &mut self,
        events: Vec<Event>,
        own_subscribers: u32,
        now: u64,
    ) -> (Vec<EventResult>, Vec<RootEffect>) {
        let mut results = Vec::with_capacity(events.len());
        let mut effects = Vec::new();
        for event in events {
            let id = event.id.clone();
            let status = if self.append(event, now, &mut effects) {
                Status::Accepted
            } else {
                Status::Duplicate
            };
            results.push(EventResult {
                id,
                status,
                reason: None,
            });
        }
        self.kv_pace.advanced(self.history.head());
        if !self.untold.is_empty() {
            match self.coalesce.arrived(own_subscribers, now) {
                Flush::Now => effects.extend(self.flush(now)),
                Flush::In(ms) => effects.push(RootEffect::FlushIn(ms)),
                Flush::Scheduled => {}
            }
        }
        effects.extend(self.write_kv(now));
        (results, effects)
    }

    /// Flushes: the time of a [`RootEffect::FlushIn`] has come.
    pub fn flush_due(&mut self, now: u64) -> Vec<RootEffect> {
        self.coalesce.flushed(now);
        self.flush(now)
    }

    /// Brings a subscriber to the head, with `latest` as in [`Wanted::begins_after`]. Returns what it missed.
    /// Everyone else is told first what is untold, so that all are at the head.
    pub fn catch_up(
        &mut self,
        wanted: &[Wanted],
        latest: bool,
        now: u64,
    ) -> (Vec<Missed>, Vec<RootEffect>) {
        let effects = self.flush(now);
        let head = self.history.head();
        let missed = wanted.iter().map(|wanted| {
            let after = wanted.begins_after(latest, head);
            let missed = if after == head {
                Replay::at_head(head)
            } else {
                self.history.replay(after, usize::MAX)
            };
            Missed::of(wanted.topic.clone(), missed)
        });
        (missed.collect(), effects)
    }

    /// Notes that a relay follows, or still does. Returns the answer.
    pub fn follow(&mut self, follow: &Follow, now: u64) -> (FollowAnswer, Vec<RootEffect>) {
        let missed = match follow.have {
            Some(have) => self.missed(have),
            None => Replay::at_head(self.history.head()),
        };
        let effects = self.fanout.follow(follow, &missed, now);
        let shards = self.fanout.shards(follow.relay.region());
        (FollowAnswer { shards, missed }, of_fanout(effects))
    }

    /// Returns what a relay does not remember: what came after a number, as far as one answer holds it.
    #[must_use]
    pub fn missed(&self, after: u64) -> Replay {
        self.history.replay(after, self.push_bytes)
    }

    /// Returns the push of an order.
    #[must_use]
    pub fn push(&self, order: &PushOrder) -> Push {
        order.push(&self.topic, self.missed(order.after))
    }

    /// Notes that a push was answered.
    pub fn push_answered(&mut self, id: u64, answers: &[PushAnswer], now: u64) -> Vec<RootEffect> {
        of_fanout(self.fanout.answered(id, answers, now))
    }

    /// Notes that a push failed, or was not answered in time.
    pub fn push_failed(&mut self, id: u64, now: u64) -> Vec<RootEffect> {
        of_fanout(self.fanout.failed(id, now))
    }

    /// KV has the update of that number.
    pub fn kv_written(&mut self, sequence: u64, now: u64) -> Vec<RootEffect> {
        self.kv_pace.done(sequence, now);
        vec![RootEffect::SaveInKv(sequence)]
    }

    /// A write to KV did not work.
    pub fn kv_failed(&mut self, now: u64) {
        self.kv_pace.failed(now);
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) -> Vec<RootEffect> {
        let mut effects = vec![RootEffect::Trim(self.history.trim(now))];
        effects.extend(of_fanout(self.fanout.tick(now)));
        effects.extend(self.write_kv(now));
        effects
    }

    /// Returns when [`RootState::tick`] has something to do, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn next_due(&self, now: u64) -> Option<u64> {
        let value = match self.kv_pace.next_due() {
            Some(at) => Some(at),
            // Being written right now.
            None if self.kv_pace.is_behind() => Some(now + LOOK_AFTER_MS),
            None => None,
        };
        let due = [value, self.fanout.next_due(), self.history.next_due()];
        due.into_iter().flatten().min()
    }

    /// Numbers an event. Gives whether it is new.
    fn append(&mut self, mut event: Event, now: u64, effects: &mut Vec<RootEffect>) -> bool {
        let identity = Identity::of(&event.source, &event.id);
        let appended = self.history.append(identity, now, |sequence| {
            update::number(&mut event, sequence, now);
            EventJson::of(&event)
        });
        let Appended::New { update, trim } = appended else {
            return false;
        };
        self.untold.updates.push(update.clone());
        effects.push(RootEffect::Append {
            update,
            identity,
            at_ms: now,
        });
        effects.push(RootEffect::Trim(trim));
        true
    }

    /// Tells everyone what is untold.
    fn flush(&mut self, now: u64) -> Vec<RootEffect> {
        if self.untold.is_empty() {
            return vec![];
        }
        let head = self.history.head();
        let untold = std::mem::take(&mut self.untold);
        let mut effects = vec![RootEffect::SaveTold(head), RootEffect::Tell(untold)];
        effects.extend(of_fanout(self.fanout.advanced(head, now)));
        effects
    }

    /// Puts the latest value to KV, if it is time.
    fn write_kv(&mut self, now: u64) -> Option<RootEffect> {
        self.kv_pace.begin(now)?;
        self.history.latest().cloned().map(RootEffect::WriteKv)
    }
}

fn of_fanout(effects: Vec<fanout::Effect>) -> Vec<RootEffect> {
    effects.into_iter().map(RootEffect::Fanout).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RootLimits = RootLimits {
        history: HistoryLimits {
            count: 100,
            bytes: usize::MAX,
            age_ms: u64::MAX,
        },
        relay_capacity: 100,
        push_bytes: 100_000,
    };

    fn topic() -> TopicName {
        TopicName::parse("a").unwrap()
    }

    fn root() -> RootState {
        RootState::restore(topic(), LIMITS, Stored::default(), 0).0
    }

    fn event(id: &str) -> Event {
        Event::new(id, "/s", "t")
    }

    /// Returns what is told, by its numbers.
    fn told(effects: &[RootEffect]) -> Vec<u64> {
        let told = effects.iter().filter_map(|effect| match effect {
            RootEffect::Tell(untold) => Some(&untold.updates),
            _ => None,
        });
        told.flatten().map(|update| update.sequence).collect()
    }

    /// What is stored, as the shell stores it.
    fn store(stored: &mut Stored, effects: Vec<RootEffect>) {
        for effect in effects {
            match effect {
                RootEffect::Append {
                    update,
                    identity,
                    at_ms,
                } => {
                    let sequence = update.sequence;
                    stored.taken.push(Taken {
                        identity,
                        sequence,
                        at_ms,
                    });
                    stored.history.push(Kept { update, at_ms });
                }
                RootEffect::SaveTold(head) => stored.told = head,
                _ => {}
            }
        }
    }

    #[test]
    fn an_update_is_stored_before_it_is_told_and_goes_to_kv() {
        let mut root = root();
        let (results, effects) = root.publish(vec![event("1")], 1, 0);
        assert_eq!(results[0].status, Status::Accepted);
        let update = root.history().latest().unwrap().clone();
        let identity = Identity::of("/s", "1");
        let at_ms = 0;
        assert_eq!(
            effects,
            [
                RootEffect::Append {
                    update: update.clone(),
                    identity,
                    at_ms
                },
                RootEffect::Trim(Trim::default()),
                RootEffect::SaveTold(1),
                RootEffect::Tell(Applied {
                    gap: None,
                    updates: vec![update.clone()]
                }),
                RootEffect::WriteKv(update),
            ]
        );
        assert_eq!(root.kv_written(1, 5), [RootEffect::SaveInKv(1)]);
    }

    #[test]
    fn an_event_that_comes_again_is_told_to_nobody() {
        let mut root = root();
        let (results, effects) = root.publish(vec![event("1"), event("1")], 1, 0);
        let statuses: Vec<Status> = results.iter().map(|result| result.status).collect();
        assert_eq!(statuses, [Status::Accepted, Status::Duplicate]);
        assert_eq!(told(&effects), [1]);
        assert_eq!(root.publish(vec![event("1")], 1, 1).1, []);
    }

    #[test]
    fn what_follows_closely_is_told_together_and_before_anyone_who_comes_meanwhile_begins() {
        let mut root = root();
        root.publish(vec![event("1")], 1, 0);
        let (_, effects) = root.publish(vec![event("2")], 1, 0);
        assert!(effects.contains(&RootEffect::FlushIn(1)));
        assert!(told(&effects).is_empty());
        let (_, effects) = root.publish(vec![event("3")], 1, 0);
        assert!(told(&effects).is_empty());
        let wanted = Wanted {
            topic: topic(),
            cursor: Some(1),
        };
        let (missed, effects) = root.catch_up(&[wanted], false, 0);
        assert_eq!(told(&effects), [2, 3]);
        assert_eq!((missed[0].after, missed[0].head), (1, 3));
        assert!(told(&root.flush_due(1)).is_empty(), "all of it is told");
    }

    #[test]
    fn what_was_stored_and_not_told_is_told_by_the_next_life_of_the_object() {
        let (mut root, mut stored) = (root(), Stored::default());
        for id in ["1", "2", "3"] {
            store(&mut stored, root.publish(vec![event(id)], 1, 0).1);
        }
        assert_eq!(stored.told, 1);
        let (_, effects) = RootState::restore(topic(), LIMITS, stored.clone(), 9);
        assert_eq!(told(&effects), [2, 3]);
        store(&mut stored, effects);
        let (_, effects) = RootState::restore(topic(), LIMITS, stored, 10);
        assert!(told(&effects).is_empty());
    }

    #[test]
    fn what_was_not_told_and_is_kept_no_more_is_told_as_a_gap() {
        let (mut root, mut stored) = (root(), Stored::default());
        for id in ["1", "2", "3"] {
            store(&mut stored, root.publish(vec![event(id)], 1, 0).1);
        }
        stored.history.drain(..2);
        let (_, effects) = RootState::restore(topic(), LIMITS, stored, 9);
        let gaps = effects.iter().filter_map(|effect| match effect {
            RootEffect::Tell(untold) => untold.gap,
            _ => None,
        });
        assert_eq!(gaps.collect::<Vec<_>>(), [(1, 3)]);
        assert_eq!(told(&effects), [3]);
    }

    #[test]
    fn a_write_to_kv_that_nothing_is_heard_of_is_looked_after() {
        let mut root = root();
        root.publish(vec![event("1")], 1, 0);
        assert_eq!(root.next_due(7), Some(7 + LOOK_AFTER_MS));
        root.kv_failed(10);
        assert!(root.next_due(10) > Some(10));
    }
}
