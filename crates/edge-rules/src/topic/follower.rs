//! A relay's view of one topic: how far it has got, what it can replay by itself, and when it has to
//! tell the root that it is there. Rules only; the shell sends, and stores the head.
//!
//! Every live subscriber of a relay is at the relay's head. Whoever comes is brought there first.

use std::collections::VecDeque;

use crate::topic::{
    history::Replay,
    messages::{Follow, Push, PushAnswer, Standing},
    relay_name::RelayName,
    update::Update,
};

/// Time between two follows, in milliseconds: how long a relay that the root forgot misses updates.
pub const FOLLOW_EVERY_MS: u64 = 30_000;

/// Time from a failed follow to the next one, in milliseconds; it doubles up to [`FOLLOW_EVERY_MS`].
const FIRST_RETRY_MS: u64 = 500;

/// How many updates a relay keeps for subscribers that resume.
pub const RING_COUNT: usize = 256;

/// How many bytes of updates a relay keeps. It may follow many topics, and shares 128 MB with other
/// objects of its isolate.
pub const RING_BYTES: usize = 256 * 1024;

/// From how many subscribers of `capacity` on a relay is nearly full, so that its region needs more
/// relays: 80 %.
#[must_use]
pub const fn nearly_full(capacity: u32) -> u32 {
    capacity / 5 * 4
}

/// What every live subscriber is to be handed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Updates are lost: the sequence they were after, and the first that is left.
    pub gap: Option<(u64, u64)>,
    /// The updates, each one after the other.
    pub updates: Vec<Update>,
}

impl Applied {
    /// Nobody is to be handed anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.gap.is_none() && self.updates.is_empty()
    }
}

/// How a subscriber gets to the relay's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resume {
    /// By this; it is live as soon as it has been handed it.
    Ready(Replay),
    /// The relay does not know the head, or is behind the subscriber: follow now, wait for the answer to
    /// that very follow, then ask again, saying that it was followed.
    Follow,
    /// The relay does not remember so far back: ask the root what was missed, hand the subscriber
    /// what [`Follower::up_to_head`] leaves of it, and ask again from there.
    AskRoot,
}

/// The view.
#[derive(Debug)]
pub struct Follower {
    capacity: u32,
    head: Option<u64>,
    /// The root has told the head, or the relay had it before an eviction: subscribers may be live.
    settled: bool,
    /// The root's head, as its last answer said.
    root_head: u64,
    epoch: Option<u64>,
    reported: u32,
    next_follow: u64,
    failures: u32,
    /// The newest updates, ending at the head.
    ring: VecDeque<Update>,
    ring_bytes: usize,
}

impl Follower {
    /// Returns the view as it is on waking: with the `head` that was stored, where live subscribers are left
    /// from before, else without. `capacity` is how many subscribers a relay has at most.
    #[must_use]
    pub fn new(capacity: u32, head: Option<u64>) -> Self {
        Self {
            capacity,
            head,
            settled: head.is_some(),
            root_head: 0,
            epoch: None,
            reported: 0,
            next_follow: 0,
            failures: 0,
            ring: VecDeque::new(),
            ring_bytes: 0,
        }
    }

