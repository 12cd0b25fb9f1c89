//! Maps and sets whose order is random in production and the run's under an engine.

use std::hash::{BuildHasher, DefaultHasher, Hasher};

/// std's map with the facade's hasher.
pub type HashMap<K, V> = std::collections::HashMap<K, V, SeededState>;
/// std's set with the facade's hasher.
pub type HashSet<T> = std::collections::HashSet<T, SeededState>;

/// Makes SipHash hashers from a key: the system's randomness in production, the same key in every run under an engine, so that
/// the order of a map does not differ between a run and its replay.
#[derive(Clone, Debug)]
pub struct SeededState {
    key: u64,
}

impl Default for SeededState {
    fn default() -> Self {
        match crate::engine::current() {
            crate::engine::Engine::Real => SeededState { key: crate::rand::next_u64() },
            #[allow(unreachable_patterns, reason = "a build without engines has no other")]
            _ => SeededState { key: 0x676c_6172_6500_0001 },
        }
    }
}

impl BuildHasher for SeededState {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key);
        hasher
    }
}
