//! A relay: which topics it follows, what it does with a push, and how a subscriber gets to the heads of
//! its topics. The object `RelayDo` does the I/O: it sends follows, stores heads and tells subscribers.
//! How far one topic has got is in [`follower`](crate::topic::follower).
//!
//! How many subscribers a topic has at the relay is an argument: those that are live and those that
//! are catching up.

use std::collections::BTreeMap;

use headstart_protocol::topic::TopicName;

use crate::topic::{
    catch_up::{Missed, Wanted},
    follower::{Applied, Follower, Resume},
    history::Replay,
    messages::{Follow, Push, PushAnswer, Standing},
    relay_name::RelayName,
};

/// What the shell has to do, in this order and in the same turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelayEffect {
    /// Store up to where a topic's live subscribers have everything.
    SaveHead(TopicName, u64),
    /// Delete that of a topic: nobody is at its head any more.
    ForgetHead(TopicName),
    /// Tell every live subscriber of a topic what is new.
    Tell(TopicName, Applied),
}

/// A follow to send. The shell says [`RelayState::follow_answered`] or [`RelayState::follow_failed`]
/// then, always: until it does, no other one of that topic is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowOrder {
    /// The topic, at whose root it is sent.
    pub topic: TopicName,
    /// Names the follow: a later one has a higher number, whatever its topic.
    pub number: u64,
    /// The follow itself.
    pub follow: Follow,
}

/// How far a catch-up is.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The subscriber is at the heads of all its topics once it has been told this: it is live from this
    /// turn on.
    Ready(Vec<Missed>),
    /// It needs all of these; then ask again.
    Needs(Vec<Need>),
    /// The root did not answer: the subscriber is to come again.
    Failed,
    /// The subscriber has gone meanwhile.
    Gone,
}

/// What a catch-up needs.
#[derive(Debug, PartialEq, Eq)]
pub enum Need {
    /// This follow is sent and answered.
    Follow(FollowOrder),
    /// The follow of this topic that is on its way is answered.
    FollowAnswer(TopicName),
    /// The root says what came after a number, for [`RelayState::missed`].
    Missed {
        /// The topic.
        topic: TopicName,
        /// The number.
        after: u64,
    },
}

/// A subscriber that is being brought to the heads of its topics.
#[derive(Debug)]
pub struct CatchUp {
    topics: Vec<TopicCatchUp>,
    latest: bool,
}

#[derive(Debug)]
struct TopicCatchUp {
    wanted: Wanted,
    /// Up to where it has everything; `None` until it is known where it begins.
    at: Option<u64>,
    /// The relay's last follow when the subscriber came, or last heard from the root. Only the answer
    /// to a later one knows of everything that the subscriber may have got elsewhere.
    since: u64,
    /// What it missed, as far as the root had to say it.
    parts: Vec<Replay>,
}

/// A topic that the relay follows.
#[derive(Debug)]
struct FollowedTopic {
    follower: Follower,
    /// The number of its last follow.
    asked: u64,
    /// That one is on its way.
    asking: bool,
    /// The number of the last one that was answered.
    answered: u64,
}

impl FollowedTopic {
    fn new(capacity: u32, head: Option<u64>) -> Self {
        Self {
            follower: Follower::new(capacity, head),
            asked: 0,
            asking: false,
            answered: 0,
        }
    }
}

/// The relay.
#[derive(Debug)]
pub struct RelayState {
    name: RelayName,
    capacity: u32,
    topics: BTreeMap<TopicName, FollowedTopic>,
    /// The number of its last follow.
    follows: u64,
}

