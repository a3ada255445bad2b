//! Where subscribers belong: at a topic's root, or at one of its relays. The root knows; what it said is
//! remembered here for a while, so that most subscribers of a large topic never trouble it.

use std::{cell::RefCell, collections::HashMap, hash::Hash};

use headstart_edge_rules::topic::region::Region;
use headstart_protocol::topic::TopicName;

/// For how long it is remembered, in milliseconds. A topic that has shrunk meanwhile keeps its relays
/// that much longer, and that is all.
const REMEMBER_MS: u64 = 10_000;

/// How many answers are remembered, at about 200 bytes each.
const REMEMBER_COUNT: usize = 10_000;

thread_local! {
    static SHARDS: RefCell<Memory<(TopicName, Region)>> = RefCell::default();
    static RANGES: RefCell<Memory<Region>> = RefCell::default();
}

/// Returns over how many relays a topic's subscribers in a region are spread, as the root said lately.
pub fn shards(topic: &TopicName, region: Region, now_ms: u64) -> Option<u32> {
    SHARDS.with_borrow(|memory| memory.get(&(topic.clone(), region), now_ms))
}

/// Notes over how many, as the root has just said.
pub fn note_shards(topic: &TopicName, region: Region, shards: u32, now_ms: u64) {
    SHARDS.with_borrow_mut(|memory| memory.note((topic.clone(), region), shards, now_ms));
}

/// Returns over how many of a region's relays for several topics there was room lately.
pub fn range(region: Region, now_ms: u64) -> Option<u32> {
    RANGES.with_borrow(|memory| memory.get(&region, now_ms))
}

/// Notes that there is room over that many of a region's relays for several topics.
pub fn note_range(region: Region, range: u32, now_ms: u64) {
    RANGES.with_borrow_mut(|memory| memory.note(region, range, now_ms));
}

#[derive(Debug)]
struct Memory<K>(HashMap<K, (u32, u64)>);

impl<K> Default for Memory<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Memory<K> {
    fn get(&self, key: &K, now_ms: u64) -> Option<u32> {
        let (value, until) = self.0.get(key)?;
        (now_ms < *until).then_some(*value)
    }

    fn note(&mut self, key: K, value: u32, now_ms: u64) {
        if self.0.len() >= REMEMBER_COUNT {
            self.0.retain(|_, (_, until)| now_ms < *until);
        }
        if self.0.len() < REMEMBER_COUNT {
            self.0.insert(key, (value, now_ms + REMEMBER_MS));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_root_said_is_remembered_for_a_while() {
        let topic = TopicName::parse("a").unwrap();
        note_shards(&topic, Region::Oc, 4, 1_000);
        assert_eq!(shards(&topic, Region::Oc, 1_000 + REMEMBER_MS - 1), Some(4));
        assert_eq!(shards(&topic, Region::Oc, 1_000 + REMEMBER_MS), None);
        assert_eq!(shards(&topic, Region::Me, 1_000), None);
    }

    #[test]
    fn the_memory_is_bounded_and_room_is_made_by_what_is_past() {
        let mut memory = Memory::default();
        for key in 0..=REMEMBER_COUNT {
            memory.note(key, 1, 0);
        }
        assert_eq!(memory.0.len(), REMEMBER_COUNT);
        memory.note(REMEMBER_COUNT, 1, REMEMBER_MS);
        assert_eq!(memory.0.len(), 1);
    }
}
