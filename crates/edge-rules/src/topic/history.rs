//! What a topic's root remembers: the newest updates, bounded in number, bytes and age, and which
//! events it has taken. Rules only; the shell keeps the same rows in SQLite, and changes them as it is
//! told.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use serde::{Deserialize, Serialize};

use crate::topic::{
    digest::half_digest,
    update::{EventJson, Update},
};

/// How long an event is recognised when it comes again, in milliseconds: 24 hours, far longer than
/// any sender retries.
pub const DEDUPE_MS: u64 = 24 * 60 * 60 * 1000;

/// How many events are recognised at most. In memory each takes about 100 bytes, of the 128 MB that
/// objects of one isolate share.
pub const DEDUPE_COUNT: usize = 100_000;

/// How much of the past a topic keeps. The newest update stays in any case: it is the topic's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Updates.
    pub count: usize,
    /// Bytes of their JSON, all together.
    pub bytes: usize,
    /// Age, in milliseconds.
    pub age_ms: u64,
}

/// Names an event by its `source` and `id`, in 16 bytes of their SHA-256. Written as 32 hexadecimal
/// digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u8; 16]);

impl Identity {
    /// Returns the identity of an event. An attribute holds no NUL.
    #[must_use]
    pub fn of(source: &str, id: &str) -> Self {
        Self(half_digest([source, id]))
    }

    /// Reads what was written by [`fmt::Display`]; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok()?;
        digits.then(|| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A row of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The update.
    pub update: Update,
    /// When the topic took it, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A row of what the topic has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The event.
    pub identity: Identity,
    /// The number it got.
    pub sequence: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// What has been forgotten, for the shell to delete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trim {
    /// Delete the updates up to this sequence.
    pub updates_up_to: Option<u64>,
    /// Delete the identities up to this sequence.
    pub identities_up_to: Option<u64>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is the topic's newest update. Store it and its identity (replacing an older row of the same
    /// identity), then do the deletions.
    New {
        /// The update.
        update: Update,
        /// What went to make room.
        trim: Trim,
    },
    /// It was taken before.
    Duplicate {
        /// Under this number.
        sequence: u64,
    },
}

/// What somebody missed: the updates after a cursor, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The cursor.
    pub after: u64,
    /// Sequence of the topic's newest update; 0 where there is none yet.
    pub head: u64,
    /// Something is not there any more, or the numbering began anew: the first sequence that is left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<u64>,
    /// The updates, each one after the other.
    pub updates: Vec<Update>,
    /// There are more than fitted: ask again after [`Replay::reaches`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl Replay {
    /// Returns a replay of nothing: none was missed, or none is wanted.
    #[must_use]
    pub fn at_head(head: u64) -> Self {
        Self {
            after: head,
            head,
            gap: None,
            updates: vec![],
            more: false,
        }
    }

    /// Returns the gap: the cursor, and the first sequence that is left.
    #[must_use]
    pub fn lost(&self) -> Option<(u64, u64)> {
        self.gap.map(|first| (self.after, first))
    }

    /// Returns the cursor of whoever has taken this.
    #[must_use]
    pub fn reaches(&self) -> u64 {
        if !self.more {
            return self.head;
        }
        let before_first = self.gap.map(|first| first.saturating_sub(1));
        let last = self.updates.last().map(|update| update.sequence);
        last.or(before_first).unwrap_or(self.after)
    }
}

/// The history.
#[derive(Debug)]
pub struct History {
    limits: HistoryLimits,
    head: u64,
    updates: VecDeque<Kept>,
    bytes: usize,
    /// By identity, for the question; with the number and the time.
    taken: HashMap<Identity, (u64, u64)>,
    /// The same, oldest first, for forgetting.
    oldest: VecDeque<Taken>,
}