impl RelayState {
    /// Returns the relay as it is on waking: with the heads that were stored, of which those stay whose
    /// topics have live `subscribers` left from before. `capacity` is how many subscribers it has at most.
    pub fn restore(
        name: RelayName,
        capacity: u32,
        heads: impl IntoIterator<Item = (TopicName, u64)>,
        subscribers: impl Fn(&TopicName) -> u32,
    ) -> (Self, Vec<RelayEffect>) {
        let (left, empty): (Vec<_>, Vec<_>) = heads
            .into_iter()
            .partition(|(topic, _)| subscribers(topic) > 0);
        let topics = left
            .into_iter()
            .map(|(topic, head)| (topic, FollowedTopic::new(capacity, Some(head))));
        let relay = Self {
            name,
            capacity,
            topics: topics.collect(),
            follows: 0,
        };
        let empty = empty.into_iter();
        let effects = empty.map(|(topic, _)| RelayEffect::ForgetHead(topic));
        (relay, effects.collect())
    }

    /// Returns the relay's name.
    #[must_use]
    pub fn name(&self) -> &RelayName {
        &self.name
    }

    /// Up to where the live subscribers of a topic have everything; `None` while there can be none.
    #[must_use]
    pub fn head(&self, topic: &TopicName) -> Option<u64> {
        self.topics.get(topic)?.follower.head()
    }

    /// Applies a push, after it was handed on: see [`Push::hand_on`].
    pub fn apply(&mut self, push: &Push, subscribers: u32) -> (PushAnswer, Vec<RelayEffect>) {
        debug_assert!(push.forward.is_empty(), "a push is handed on first");
        let name = self.name.clone();
        if let Some(topic) = self.topics.get_mut(&push.topic) {
            let (applied, answer) = topic.follower.pushed(name, push, subscribers);
            return (answer, self.told(&push.topic, applied, subscribers));
        }
        let answer = PushAnswer {
            relay: name,
            epoch: push.epoch,
            subscribers: 0,
            standing: Standing::Unfollow,
        };
        (answer, vec![])
    }

    /// Returns the follows that are due, of these topics with their numbers of subscribers: it is time, or
    /// the relay has become so full that the roots must know. `random` becomes the epoch where one begins.
    pub fn tick(
        &mut self,
        topics: impl IntoIterator<Item = (TopicName, u32)>,
        random: u64,
        now: u64,
    ) -> Vec<FollowOrder> {
        let mut due = Vec::new();
        for (topic, subscribers) in topics {
            let followed = self.topics.get(&topic);
            if followed.is_none_or(|followed| {
                !followed.asking && followed.follower.follow_due(subscribers, now)
            }) {
                due.push(self.follow(&topic, subscribers, random, now));
            }
        }
        due
    }

    /// Returns when [`RelayState::tick`] has something to do, in milliseconds since the Unix epoch.
    pub fn next_due(&self, subscribers: impl Fn(&TopicName) -> u32) -> Option<u64> {
        self.topics
            .iter()
            .filter(|(topic, followed)| !followed.asking && subscribers(topic) > 0)
            .map(|(_, followed)| followed.follower.next_follow())
            .min()
    }

    /// Notes that a follow was answered.
    pub fn follow_answered(
        &mut self,
        order: &FollowOrder,
        missed: &Replay,
        subscribers: u32,
        now: u64,
    ) -> Vec<RelayEffect> {
        let Some(followed) = self.waiting_for(order) else {
            return vec![];
        };
        followed.answered = order.number;
        let applied = followed.follower.caught_up(&order.follow, missed, now);
        self.told(&order.topic, applied, subscribers)
    }

    /// A follow was not answered, or too late.
    pub fn follow_failed(&mut self, order: &FollowOrder, now: u64) {
        if let Some(followed) = self.waiting_for(order) {
            followed.follower.follow_failed(now);
        }
    }

    /// Nobody is left for a topic.
    pub fn emptied(&mut self, topic: &TopicName) -> Vec<RelayEffect> {
        let followed = self.topics.remove(topic);
        let effect = followed.map(|_| RelayEffect::ForgetHead(topic.clone()));
        effect.into_iter().collect()
    }