    /// Sequence of the last update that every live subscriber was handed: to be stored with each
    /// change. `None` while there can be no live subscriber.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        self.head.filter(|_| self.settled)
    }

    /// Returns when to follow, in milliseconds since the Unix epoch, while there are subscribers.
    #[must_use]
    pub fn next_follow(&self) -> u64 {
        self.next_follow
    }

    /// Returns whether to follow now: it is time, or the relay has become so full that the root must know.
    #[must_use]
    pub fn follow_due(&self, subscribers: u32, now: u64) -> bool {
        let crossed = |line: u32| self.reported < line && subscribers >= line;
        let fuller = crossed(nearly_full(self.capacity)) || crossed(self.capacity);
        subscribers > 0 && (now >= self.next_follow || self.epoch.is_none() || fuller)
    }

    /// Follows, or tells again. `random` becomes the epoch where this begins anew. Until the answer
    /// nothing is due; say [`Follower::caught_up`] or [`Follower::follow_failed`] then.
    pub fn follow(&mut self, relay: RelayName, subscribers: u32, random: u64, now: u64) -> Follow {
        self.reported = subscribers;
        self.next_follow = now + FOLLOW_EVERY_MS;
        Follow {
            relay,
            epoch: *self.epoch.get_or_insert(random),
            have: self.head(),
            subscribers,
        }
    }

    /// A follow was not answered.
    pub fn follow_failed(&mut self, now: u64) {
        let doubled = FIRST_RETRY_MS << self.failures.min(16);
        self.failures += 1;
        self.next_follow = now + doubled.min(FOLLOW_EVERY_MS);
    }

    /// Notes that a follow was answered.
    pub fn caught_up(&mut self, asked: &Follow, missed: &Replay, now: u64) -> Applied {
        if self.epoch != Some(asked.epoch) {
            return Applied::default();
        }
        self.failures = 0;
        self.root_head = self.root_head.max(missed.head);
        self.next_follow = if missed.more {
            now
        } else {
            now + FOLLOW_EVERY_MS
        };
        let Some(have) = asked.have else {
            if !self.settled {
                // A push that overtook the answer may have brought the relay further already.
                if self.head.is_none_or(|head| head < missed.head) {
                    self.jump_to(missed.head);
                }
                self.settled = true;
            }
            return Applied::default();
        };
        if missed.head < have {
            // A root's head never goes back, so the numbering began anew. If the relay's own head is
            // another one by now, this answer is overtaken by something.
            if self.head != Some(have) {
                self.next_follow = now;
                return Applied::default();
            }
            self.root_head = missed.head;
            let first = missed.gap.unwrap_or(missed.head + 1);
            self.jump_to(first.saturating_sub(1));
            return Applied {
                gap: Some((have, first)),
                ..self.apply(None, &missed.updates)
            };
        }
        self.apply(missed.gap, &missed.updates)
    }

    /// Applies a push of the root, or of a relay on its behalf. Returns what live subscribers are to be handed,
    /// and the answer.
    pub fn pushed(
        &mut self,
        relay: RelayName,
        push: &Push,
        subscribers: u32,
    ) -> (Applied, PushAnswer) {
        let (applied, standing) = if subscribers == 0 {
            self.emptied();
            (Applied::default(), Standing::Unfollow)
        } else {
            let head = *self.head.get_or_insert(push.after);
            let applied = if head >= push.after || push.gap {
                let first = push.gap.then(|| push.after.saturating_add(1));
                self.apply(first, &push.updates)
            } else {
                Applied::default()
            };
            (applied, Standing::Have(self.head.unwrap_or(head)))
        };
        let answer = PushAnswer {
            relay,
            epoch: push.epoch,
            subscribers,
            standing,
        };
        (applied, answer)
    }

    /// The last subscriber has gone: nobody is at the head any more, so it is forgotten. The root learns
    /// of it with its next push.
    pub fn emptied(&mut self) {
        *self = Self::new(self.capacity, None);
    }

    /// Returns how a subscriber that has everything up to `after`, or wants to start at the head (`None`),
    /// gets there. `followed`: a follow that was sent after the subscriber came has been answered; an answer
    /// to an earlier one does not know of what the subscriber may have got elsewhere since.
    #[must_use]
    pub fn resume(&self, after: Option<u64>, followed: bool) -> Resume {
        let Some(head) = self.head() else {
            return Resume::Follow;
        };
        let after = after.unwrap_or(head);
        let first = self.ring.front().map_or(head + 1, |update| update.sequence);
        let gap = if after > head {
            if !followed || after <= self.root_head {
                return Resume::Follow;
            }
            // Ahead of the root itself: its numbering began anew.
            Some(first)
        } else if after + 1 < first {
            return Resume::AskRoot;
        } else {
            None
        };
        let updates = self.ring.iter();
        Resume::Ready(Replay {
            after,
            gap,
            updates: updates
                .filter(|update| gap.is_some() || update.sequence > after)
                .cloned()
                .collect(),
            ..Replay::at_head(head)
        })
    }

    /// Returns what may be handed to a subscriber of what the root says it missed: nothing that live
    /// subscribers are still to get, for the subscriber would get that twice.
    #[must_use]
    pub fn up_to_head(&self, mut missed: Replay) -> Replay {
        let head = self.head().unwrap_or(0);
        if let Some(at) = missed
            .updates
            .iter()
            .position(|update| update.sequence > head)
        {
            missed.updates.truncate(at);
            missed.more = true;
        }
        missed
    }

    fn jump_to(&mut self, head: u64) {
        self.head = Some(head);
        self.ring.clear();
        self.ring_bytes = 0;
    }

    /// Takes what is new of `updates`, which begin at `first` where everything before it is lost.
    fn apply(&mut self, first: Option<u64>, updates: &[Update]) -> Applied {
        let mut applied = Applied::default();
        let Some(mut head) = self.head else {
            return applied;
        };
        if let Some(first) = first.filter(|first| *first > head + 1) {
            applied.gap = Some((head, first));
            head = first - 1;
            self.jump_to(head);
        }
        for update in updates {
            if update.sequence == head + 1 {
                head = update.sequence;
                self.remember(update.clone());
                applied.updates.push(update.clone());
            }
        }
        self.head = Some(head);
        applied
    }

    fn remember(&mut self, update: Update) {
        self.ring_bytes += size(&update);
        self.ring.push_back(update);
        while self.ring.len() > RING_COUNT || self.ring_bytes > RING_BYTES {
            let Some(out) = self.ring.pop_front() else {
                break;
            };
            self.ring_bytes -= size(&out);
        }
    }
}