impl History {
    /// Returns the history as its rows say, each kind ordered by sequence. A new topic has none.
    pub fn restore(
        limits: HistoryLimits,
        updates: impl IntoIterator<Item = Kept>,
        taken: impl IntoIterator<Item = Taken>,
    ) -> Self {
        let updates: VecDeque<Kept> = updates.into_iter().collect();
        let oldest: VecDeque<Taken> = taken.into_iter().collect();
        let newest = updates.back().map(|kept| kept.update.sequence);
        Self {
            limits,
            head: newest.unwrap_or(0),
            bytes: updates.iter().map(size).sum(),
            updates,
            taken: oldest
                .iter()
                .map(|taken| (taken.identity, (taken.sequence, taken.at_ms)))
                .collect(),
            oldest,
        }
    }

    /// Returns the sequence of the newest update; 0 where there is none yet.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.head
    }

    /// Returns the newest update: the topic's value.
    #[must_use]
    pub fn latest(&self) -> Option<&Update> {
        self.updates.back().map(|kept| &kept.update)
    }

    /// Takes an event, unless it was taken before. `number` writes it, given its sequence.
    pub fn append(
        &mut self,
        identity: Identity,
        now: u64,
        number: impl FnOnce(u64) -> EventJson,
    ) -> Appended {
        if let Some(&(sequence, at)) = self.taken.get(&identity)
            && now < at.saturating_add(DEDUPE_MS)
        {
            return Appended::Duplicate { sequence };
        }
        self.head += 1;
        let sequence = self.head;
        let update = Update {
            sequence,
            event: number(sequence),
        };
        let kept = Kept {
            update: update.clone(),
            at_ms: now,
        };
        self.bytes += size(&kept);
        self.updates.push_back(kept);
        self.taken.insert(identity, (sequence, now));
        self.oldest.push_back(Taken {
            identity,
            sequence,
            at_ms: now,
        });
        Appended::New {
            update,
            trim: self.trim(now),
        }
    }

    /// Forgets what is too much or too old.
    pub fn trim(&mut self, now: u64) -> Trim {
        let mut trim = Trim::default();
        while self.updates.len() > 1
            && let Some(first) = self.updates.front()
            && (self.updates.len() > self.limits.count
                || self.bytes > self.limits.bytes
                || first.at_ms.saturating_add(self.limits.age_ms) <= now)
        {
            trim.updates_up_to = Some(first.update.sequence);
            self.bytes -= size(first);
            self.updates.pop_front();
        }
        while let Some(&first) = self.oldest.front()
            && (self.oldest.len() > DEDUPE_COUNT || first.at_ms.saturating_add(DEDUPE_MS) <= now)
        {
            trim.identities_up_to = Some(first.sequence);
            self.oldest.pop_front();
            // The same event may have been taken again since, long after.
            if self
                .taken
                .get(&first.identity)
                .is_some_and(|(sequence, _)| *sequence == first.sequence)
            {
                self.taken.remove(&first.identity);
            }
        }
        trim
    }

    /// Returns when [`History::trim`] has something to do, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let update = self
            .updates
            .front()
            .filter(|_| self.updates.len() > 1)
            .map(|first| first.at_ms.saturating_add(self.limits.age_ms));
        let identity = self
            .oldest
            .front()
            .map(|first| first.at_ms.saturating_add(DEDUPE_MS));
        [update, identity].into_iter().flatten().min()
    }

    /// Returns what somebody missed who has everything up to `after`: as many updates as fit in `max_bytes`,
    /// and at least one. A cursor ahead of the head is of another numbering, and told as a gap.
    #[must_use]
    pub fn replay(&self, after: u64, max_bytes: usize) -> Replay {
        let first = self
            .updates
            .front()
            .map_or(self.head + 1, |kept| kept.update.sequence);
        let next = after.saturating_add(1);
        let gap = (after > self.head || next < first).then_some(first);
        let from = gap.unwrap_or(next);
        let mut replay = Replay {
            after,
            gap,
            ..Replay::at_head(self.head)
        };
        let mut bytes = 0;
        let skip = usize::try_from(from - first).unwrap_or(usize::MAX);
        for kept in self.updates.iter().skip(skip) {
            bytes += size(kept);
            if bytes > max_bytes && !replay.updates.is_empty() {
                replay.more = true;
                break;
            }
            replay.updates.push(kept.update.clone());
        }
        replay
    }
}