    /// Begins a subscriber, which counts as one of its topics' from now on. With `latest` the current
    /// value comes first of each topic that it has no cursor of.
    pub fn catch_up(&self, wanted: impl IntoIterator<Item = Wanted>, latest: bool) -> CatchUp {
        let topics = wanted.into_iter().map(|wanted| TopicCatchUp {
            wanted,
            at: None,
            since: self.follows,
            parts: vec![],
        });
        CatchUp {
            topics: topics.collect(),
            latest,
        }
    }

    /// Looks how far a subscriber is from the heads of its topics. `random` is as for
    /// [`RelayState::tick`].
    pub fn advance(
        &mut self,
        catch_up: &mut CatchUp,
        subscribers: impl Fn(&TopicName) -> u32,
        random: u64,
        now: u64,
    ) -> Progress {
        let mut topics = catch_up.topics.iter();
        if topics.any(|one| subscribers(&one.wanted.topic) == 0) {
            // To follow for nobody would never end: the answer finds the topic emptied again.
            return Progress::Gone;
        }
        let mut ready = Vec::new();
        let mut needs = Vec::new();
        let mut to_follow = Vec::new();
        for one in &mut catch_up.topics {
            let topic = &one.wanted.topic;
            let followed = self
                .topics
                .entry(topic.clone())
                .or_insert_with(|| FollowedTopic::new(self.capacity, None));
            if let (None, Some(head)) = (one.at, followed.follower.head()) {
                one.at = Some(one.wanted.begins_after(catch_up.latest, head));
            }
            let at = one.at.or(one.wanted.cursor);
            let answered = followed.answered > one.since;
            match followed.follower.resume(at, answered) {
                Resume::Ready(replay) => ready.push(replay),
                Resume::AskRoot => needs.push(Need::Missed {
                    topic: topic.clone(),
                    after: at.unwrap_or(0),
                }),
                Resume::Follow if followed.asking => {
                    needs.push(Need::FollowAnswer(topic.clone()));
                }
                Resume::Follow if !answered && followed.asked > one.since => {
                    return Progress::Failed;
                }
                Resume::Follow => {
                    // The answer that it had did not bring it there.
                    one.since = followed.asked;
                    to_follow.push(topic.clone());
                }
            }
        }
        for topic in to_follow {
            let order = self.follow(&topic, subscribers(&topic), random, now);
            needs.push(Need::Follow(order));
        }
        if !needs.is_empty() {
            return Progress::Needs(needs);
        }
        let topics = catch_up.topics.drain(..).zip(ready);
        Progress::Ready(topics.map(|(one, last)| one.missed(last)).collect())
    }

    /// The root has said what came after a number, on behalf of a subscriber.
    pub fn missed(&self, catch_up: &mut CatchUp, topic: &TopicName, missed: Replay) {
        let mut topics = catch_up.topics.iter_mut();
        let one = topics.find(|one| one.wanted.topic == *topic);
        if let Some(one) = one
            && let Some(followed) = self.topics.get(topic)
        {
            let part = followed.follower.up_to_head(missed);
            one.at = Some(part.reaches());
            one.since = self.follows;
            one.parts.push(part);
        }
    }

    /// Returns the followed topic of a follow that is on its way, which it is no longer. `None` where the
    /// topic has been emptied since.
    fn waiting_for(&mut self, order: &FollowOrder) -> Option<&mut FollowedTopic> {
        let followed = self.topics.get_mut(&order.topic)?;
        let waits = followed.asking && followed.asked == order.number;
        followed.asking &= !waits;
        waits.then_some(followed)
    }

    fn follow(
        &mut self,
        topic: &TopicName,
        subscribers: u32,
        random: u64,
        now: u64,
    ) -> FollowOrder {
        self.follows += 1;
        let followed = self
            .topics
            .entry(topic.clone())
            .or_insert_with(|| FollowedTopic::new(self.capacity, None));
        followed.asked = self.follows;
        followed.asking = true;
        let name = self.name.clone();
        FollowOrder {
            topic: topic.clone(),
            number: self.follows,
            follow: followed.follower.follow(name, subscribers, random, now),
        }
    }