fn size(update: &Update) -> usize {
    update.event.as_str().len()
}

#[cfg(test)]
mod tests {
    use headstart_protocol::topic::TopicName;

    use super::*;
    use crate::topic::update::tests::update;

    const CAPACITY: u32 = 100;

    fn relay() -> RelayName {
        RelayName::parse("weur:0:a").unwrap()
    }

    fn push(after: u64, up_to: u64) -> Push {
        Push {
            topic: TopicName::parse("a").unwrap(),
            epoch: 1,
            after,
            gap: false,
            updates: (after + 1..=up_to).map(update).collect(),
            forward: vec![],
        }
    }

    fn missed(gap: Option<u64>, after: u64, head: u64) -> Replay {
        Replay {
            after,
            gap,
            updates: (gap.unwrap_or_else(|| after + 1)..=head)
                .map(update)
                .collect(),
            ..Replay::at_head(head)
        }
    }

    /// Returns a relay with a subscriber, at `head`.
    fn at(head: u64) -> Follower {
        let mut follower = Follower::new(CAPACITY, None);
        let asked = follower.follow(relay(), 1, 1, 0);
        follower.caught_up(&asked, &Replay::at_head(head), 0);
        follower
    }

    fn pushed(follower: &mut Follower, push: &Push) -> (Vec<u64>, Standing) {
        let (applied, answer) = follower.pushed(relay(), push, 1);
        assert_eq!(applied.gap, None);
        (sequences(&applied.updates), answer.standing)
    }

    fn sequences(updates: &[Update]) -> Vec<u64> {
        updates.iter().map(|update| update.sequence).collect()
    }

    #[test]
    fn updates_are_handed_on_once_and_in_order() {
        let mut follower = at(5);
        assert_eq!(
            pushed(&mut follower, &push(5, 7)),
            (vec![6, 7], Standing::Have(7))
        );
        assert_eq!(
            pushed(&mut follower, &push(5, 7)),
            (vec![], Standing::Have(7))
        );
        assert_eq!(
            pushed(&mut follower, &push(6, 8)),
            (vec![8], Standing::Have(8))
        );
        assert_eq!(follower.head(), Some(8));
    }

