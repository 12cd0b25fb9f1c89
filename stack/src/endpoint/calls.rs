//! The call slots, and the handles that name a call and never another.

use super::error::StaleCall;
use sim::sync::Arc;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Names a call: its slot, and which call of that slot. It may be copied, kept and used after the call, or given to another endpoint:
/// then it is an error, and never another call (pjproject #4995 is what happens where call ids have no generation).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallHandle {
    slot: u32,
    generation: u32,
    /// Whose slot. Not shown and not hashed: it differs from run to run.
    endpoint: u64,
}

impl CallHandle {
    /// Before a dialog has its slot. No call has this name: the last slot is past every limit.
    pub(super) const UNNAMED: CallHandle = CallHandle { slot: u32::MAX, generation: u32::MAX, endpoint: 0 };

    /// The slot, from 0.
    pub fn slot(self) -> u32 {
        self.slot
    }

    /// Which call of the slot, from 0.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallHandle({self})")
    }
}

impl Hash for CallHandle {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.slot, self.generation).hash(state);
    }
}

/// Tells endpoints apart.
fn number() -> u64 {
    #[expect(clippy::disallowed_types, reason = "no run depends on which number it is, and an engine's cannot be static")]
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// Slots for calls of type `C`.
pub(super) struct Slots<C> {
    endpoint: u64,
    slots: Vec<Slot<C>>,
    free: Vec<u32>,
    slots_max: usize,
}

struct Slot<C> {
    /// Of the call that is in it, or of the next one.
    generation: u32,
    call: Option<Arc<C>>,
}

impl<C> Slots<C> {
    pub(super) fn new(slots_max: usize) -> Self {
        Slots { endpoint: number(), slots: Vec::new(), free: Vec::new(), slots_max }
    }

    /// The handle that the next [`Slots::put`] gives; `None` if all are taken.
    pub(super) fn next(&self) -> Option<CallHandle> {
        match self.free.last() {
            Some(&slot) => Some(self.name(slot, self.slots[slot as usize].generation)),
            None if self.slots.len() < self.slots_max => Some(self.name(u32::try_from(self.slots.len()).ok()?, 0)),
            None => None,
        }
    }

    /// Puts a call into the slot of [`Slots::next`].
    pub(super) fn put(&mut self, handle: CallHandle, call: Arc<C>) {
        match self.free.pop() {
            Some(slot) => self.slots[slot as usize].call = Some(call),
            None => self.slots.push(Slot { generation: handle.generation, call: Some(call) }),
        }
    }

    /// The call of this name.
    pub(super) fn find(&self, handle: CallHandle) -> Result<&Arc<C>, StaleCall> {
        let slot = self.slots.get(handle.slot as usize).filter(|_| handle.endpoint == self.endpoint);
        let stale = StaleCall { call: handle, generation: slot.map(|slot| slot.generation) };
        slot.filter(|slot| slot.generation == handle.generation).and_then(|slot| slot.call.as_ref()).ok_or(stale)
    }

    /// Frees the slot of this call. It is used again, under the next generation; at the last one it is retired.
    pub(super) fn remove(&mut self, handle: CallHandle) -> Option<Arc<C>> {
        self.find(handle).ok()?;
        let slot = &mut self.slots[handle.slot as usize];
        let call = slot.call.take()?;
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(handle.slot);
        }
        Some(call)
    }

    /// The names of all calls, by slot.
    pub(super) fn handles(&self) -> impl Iterator<Item = CallHandle> + '_ {
        let named = move |(slot, it): (usize, &Slot<C>)| {
            it.call.as_ref().map(|_| self.name(u32::try_from(slot).unwrap_or(u32::MAX), it.generation))
        };
        self.slots.iter().enumerate().filter_map(named)
    }

    fn name(&self, slot: u32, generation: u32) -> CallHandle {
        CallHandle { slot, generation, endpoint: self.endpoint }
    }

    /// How many calls there are.
    pub(super) fn len(&self) -> usize {
        self.handles().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_never_another_call() {
        let mut slots = Slots::new(2);
        let mut old = Vec::new();
        for round in 0..20u32 {
            let handle = slots.next().unwrap();
            slots.put(handle, Arc::new(round));
            assert_eq!(**slots.find(handle).unwrap(), round);
            for stale in &old {
                assert_eq!(slots.find(*stale).unwrap_err().call, *stale);
                assert!(slots.remove(*stale).is_none());
            }
            assert_eq!(slots.remove(handle).as_deref(), Some(&round));
            old.push(handle);
        }
        assert_eq!((old[0].slot(), old[19].slot(), old[19].generation()), (0, 0, 19), "the slot is the same");
    }

    #[test]
    fn hashes_tell_calls_of_one_endpoint_apart_and_are_the_same_in_each_run() {
        let hashes = [(); 2].map(|()| {
            let mut slots = Slots::new(200);
            let calls = (0..400).map(|call| {
                let handle = slots.next().unwrap();
                slots.put(handle, Arc::new(call));
                // Slots are used again from the start.
                if call % 4 != 0 {
                    slots.remove(handle);
                }
                let mut hasher = std::hash::DefaultHasher::new();
                handle.hash(&mut hasher);
                hasher.finish()
            });
            calls.collect::<Vec<u64>>()
        });
        assert_eq!(hashes[0], hashes[1], "whichever endpoint it is");
        assert_eq!(hashes[0].iter().collect::<std::collections::BTreeSet<_>>().len(), 400);
    }

    #[test]
    fn all_slots_are_had_and_no_more() {
        let mut slots = Slots::new(3);
        let handles: Vec<CallHandle> = (0..3)
            .map(|call| {
                let handle = slots.next().unwrap();
                slots.put(handle, Arc::new(call));
                handle
            })
            .collect();
        assert!(slots.next().is_none());
        assert_eq!(slots.handles().collect::<Vec<_>>(), handles);
        slots.remove(handles[1]);
        assert_eq!(slots.next().map(|next| (next.slot(), next.generation())), Some((1, 1)));
        assert_eq!(slots.len(), 2);
    }

    #[test]
    fn the_last_generation_retires_its_slot() {
        let mut slots = Slots { slots: vec![Slot { generation: u32::MAX, call: None }], free: vec![0], ..Slots::new(2) };
        let last = slots.next().unwrap();
        assert_eq!(last.generation(), u32::MAX);
        slots.put(last, Arc::new(0));
        slots.remove(last);
        let next = slots.next().unwrap();
        assert_eq!((next.slot(), next.generation()), (1, 0));
        slots.put(next, Arc::new(1));
        assert!(slots.next().is_none(), "a retired slot is not used again");
    }
}