    /// Returns what everybody here is told of a topic that has got somewhere.
    fn told(&mut self, topic: &TopicName, applied: Applied, subscribers: u32) -> Vec<RelayEffect> {
        if subscribers == 0 {
            return self.emptied(topic);
        }
        let head = self.head(topic);
        let mut effects: Vec<RelayEffect> = head
            .map(|head| RelayEffect::SaveHead(topic.clone(), head))
            .into_iter()
            .collect();
        if !applied.is_empty() {
            effects.push(RelayEffect::Tell(topic.clone(), applied));
        }
        effects
    }
}

impl TopicCatchUp {
    /// Returns what the subscriber is told of the topic, of which this is the last part.
    fn missed(self, last: Replay) -> Missed {
        let after = self.parts.first().map_or(last.after, |part| part.after);
        let head = last.head;
        let mut parts = self.parts;
        parts.push(last);
        Missed {
            topic: self.wanted.topic,
            after,
            head,
            parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{follower::FOLLOW_EVERY_MS, update::tests::update};

    const CAPACITY: u32 = 100;

    fn name() -> RelayName {
        RelayName::parse("many:weur:0").unwrap()
    }

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    fn wants(name: &str, cursor: Option<u64>) -> Wanted {
        Wanted {
            topic: topic(name),
            cursor,
        }
    }

    fn relay() -> RelayState {
        RelayState::restore(name(), CAPACITY, [], |_| 0).0
    }

    /// Returns what came after `after`, of which everything before `first` is lost.
    fn replay(after: u64, first: u64, head: u64) -> Replay {
        Replay {
            after,
            gap: (first > after + 1).then_some(first),
            updates: (first..=head).map(update).collect(),
            ..Replay::at_head(head)
        }
    }

    fn push(name: &str, after: u64, up_to: u64) -> Push {
        Push {
            topic: topic(name),
            epoch: 1,
            after,
            gap: false,
            updates: (after + 1..=up_to).map(update).collect(),
            forward: vec![],
        }
    }

    /// Looks at a catch-up while a subscriber is here for each topic.
    fn advance(relay: &mut RelayState, catch_up: &mut CatchUp) -> Progress {
        relay.advance(catch_up, |_| 1, 1, 0)
    }

    fn needs(relay: &mut RelayState, catch_up: &mut CatchUp) -> Vec<Need> {
        match advance(relay, catch_up) {
            Progress::Needs(needs) => needs,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the follow that it needs, which is sent now.
    fn follow(relay: &mut RelayState, catch_up: &mut CatchUp) -> FollowOrder {
        match needs(relay, catch_up).remove(0) {
            Need::Follow(order) => order,
            other => panic!("{other:?}"),
        }
    }

    fn missed(relay: &mut RelayState, catch_up: &mut CatchUp) -> Vec<Missed> {
        match advance(relay, catch_up) {
            Progress::Ready(missed) => missed,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the relay with a live subscriber at the head of `a`.
    fn at(head: u64) -> RelayState {
        let mut relay = relay();
        let mut catch_up = relay.catch_up([wants("a", None)], false);
        let order = follow(&mut relay, &mut catch_up);
        relay.follow_answered(&order, &Replay::at_head(head), 1, 0);
        missed(&mut relay, &mut catch_up);
        relay
    }

    #[test]
    fn the_first_subscriber_begins_at_the_head_that_the_root_names() {
        let mut relay = relay();
        let mut catch_up = relay.catch_up([wants("a", None)], false);
        let order = follow(&mut relay, &mut catch_up);
        let effects = relay.follow_answered(&order, &Replay::at_head(7), 1, 0);
        assert_eq!(effects, [RelayEffect::SaveHead(topic("a"), 7)]);
        let told = missed(&mut relay, &mut catch_up);
        assert_eq!((told[0].after, told[0].head), (7, 7));
    }

    #[test]
    fn one_that_wants_the_current_value_is_told_it_first() {
        let mut relay = at(7);
        let mut catch_up = relay.catch_up([wants("a", None)], true);
        let need = Need::Missed {
            topic: topic("a"),
            after: 6,
        };
        assert_eq!(needs(&mut relay, &mut catch_up), [need]);
        relay.missed(&mut catch_up, &topic("a"), replay(6, 7, 7));
        let told = missed(&mut relay, &mut catch_up);
        assert_eq!((told[0].after, told[0].head), (6, 7));
        assert_eq!(told[0].parts[0].updates, [update(7)]);
    }

    #[test]
    fn a_push_is_told_and_the_new_head_stored_before_that() {
        let mut relay = at(7);
        let (answer, effects) = relay.apply(&push("a", 7, 8), 1);
        assert_eq!(answer.standing, Standing::Have(8));
        let applied = Applied {
            gap: None,
            updates: vec![update(8)],
        };
        let tell = RelayEffect::Tell(topic("a"), applied);
        assert_eq!(effects, [RelayEffect::SaveHead(topic("a"), 8), tell]);
        assert_eq!(relay.head(&topic("a")), Some(8));
    }

    #[test]
    fn a_push_of_what_nobody_is_here_for_is_answered_with_unfollow() {
        let mut relay = at(7);
        let (answer, effects) = relay.apply(&push("b", 0, 1), 0);
        assert_eq!((answer.standing, effects), (Standing::Unfollow, vec![]));
        let (answer, effects) = relay.apply(&push("a", 7, 8), 0);
        assert_eq!(answer.standing, Standing::Unfollow);
        assert_eq!(effects, [RelayEffect::ForgetHead(topic("a"))]);
    }

    #[test]
    fn only_a_follow_that_was_sent_after_a_subscriber_came_says_that_it_is_ahead_of_the_root() {
        let mut relay = at(7);
        let mut first = relay.catch_up([wants("a", Some(9))], false);
        let order = follow(&mut relay, &mut first);
        let mut second = relay.catch_up([wants("a", Some(9))], false);
        let waits = Need::FollowAnswer(topic("a"));
        assert_eq!(needs(&mut relay, &mut second), [waits]);
        relay.follow_answered(&order, &Replay::at_head(7), 3, 0);
        assert_eq!(missed(&mut relay, &mut first)[0].parts[0].gap, Some(8));
        let order = follow(&mut relay, &mut second);
        relay.follow_answered(&order, &replay(7, 8, 9), 3, 0);
        let told = missed(&mut relay, &mut second);
        assert_eq!((told[0].after, told[0].parts[0].gap), (9, None));
    }

    #[test]
    fn whom_the_root_brought_further_than_the_relay_is_told_of_no_second_gap() {
        let mut relay = at(7);
        let mut catch_up = relay.catch_up([wants("a", Some(3))], false);
        let asked = Need::Missed {
            topic: topic("a"),
            after: 3,
        };
        assert_eq!(needs(&mut relay, &mut catch_up), [asked]);
        let tick = relay.tick([(topic("a"), 2)], 1, FOLLOW_EVERY_MS);
        relay.follow_answered(&tick[0], &Replay::at_head(7), 2, 0);
        // Meanwhile the root has got to 20 and forgotten everything before 15.
        relay.missed(&mut catch_up, &topic("a"), replay(3, 15, 20));
        let order = follow(&mut relay, &mut catch_up);
        relay.follow_answered(&order, &replay(7, 15, 20), 2, 0);
        let told = missed(&mut relay, &mut catch_up);
        let parts = told[0].parts.iter();
        let gaps: Vec<_> = parts.filter_map(Replay::lost).collect();
        assert_eq!(gaps, [(3, 15)]);
        let updates = told[0].parts.iter().flat_map(|part| &part.updates);
        let sequences: Vec<u64> = updates.map(|update| update.sequence).collect();
        assert_eq!(sequences, (15..=20).collect::<Vec<u64>>());
    }

    #[test]
    fn a_catch_up_ends_when_its_subscriber_has_gone() {
        let mut relay = relay();
        let mut catch_up = relay.catch_up([wants("a", None)], false);
        let order = follow(&mut relay, &mut catch_up);
        relay.emptied(&topic("a"));
        assert_eq!(relay.follow_answered(&order, &Replay::at_head(7), 0, 0), []);
        let progress = relay.advance(&mut catch_up, |_| 0, 1, 0);
        assert_eq!(progress, Progress::Gone);
        assert_eq!(relay.head(&topic("a")), None);
        assert_eq!(relay.next_due(|_| 1), None, "nothing is followed for it");
    }

    #[test]
    fn a_follow_that_fails_fails_who_waits_for_it_and_nobody_who_comes_later() {
        let mut relay = relay();
        let mut catch_up = relay.catch_up([wants("a", None)], false);
        let order = follow(&mut relay, &mut catch_up);
        relay.follow_failed(&order, 0);
        assert_eq!(advance(&mut relay, &mut catch_up), Progress::Failed);
        let mut later = relay.catch_up([wants("a", None)], false);
        let order = follow(&mut relay, &mut later);
        relay.follow_answered(&order, &Replay::at_head(7), 1, 0);
        assert_eq!(missed(&mut relay, &mut later)[0].head, 7);
    }

    #[test]
    fn who_has_several_topics_is_live_once_it_is_at_the_heads_of_all() {
        let mut relay = at(7);
        let wanted = [wants("a", None), wants("b", None)];
        let mut catch_up = relay.catch_up(wanted, false);
        let order = follow(&mut relay, &mut catch_up);
        assert_eq!(order.topic, topic("b"));
        relay.apply(&push("a", 7, 8), 2);
        relay.follow_answered(&order, &Replay::at_head(2), 1, 0);
        let told = missed(&mut relay, &mut catch_up);
        assert_eq!((told[0].after, told[0].head), (7, 8));
        assert_eq!(told[0].parts[0].updates, [update(8)]);
        assert_eq!((told[1].after, told[1].head), (2, 2));
    }

    #[test]
    fn the_answer_to_a_follow_of_an_earlier_run_changes_nothing() {
        let mut relay = relay();
        let mut catch_up = relay.catch_up([wants("a", None)], false);
        let early = follow(&mut relay, &mut catch_up);
        relay.emptied(&topic("a"));
        let mut catch_up = relay.catch_up([wants("a", None)], false);
        let order = follow(&mut relay, &mut catch_up);
        assert!(order.number > early.number);
        relay.follow_answered(&early, &Replay::at_head(7), 1, 0);
        assert_eq!(relay.head(&topic("a")), None);
        relay.follow_answered(&order, &Replay::at_head(9), 1, 0);
        assert_eq!(relay.head(&topic("a")), Some(9));
    }

    #[test]
    fn a_relay_that_was_evicted_keeps_the_heads_of_those_who_are_left() {
        let heads = [(topic("a"), 7), (topic("b"), 9)];
        let live = |name: &TopicName| u32::from(*name == topic("a"));
        let (relay, effects) = RelayState::restore(name(), CAPACITY, heads, live);
        assert_eq!(effects, [RelayEffect::ForgetHead(topic("b"))]);
        assert_eq!(relay.head(&topic("a")), Some(7));
        assert_eq!(relay.head(&topic("b")), None);
    }

    #[test]
    fn a_topic_is_followed_again_in_time_and_not_while_a_follow_is_on_its_way() {
        let mut relay = at(7);
        assert_eq!(relay.next_due(|_| 1), Some(FOLLOW_EVERY_MS));
        assert_eq!(relay.next_due(|_| 0), None);
        let mut tick = |now| relay.tick([(topic("a"), 1)], 2, now).len();
        assert_eq!(tick(FOLLOW_EVERY_MS - 1), 0);
        assert_eq!(tick(FOLLOW_EVERY_MS), 1);
        assert_eq!(tick(FOLLOW_EVERY_MS), 0);
        assert_eq!(relay.next_due(|_| 1), None);
    }
}
