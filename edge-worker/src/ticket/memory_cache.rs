//! What an isolate remembers of the offers it served: bounded in bytes, least recently used out first.

use lru::LruCache;
use uuid::Uuid;

/// Offers by their ticket's UUID. `V` is what is kept; whoever puts it in says how large it is.
#[derive(Debug)]
pub struct MemoryCache<V> {
    entries: LruCache<Uuid, (V, usize)>,
    bytes: usize,
    budget: usize,
}

impl<V: Clone> MemoryCache<V> {
    /// Returns an empty cache that never holds more than `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            budget,
        }
    }

    /// Returns what is remembered of a ticket; it counts as used now.
    pub fn get(&mut self, ticket: Uuid) -> Option<V> {
        self.entries.get(&ticket).map(|(value, _)| value.clone())
    }

    /// Remembers `value` of `bytes` bytes, and forgets what was used longest ago to make room.
    ///
    /// What takes more than an eighth of the budget is not kept: it would throw out too much else.
    pub fn put(&mut self, ticket: Uuid, value: V, bytes: usize) {
        if let Some((_, old)) = self.entries.pop(&ticket) {
            self.bytes -= old;
        }
        if bytes > self.budget / 8 {
            return;
        }
        self.entries.put(ticket, (value, bytes));
        self.bytes += bytes;
        while self.bytes > self.budget {
            let Some((_, (_, out))) = self.entries.pop_lru() else {
                break;
            };
            self.bytes -= out;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = MemoryCache::new(80);
        for n in 1..=8 {
            cache.put(ticket(n), n, 10);
        }
        assert_eq!(cache.get(ticket(1)), Some(1));
        cache.put(ticket(9), 9, 10);
        assert_eq!(cache.get(ticket(1)), Some(1), "it was used since");
        assert_eq!(cache.get(ticket(2)), None);
    }

    #[test]
    fn one_large_offer_does_not_throw_out_the_rest() {
        let mut cache = MemoryCache::new(80);
        cache.put(ticket(1), 1, 10);
        cache.put(ticket(2), 2, 11);
        assert_eq!(cache.get(ticket(2)), None);
        assert_eq!(cache.get(ticket(1)), Some(1));
    }

    proptest! {
        #[test]
        fn the_budget_is_never_exceeded(
            budget in 0_usize..300, puts in prop::collection::vec((0_u8..20, 0_usize..60), 0..80),
        ) {
            let mut cache = MemoryCache::new(budget);
            for (n, bytes) in puts {
                cache.put(ticket(n), bytes, bytes);
                let held: usize = cache.entries.iter().map(|(_, (_, bytes))| bytes).sum();
                prop_assert_eq!(held, cache.bytes);
                prop_assert!(held <= budget);
            }
        }
    }
}