fn size(kept: &Kept) -> usize {
    kept.update.event.as_str().len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::update::tests::update;

    const LIMITS: HistoryLimits = HistoryLimits {
        count: 3,
        bytes: 1_000_000,
        age_ms: 3_600_000,
    };

    fn empty() -> History {
        History::restore(LIMITS, [], [])
    }

    fn id(n: u64) -> Identity {
        Identity::of("/s", &n.to_string())
    }

    /// Returns a history that took `n` events, one each millisecond.
    fn of(n: u64) -> History {
        let mut history = empty();
        for n in 1..=n {
            history.append(id(n), n, |sequence| update(sequence).event);
        }
        history
    }

    fn sequences(replay: &Replay) -> Vec<u64> {
        replay
            .updates
            .iter()
            .map(|update| update.sequence)
            .collect()
    }

    #[test]
    fn the_first_update_is_number_1_and_the_same_event_again_is_a_duplicate() {
        let mut history = empty();
        assert_eq!((history.head(), history.latest()), (0, None));
        let first = history.append(id(9), 0, |sequence| update(sequence).event);
        assert_eq!(
            first,
            Appended::New {
                update: update(1),
                trim: Trim::default()
            }
        );
        let again = history.append(id(9), 1, |_| panic!("it has its number"));
        assert_eq!(again, Appended::Duplicate { sequence: 1 });
        assert_eq!(history.latest(), Some(&update(1)));
    }

    #[test]
    fn an_event_is_forgotten_after_a_day_and_may_then_come_again() {
        let mut history = of(1);
        let late = 1 + DEDUPE_MS;
        let again = history.append(id(1), late - 1, |_| panic!("it is known"));
        assert_eq!(again, Appended::Duplicate { sequence: 1 });
        let Appended::New { update: new, trim } =
            history.append(id(1), late, |sequence| update(sequence).event)
        else {
            panic!("it is forgotten")
        };
        assert_eq!((new.sequence, trim.identities_up_to), (2, Some(1)));
        let again = history.append(id(1), late + 1, |_| panic!("it is known"));
        assert_eq!(again, Appended::Duplicate { sequence: 2 });
    }

    #[test]
    fn no_more_events_are_remembered_than_allowed() {
        let rows = (1..=DEDUPE_COUNT as u64).map(|sequence| Taken {
            identity: id(sequence),
            sequence,
            at_ms: 0,
        });
        let newest = Kept {
            update: update(DEDUPE_COUNT as u64),
            at_ms: 0,
        };
        let mut history = History::restore(LIMITS, [newest], rows);
        let Appended::New { trim, .. } = history.append(id(0), 1, |n| update(n).event) else {
            panic!("it is new")
        };
        assert_eq!(trim.identities_up_to, Some(1));
        assert_eq!(history.taken.len(), DEDUPE_COUNT);
    }

    #[test]
    fn a_gap_is_told_with_the_first_sequence_left() {
        let history = of(5);
        let replay = history.replay(1, usize::MAX);
        assert_eq!((replay.gap, sequences(&replay)), (Some(3), vec![3, 4, 5]));
        let replay = history.replay(2, usize::MAX);
        assert_eq!((replay.gap, sequences(&replay)), (None, vec![3, 4, 5]));
        assert_eq!(history.replay(5, usize::MAX), Replay::at_head(5));
    }

    #[test]
    fn a_cursor_ahead_of_the_head_is_told_as_a_gap() {
        let replay = of(2).replay(42, usize::MAX);
        assert_eq!((replay.gap, sequences(&replay)), (Some(1), vec![1, 2]));
        let replay = empty().replay(u64::MAX, usize::MAX);
        assert_eq!((replay.gap, replay.updates.len()), (Some(1), 0));
    }

    #[test]
    fn what_does_not_fit_is_asked_for_again() {
        let history = of(3);
        let replay = history.replay(0, 1);
        assert_eq!((sequences(&replay), replay.more), (vec![1], true));
        assert_eq!(replay.reaches(), 1);
        let replay = history.replay(replay.reaches(), usize::MAX);
        assert_eq!((sequences(&replay), replay.more), (vec![2, 3], false));
        assert_eq!(replay.reaches(), 3);
    }

    #[test]
    fn the_newest_update_stays_whatever_its_age() {
        let mut history = of(3);
        let late = LIMITS.age_ms + 1;
        assert_eq!(history.next_due(), Some(late));
        assert_eq!(history.trim(late).updates_up_to, Some(1));
        assert_eq!(history.trim(late + 100).updates_up_to, Some(2));
        assert_eq!(history.trim(late + 101).updates_up_to, None);
        assert_eq!(history.latest(), Some(&update(3)));
        assert_eq!(history.next_due(), Some(1 + DEDUPE_MS));
    }

    #[test]
    fn an_identity_is_read_as_it_was_written_and_no_two_pairs_run_together() {
        let identity = Identity::of("/a", "1");
        assert_eq!(Identity::parse(&identity.to_string()), Some(identity));
        for wrong in ["", "1", "+0000000000000000000000000000001"] {
            assert_eq!(Identity::parse(wrong), None);
        }
        assert_ne!(Identity::of("/a", "b1"), Identity::of("/ab", "1"));
    }

    proptest! {
        /// The shell's SQLite does what it is told; from its rows the same history comes back.
        #[test]
        fn rows_and_memory_say_the_same(
            count in 1_usize..6, bytes in 1_usize..400, age_ms in 1_u64..50,
            steps in prop::collection::vec((0_u64..20, 0_u64..30), 1..60), after in 0_u64..70,
        ) {
            let limits = HistoryLimits { count, bytes, age_ms };
            let mut history = History::restore(limits, [], []);
            let (mut updates, mut taken): (Vec<Kept>, Vec<Taken>) = Default::default();
            let mut now = 0;
            for (n, later) in steps {
                now += later;
                let trim = match history.append(id(n), now, |sequence| update(sequence).event) {
                    Appended::Duplicate { sequence } => {
                        prop_assert!(taken.iter().any(|row| (row.identity, row.sequence) == (id(n), sequence)));
                        history.trim(now)
                    }
                    Appended::New { update, trim } => {
                        prop_assert_eq!(update.sequence, history.head());
                        taken.push(Taken { identity: id(n), sequence: update.sequence, at_ms: now });
                        updates.push(Kept { update, at_ms: now });
                        trim
                    }
                };
                updates.retain(|row| Some(row.update.sequence) > trim.updates_up_to);
                taken.retain(|row| Some(row.sequence) > trim.identities_up_to);
                prop_assert!(updates.len() <= count);
                prop_assert!(updates.len() == 1 || updates.iter().map(size).sum::<usize>() <= bytes);
                prop_assert!(updates.len() == 1 || updates[0].at_ms + age_ms > now);
            }
            let restored = History::restore(limits, updates, taken);
            prop_assert_eq!(restored.head(), history.head());
            prop_assert_eq!(restored.next_due(), history.next_due());
            prop_assert_eq!(restored.replay(after, 200), history.replay(after, 200));
            prop_assert_eq!(restored.bytes, history.bytes);
        }

        /// Whoever asks again while there is more gets every update that is left, once, in order.
        #[test]
        fn pages_join_without_seam(updates in 0_u64..8, after in 0_u64..10, max_bytes in 0_usize..300) {
            let history = of(updates);
            let mut cursor = after;
            let mut got = Vec::new();
            loop {
                let replay = history.replay(cursor, max_bytes);
                prop_assert!(got.is_empty() || replay.gap.is_none());
                got.extend(sequences(&replay));
                cursor = replay.reaches();
                if !replay.more {
                    break;
                }
            }
            let oldest = updates.saturating_sub(2).max(1);
            let first = if after > updates { oldest } else { oldest.max(after + 1) };
            prop_assert_eq!(got, (first..=updates).collect::<Vec<_>>());
            prop_assert_eq!(cursor, updates);
        }
    }
}
