//! A packet pool: buffers that are made once and lent again and again, so that a packet costs no allocation.

use super::mbuf::{CAPACITY_BYTES_MAX, Mbuf};
use sim::ledger::{self, ResourceId};
use sim::sync::{Arc, Mutex};
use std::fmt;

/// A fixed number of packet buffers. [`PacketPool::take`] lends one; it comes back when it is dropped, on whatever thread.
///
/// Clones are the same pool. Every method takes the pool's own lock, for a moment, and calls nothing while it has it: safe from any
/// thread, under any lock of the caller's. So is dropping a buffer. Taking and returning allocate nothing. A buffer that had to
/// grow stays as large: who needed the room once will need it again.
#[derive(Clone, Debug)]
pub struct PacketPool {
    shared: Arc<Shared>,
}

/// How many buffers a pool has, and how much room is in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketPoolConfig {
    /// The number of buffers.
    pub buffers: usize,
    /// Room before the packet, for headers that are put before it.
    pub headroom_bytes: usize,
    /// Room for the packet and for what is added behind it.
    pub tailroom_bytes: usize,
    /// What a buffer may grow to.
    pub capacity_bytes_max: usize,
}

impl Default for PacketPoolConfig {
    /// 256 buffers for a full Ethernet frame each, with headroom for a TURN channel and tailroom for any SRTP tag and MKI.
    fn default() -> Self {
        PacketPoolConfig { buffers: 256, headroom_bytes: 64, tailroom_bytes: 1500 + 160, capacity_bytes_max: CAPACITY_BYTES_MAX }
    }
}

/// Why a pool lent nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketPoolError {
    /// Every buffer is lent.
    #[error("packet pool {name}: expected a free buffer, got all {buffers} lent")]
    Exhausted {
        /// The pool.
        name: &'static str,
        /// How many it has.
        buffers: usize,
    },
    /// The pool has ended.
    #[error("packet pool {name}: expected a live pool, got one that was released")]
    Released {
        /// The pool.
        name: &'static str,
    },
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    config: PacketPoolConfig,
    resource: ResourceId,
    state: Mutex<State>,
}

struct State {
    /// The last to come back is the first to go: it is still in the cache.
    free: Vec<Vec<u8>>,
    lent: usize,
    lent_bytes: usize,
    exhausted_count: u64,
    released: bool,
}

impl PacketPool {
    /// A pool with all of its buffers made. The ledger knows it by `name` until it is released.
    #[track_caller]
    pub fn new(name: &'static str, config: PacketPoolConfig) -> Self {
        let capacity_bytes = config.headroom_bytes + config.tailroom_bytes;
        let free = (0..config.buffers).map(|_| vec![0; capacity_bytes]).collect();
        let state = State { free, lent: 0, lent_bytes: 0, exhausted_count: 0, released: false };
        PacketPool { shared: Arc::new(Shared { name, config, resource: ledger::register(name), state: Mutex::new(state) }) }
    }

    /// Lends an empty buffer. Until it is dropped, the ledger names the line that took it.
    ///
    /// # Errors
    /// [`PacketPoolError::Exhausted`], which is counted, or [`PacketPoolError::Released`].
    #[track_caller]
    pub fn take(&self) -> Result<Mbuf, PacketPoolError> {
        let Shared { name, config, .. } = &*self.shared;
        let memory = {
            let mut state = self.shared.state.lock();
            if state.released {
                return Err(PacketPoolError::Released { name });
            }
            let Some(memory) = state.free.pop() else {
                state.exhausted_count += 1;
                return Err(PacketPoolError::Exhausted { name, buffers: config.buffers });
            };
            state.lent += 1;
            state.lent_bytes += memory.len();
            memory
        };
        let capacity_bytes_max = config.capacity_bytes_max.max(memory.len());
        let home = Home { shared: Arc::clone(&self.shared), resource: ledger::register("packet buffer") };
        Ok(Mbuf::of_memory(memory, config.headroom_bytes, capacity_bytes_max, Some(home)))
    }

    /// How many buffers are lent now.
    pub fn lent(&self) -> usize {
        self.shared.state.lock().lent
    }

    /// The memory of the buffers that are lent now, to the byte.
    pub fn lent_bytes(&self) -> usize {
        self.shared.state.lock().lent_bytes
    }

    /// How often a buffer was asked for and none was free.
    pub fn exhausted_count(&self) -> u64 {
        self.shared.state.lock().exhausted_count
    }