    #[test]
    fn a_hole_is_answered_with_what_is_there_and_nothing_is_taken() {
        let mut follower = at(5);
        assert_eq!(
            pushed(&mut follower, &push(6, 7)),
            (vec![], Standing::Have(5))
        );
        assert_eq!(
            pushed(&mut follower, &push(6, 6)),
            (vec![], Standing::Have(5))
        );
    }

    #[test]
    fn a_gap_of_the_root_is_told_once() {
        let mut follower = at(5);
        let lost = Push {
            gap: true,
            ..push(8, 9)
        };
        let (applied, answer) = follower.pushed(relay(), &lost, 1);
        assert_eq!(applied.gap, Some((5, 9)));
        assert_eq!(sequences(&applied.updates), [9]);
        assert_eq!(answer.standing, Standing::Have(9));
        let (again, _) = follower.pushed(relay(), &lost, 1);
        assert!(again.is_empty());
    }

    #[test]
    fn without_subscribers_a_relay_unfollows_and_begins_anew_under_another_epoch() {
        let mut follower = at(5);
        let (applied, answer) = follower.pushed(relay(), &push(5, 6), 0);
        assert!(applied.is_empty());
        assert_eq!(answer.standing, Standing::Unfollow);
        assert_eq!(follower.head(), None);
        assert!(!follower.follow_due(0, 0));
        assert!(follower.follow_due(1, 0));
        let asked = follower.follow(relay(), 1, 2, 0);
        assert_eq!((asked.epoch, asked.have), (2, None));
    }

    #[test]
    fn a_push_that_overtakes_the_first_answer_is_not_lost() {
        let mut follower = Follower::new(CAPACITY, None);
        let asked = follower.follow(relay(), 1, 1, 0);
        assert_eq!(pushed(&mut follower, &push(5, 6)).1, Standing::Have(6));
        assert_eq!(follower.resume(None, false), Resume::Follow);
        follower.caught_up(&asked, &Replay::at_head(5), 0);
        assert_eq!(follower.head(), Some(6));
        assert_eq!(
            follower.resume(Some(5), true),
            Resume::Ready(missed(None, 5, 6))
        );
    }

    #[test]
    fn an_old_push_does_not_hold_a_new_relay_back() {
        let mut follower = Follower::new(CAPACITY, None);
        let asked = follower.follow(relay(), 1, 1, 0);
        pushed(&mut follower, &push(1, 2));
        follower.caught_up(&asked, &Replay::at_head(5), 0);
        assert_eq!(follower.head(), Some(5));
    }

    #[test]
    fn a_relay_that_was_evicted_goes_on_from_its_stored_head() {
        let mut follower = Follower::new(CAPACITY, Some(5));
        assert!(follower.follow_due(1, 0), "the root may have forgotten it");
        let asked = follower.follow(relay(), 1, 2, 0);
        assert_eq!(asked.have, Some(5));
        assert_eq!(pushed(&mut follower, &push(5, 6)).0, [6]);
        let applied = follower.caught_up(&asked, &missed(None, 5, 7), 0);
        assert_eq!(sequences(&applied.updates), [7]);
        let mut again = Follower::new(CAPACITY, Some(5));
        let asked = again.follow(relay(), 1, 2, 0);
        let applied = again.caught_up(&asked, &missed(Some(9), 5, 9), 0);
        assert_eq!(
            (applied.gap, sequences(&applied.updates)),
            (Some((5, 9)), vec![9])
        );
    }

