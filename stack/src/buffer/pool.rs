//! A pool: memory that belongs to one owner, is accounted to the byte, and goes all at once.

use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};

/// Memory of a bounded size for one owner. [`Pool::reset`] begins it anew, [`Pool::release`] ends it.
///
/// Clones are the same pool. Every method takes the pool's own lock, for a moment, and calls nothing while it has it: safe from any
/// thread, under any lock of the caller's.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    capacity_bytes: usize,
    resource: ResourceId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used_bytes: usize,
    /// Counts resets: a block of an earlier life of the pool is no longer in its account.
    life: u64,
    released: bool,
    exhausted_count: u64,
}

/// Why a pool gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// There is not so much left.
    #[error("pool {name}: expected {expected_bytes} bytes, got {free_bytes} free of {capacity_bytes}")]
    Exhausted {
        /// The pool.
        name: &'static str,
        /// What was asked for.
        expected_bytes: usize,
        /// What is left.
        free_bytes: usize,
        /// The whole.
        capacity_bytes: usize,
    },
    /// The pool has ended.
    #[error("pool {name}: expected a live pool, got one that was released")]
    Released {
        /// The pool.
        name: &'static str,
    },
}

impl Pool {
    /// An empty pool of `capacity_bytes`. The ledger knows it by `name` until it is released.
    #[track_caller]
    pub fn new(name: &'static str, capacity_bytes: usize) -> Self {
        let state = State { used_bytes: 0, life: 0, released: false, exhausted_count: 0 };
        Pool { shared: Arc::new(Shared { name, capacity_bytes, resource: ledger::register(name), state: Mutex::new(state) }) }
    }

    /// `len` zeroed bytes. They are in the pool's account until the block is dropped or the pool is reset.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`], which is counted, or [`PoolError::Released`].
    pub fn allocate(&self, len: usize) -> Result<Block, PoolError> {
        let shared = &*self.shared;
        let life = {
            let mut state = shared.state.lock();
            if state.released {
                return Err(PoolError::Released { name: shared.name });
            }
            let free_bytes = shared.capacity_bytes - state.used_bytes;
            if len > free_bytes {
                state.exhausted_count += 1;
                let (name, capacity_bytes) = (shared.name, shared.capacity_bytes);
                return Err(PoolError::Exhausted { name, expected_bytes: len, free_bytes, capacity_bytes });
            }
            state.used_bytes += len;
            state.life
        };
        Ok(Block { bytes: vec![0; len].into_boxed_slice(), life, pool: self.clone() })
    }

    /// How many bytes are in use now.
    ///
    /// # Errors
    /// [`PoolError::Released`].
    pub fn used_bytes(&self) -> Result<usize, PoolError> {
        let state = self.shared.state.lock();
        if state.released {
            return Err(PoolError::Released { name: self.shared.name });
        }
        Ok(state.used_bytes)
    }

    /// How often it was asked for more than was left.
    pub fn exhausted_count(&self) -> u64 {
        self.shared.state.lock().exhausted_count
    }

    /// Begins anew: nothing is in use any more. Blocks that are still held keep their bytes and leave the account. Returns how many
    /// bytes such blocks had.
    ///
    /// # Errors
    /// [`PoolError::Released`].
    pub fn reset(&self) -> Result<usize, PoolError> {
        let mut state = self.shared.state.lock();
        if state.released {
            return Err(PoolError::Released { name: self.shared.name });
        }
        ledger::touch(self.shared.resource);
        state.life += 1;
        Ok(std::mem::take(&mut state.used_bytes))
    }

    /// Ends the pool. Returns false if that had been done.
    pub fn release(&self) -> bool {
        let mut state = self.shared.state.lock();
        if std::mem::replace(&mut state.released, true) {
            return false;
        }
        ledger::release(self.shared.resource);
        true
    }
}

/// Bytes from a pool.
#[derive(Debug)]
pub struct Block {
    bytes: Box<[u8]>,
    life: u64,
    pool: Pool,
}

impl Block {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, to change.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut state = self.pool.shared.state.lock();
        if state.life == self.life {
            state.used_bytes -= self.bytes.len();
        }
    }
}

/// What holds of any sequence of calls: fuzz targets, property tests and corpus tests share these bodies.
pub mod properties {
    use super::{Block, Pool, PoolError};

    /// Each byte is a call. The account is what a sum in a variable says it is, and refusals change nothing.
    pub fn accounting(bytes: &[u8]) {
        const CAPACITY_BYTES: usize = 300;
        let pool = Pool::new("fuzzed", CAPACITY_BYTES);
        // The blocks of this life of the pool, and those of earlier ones.
        let (mut live, mut old): (Vec<Block>, Vec<Block>) = (Vec::new(), Vec::new());
        let mut refused = 0;
        for byte in bytes {
            let used: usize = live.iter().map(|block| block.bytes().len()).sum();
            assert_eq!(pool.used_bytes(), Ok(used));
            match byte {
                0..=199 => match pool.allocate(usize::from(*byte)) {
                    Ok(mut block) => {
                        assert!(used + usize::from(*byte) <= CAPACITY_BYTES && block.bytes().iter().all(|byte| *byte == 0));
                        block.bytes_mut().fill(*byte);
                        live.push(block);
                    }
                    Err(PoolError::Exhausted { expected_bytes, free_bytes, .. }) => {
                        assert_eq!((expected_bytes, free_bytes), (usize::from(*byte), CAPACITY_BYTES - used));
                        assert!(expected_bytes > free_bytes);
                        refused += 1;
                    }
                    Err(error) => panic!("{error}"),
                },
                200..=229 if !live.is_empty() => drop(live.swap_remove(usize::from(*byte) % live.len())),
                230..=244 => drop(old.pop()),
                245..=254 => {
                    assert_eq!(pool.reset(), Ok(used));
                    old.append(&mut live);
                }
                _ => {}
            }
            assert_eq!(pool.exhausted_count(), refused);
            // As many as were asked for, each with what was written to it: that number.
            let is_own = |block: &Block| block.bytes().iter().all(|byte| usize::from(*byte) == block.bytes().len());
            assert!(live.iter().chain(&old).all(is_own), "a block is nobody else's");
        }
        assert!(pool.release() && !pool.release());
        assert!(pool.used_bytes().is_err() && pool.reset().is_err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("pool", properties::accounting);
    }

    proptest::proptest! {
        #[test]
        fn accounting_holds(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            properties::accounting(&bytes);
        }
    }

    #[test]
    fn the_account_is_exact_at_all_times() {
        let pool = Pool::new("test", 100);
        let a = pool.allocate(60).unwrap();
        assert_eq!(pool.used_bytes(), Ok(60));
        let error = pool.allocate(41).unwrap_err();
        assert_eq!(error, PoolError::Exhausted { name: "test", expected_bytes: 41, free_bytes: 40, capacity_bytes: 100 });
        assert_eq!(pool.exhausted_count(), 1);
        let b = pool.allocate(40).unwrap();
        drop(a);
        assert_eq!(pool.used_bytes(), Ok(40));
        assert_eq!(pool.reset(), Ok(40));
        let c = pool.allocate(100).unwrap();
        drop(b);
        assert_eq!(pool.used_bytes(), Ok(100), "a block of an earlier life is not in the account");
        assert!(pool.release());
        assert!(!pool.release());
        assert_eq!(pool.allocate(0).unwrap_err(), PoolError::Released { name: "test" });
        assert_eq!(pool.used_bytes(), Err(PoolError::Released { name: "test" }));
        drop(c);
    }
}