    /// Ends the pool. Buffers that are lent keep what they hold, and their memory goes when they are dropped. Returns how many
    /// those are, and nothing if the pool had ended before.
    pub fn release(&self) -> Option<usize> {
        let (free, lent) = {
            let mut state = self.shared.state.lock();
            if std::mem::replace(&mut state.released, true) {
                return None;
            }
            (std::mem::take(&mut state.free), state.lent)
        };
        ledger::release(self.shared.resource);
        drop(free);
        Some(lent)
    }
}

/// Without what the buffers held.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("State");
        debug.field("free", &self.free.len()).field("lent", &self.lent).field("lent_bytes", &self.lent_bytes);
        debug.field("exhausted_count", &self.exhausted_count).field("released", &self.released).finish()
    }
}

/// Where a lent buffer goes back to.
pub(super) struct Home {
    shared: Arc<Shared>,
    resource: ResourceId,
}

impl Home {
    pub(super) fn account_growth(&self, bytes: usize) {
        self.shared.state.lock().lent_bytes += bytes;
    }

    pub(super) fn take_back(self, memory: Vec<u8>) {
        ledger::release(self.resource);
        let mut state = self.shared.state.lock();
        state.lent -= 1;
        state.lent_bytes -= memory.len();
        // Room for every buffer has been there since the pool was made, so this does not allocate.
        if !state.released {
            state.free.push(memory);
        }
    }
}

/// What holds of any sequence of calls: fuzz target, property test and corpus test share this body.
pub mod properties {
    use super::super::mbuf::Mbuf;
    use super::{PacketPool, PacketPoolConfig, PacketPoolError};

    /// Each byte is a call. What is lent is what a list of the lent says, and refusals change nothing.
    pub fn accounting(bytes: &[u8]) {
        let config = PacketPoolConfig { buffers: 5, headroom_bytes: 3, tailroom_bytes: 10, capacity_bytes_max: 60 };
        let pool = PacketPool::new("fuzzed packets", config);
        let mut lent: Vec<Mbuf> = Vec::new();
        let mut refused = 0;
        for byte in bytes {
            match byte % 4 {
                0 | 1 => match pool.take() {
                    Ok(mbuf) => {
                        assert!(mbuf.bytes().is_empty() && mbuf.headroom() == 3 && mbuf.tailroom() >= 10);
                        lent.push(mbuf);
                    }
                    Err(error) => {
                        assert_eq!(error, PacketPoolError::Exhausted { name: "fuzzed packets", buffers: 5 });
                        refused += 1;
                    }
                },
                2 if !lent.is_empty() => drop(lent.swap_remove(usize::from(byte / 4) % lent.len())),
                3 if !lent.is_empty() => {
                    let at = usize::from(byte / 4) % lent.len();
                    let _ = lent[at].append(&[*byte; 9]);
                }
                _ => {}
            }
            assert_eq!(pool.lent(), lent.len());
            assert_eq!(pool.lent_bytes(), lent.iter().map(Mbuf::capacity).sum::<usize>());
            assert!(lent.len() <= 5);
            assert_eq!(pool.exhausted_count(), refused);
        }
        assert_eq!(pool.release(), Some(lent.len()));
        assert_eq!((pool.release(), pool.take().err()), (None, Some(PacketPoolError::Released { name: "fuzzed packets" })));
        drop(lent);
        assert_eq!((pool.lent(), pool.lent_bytes()), (0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("packet_pool", properties::accounting);
    }

    proptest::proptest! {
        #[test]
        fn accounting_holds(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            properties::accounting(&bytes);
        }
    }

    #[test]
    fn a_pool_shows_what_it_counts_and_nothing_of_what_its_buffers_held() {
        let config = PacketPoolConfig { buffers: 2, headroom_bytes: 4, tailroom_bytes: 6, capacity_bytes_max: 10 };
        let pool = PacketPool::new("packets", config);
        pool.take().unwrap().append(&[211; 6]).unwrap();
        let _lent = pool.take().unwrap();
        let shown = format!("{pool:?}");
        let expected = "State { free: 1, lent: 1, lent_bytes: 10, exhausted_count: 0, released: false }";
        assert!(shown.contains(expected) && !shown.contains("211"), "{shown}");
    }

    #[test]
    fn a_buffer_comes_back_from_another_thread() {
        let pool = PacketPool::new("packets", PacketPoolConfig { buffers: 1, ..PacketPoolConfig::default() });
        let mbuf = pool.take().unwrap();
        assert_eq!(pool.take().unwrap_err(), PacketPoolError::Exhausted { name: "packets", buffers: 1 });
        sim::thread::spawn(move || drop(mbuf)).join().unwrap();
        assert_eq!((pool.lent(), pool.lent_bytes(), pool.exhausted_count()), (0, 0, 1));
        drop(pool.take().unwrap());
        assert_eq!(pool.release(), Some(0));
    }
}