    #[test]
    fn numbering_that_began_anew_is_told_as_a_gap() {
        let mut follower = at(57);
        let asked = follower.follow(relay(), 1, 1, 0);
        let applied = follower.caught_up(&asked, &missed(Some(1), 57, 2), 0);
        assert_eq!(applied.gap, Some((57, 1)));
        assert_eq!(sequences(&applied.updates), [1, 2]);
        assert_eq!(follower.head(), Some(2));
        let applied = follower.caught_up(&asked, &missed(Some(1), 57, 2), 9);
        assert!(applied.is_empty(), "an answer that is overtaken");
        assert_eq!(follower.next_follow(), 9);
    }

    #[test]
    fn a_follow_is_due_every_so_often_sooner_after_a_failure_and_when_the_relay_fills_up() {
        let mut follower = at(0);
        assert!(!follower.follow_due(1, FOLLOW_EVERY_MS - 1));
        assert!(follower.follow_due(1, FOLLOW_EVERY_MS));
        assert!(follower.follow_due(nearly_full(CAPACITY), 1));
        follower.follow(relay(), nearly_full(CAPACITY), 9, 1);
        assert!(!follower.follow_due(CAPACITY - 1, 2));
        assert!(follower.follow_due(CAPACITY, 2));
        let mut waits = Vec::new();
        for _ in 0..8 {
            follower.follow_failed(0);
            waits.push(follower.next_follow());
        }
        assert_eq!(waits[..2], [FIRST_RETRY_MS, 2 * FIRST_RETRY_MS]);
        assert_eq!(waits[7], FOLLOW_EVERY_MS);
        let asked = follower.follow(relay(), 1, 9, 0);
        let page = Replay {
            more: true,
            ..Replay::at_head(0)
        };
        follower.caught_up(&asked, &page, 7);
        assert!(follower.follow_due(1, 7), "there is more");
    }

    #[test]
    fn a_subscriber_is_brought_to_the_head_from_wherever_it_is() {
        let mut follower = at(5);
        pushed(&mut follower, &push(5, 8));
        let ready = |replay| Resume::Ready(replay);
        assert_eq!(follower.resume(None, false), ready(Replay::at_head(8)));
        assert_eq!(follower.resume(Some(8), false), ready(Replay::at_head(8)));
        assert_eq!(follower.resume(Some(5), false), ready(missed(None, 5, 8)));
        assert_eq!(follower.resume(Some(4), false), Resume::AskRoot);
        assert_eq!(follower.resume(Some(9), false), Resume::Follow);
        let asked = follower.follow(relay(), 1, 1, 0);
        let page = Replay {
            more: true,
            head: 9,
            ..Replay::at_head(8)
        };
        follower.caught_up(&asked, &page, 0);
        assert_eq!(
            follower.resume(Some(9), true),
            Resume::Follow,
            "there is more"
        );
        assert_eq!(
            follower.resume(Some(u64::MAX), true),
            ready(missed(Some(6), u64::MAX, 8))
        );
    }

    #[test]
    fn what_the_root_says_is_cut_at_the_head_of_the_relay() {
        let follower = at(5);
        let cut = follower.up_to_head(missed(None, 2, 7));
        assert_eq!(
            (sequences(&cut.updates), cut.more, cut.reaches()),
            (vec![3, 4, 5], true, 5)
        );
        let whole = missed(None, 2, 5);
        assert_eq!(follower.up_to_head(whole.clone()), whole);
        let beyond = follower.up_to_head(missed(Some(7), 2, 8));
        assert_eq!((beyond.lost(), beyond.reaches()), (Some((2, 7)), 6));
    }

    #[test]
    fn what_is_kept_to_replay_is_bounded() {
        let mut follower = at(0);
        let many = RING_COUNT as u64 + 10;
        pushed(&mut follower, &push(0, many));
        assert_eq!(follower.ring.len(), RING_COUNT);
        assert_eq!(follower.resume(Some(9), false), Resume::AskRoot);
        let bytes: usize = follower.ring.iter().map(size).sum();
        assert_eq!(bytes, follower.ring_bytes);
    }
}
