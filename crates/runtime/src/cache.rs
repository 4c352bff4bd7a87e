//! A bounded cache of data from the database. It never keeps a value older than the last invalidation.
//!
//! A reader that loads just before a change and stores its value just after the invalidation would leave a stale entry
//! for good. So each load remembers the generation in which it began, and its value is cached only if no invalidation
//! came in between.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

/// A cache from `K` to `V` whose values are loaded on demand.
#[derive(Debug)]
pub struct Cache<K, V> {
    entries: quick_cache::sync::Cache<K, V>,
    generation: AtomicU64,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// A cache of at most `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: quick_cache::sync::Cache::new(capacity),
            generation: AtomicU64::new(0),
        }
    }

    /// The cached value, if there is one.
    pub fn get(&self, key: &K) -> Option<V> {
        self.entries.get(key)
    }

    /// The cached value, or the one that `load` gives; errors are not cached.
    pub fn get_or_load<E>(&self, key: &K, load: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(value) = self.get(key) {
            return Ok(value);
        }
        let generation = self.generation.load(Ordering::SeqCst);
        let value = load()?;
        if self.generation.load(Ordering::SeqCst) == generation {
            self.entries.insert(key.clone(), value.clone());
            // An invalidation between the check and the insertion did not see the new entry.
            if self.generation.load(Ordering::SeqCst) != generation {
                self.entries.remove(key);
            }
        }
        Ok(value)
    }

    /// Removes one entry.
    pub fn remove(&self, key: &K) {
        self.entries.remove(key);
    }

    /// Removes the entries for which `stale` holds, and keeps loads in progress from being cached.
    pub fn invalidate(&self, stale: impl Fn(&K, &V) -> bool) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.entries.retain(|key, value| !stale(key, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_loaded_before_an_invalidation_is_not_kept() {
        let cache = Cache::new(10);
        let loaded = cache.get_or_load(&1, || {
            cache.invalidate(|_, _| true);
            Ok::<_, ()>("old")
        });
        assert_eq!(loaded, Ok("old"));
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.get_or_load(&1, || Ok::<_, ()>("new")), Ok("new"));
        assert_eq!(cache.get(&1), Some("new"));
    }

    #[test]
    fn invalidation_spares_what_is_not_stale() {
        let cache = Cache::new(10);
        for key in [1, 2] {
            cache.get_or_load(&key, || Ok::<_, ()>(key)).unwrap();
        }
        cache.invalidate(|key, _| *key == 1);
        assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(2)));
    }
}
