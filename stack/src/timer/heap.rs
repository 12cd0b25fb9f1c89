//! Which timer is due when: the sans-IO core of a timer heap.

use sim::time::Instant;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// Names a timer of one heap, for ever: a place in the heap that is used again gives another id. To another heap it is the name of
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimerId {
    slot: u32,
    /// How many timers the heap had been given before this one. 64 bits do not come round.
    generation: u64,
    /// Whose slot. Not shown and not hashed: it differs from run to run.
    heap: u64,
}

/// Timers and what each is for, ordered by when they are due, and among equal times by when they came. It is given the time and
/// never waits.
///
/// A moment that has passed counts as now, so a timer waits behind each that was due when it came: none is passed over by others
/// that are scheduled again and again. Time that goes back counts as time that stands still.
#[derive(Debug)]
pub struct TimerHeap<T> {
    timers_max: usize,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// A binary heap of slots; each knows its place.
    order: Vec<u32>,
    generation: u64,
    /// Tells it from other heaps.
    number: u64,
    now: Instant,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u64,
    due: Instant,
    /// Where it is in the order, while it has something.
    place: usize,
    value: Option<T>,
}

/// A timer whose time has come, or that was taken out before.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<T> {
    /// The timer.
    pub id: TimerId,
    /// When it was due.
    pub due: Instant,
    /// What it was for.
    pub value: T,
}

/// The heap has as many timers as it takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T> {
    /// What was refused.
    pub value: T,
}

impl<T> TimerHeap<T> {
    /// An empty heap that takes `timers_max` timers, and never more than 2^32.
    pub fn new(timers_max: usize) -> Self {
        let now = Instant::from_origin(std::time::Duration::ZERO);
        // A slot's number has 32 bits.
        let timers_max = timers_max.min(u32::MAX as usize);
        TimerHeap { timers_max, slots: Vec::new(), free: Vec::new(), order: Vec::new(), generation: 0, number: number(), now }
    }

    /// A timer that is due at `at`, or now if that has passed.
    ///
    /// # Errors
    /// [`Full`], and the heap is as it was.
    pub fn schedule(&mut self, at: Instant, now: Instant, value: T) -> Result<TimerId, Full<T>> {
        if self.len() >= self.timers_max {
            return Err(Full { value });
        }
        self.now = self.now.max(now);
        let generation = self.generation;
        self.generation += 1;
        let new = Slot { generation, due: at.max(self.now), place: self.order.len(), value: Some(value) };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = new;
                slot
            }
            None => {
                self.slots.push(new);
                (self.slots.len() - 1) as u32
            }
        };
        self.order.push(slot);
        self.rise(self.order.len() - 1);
        Ok(TimerId { slot, generation, heap: self.number })
    }

    /// Takes a timer out, if it is there still.
    pub fn cancel(&mut self, id: TimerId) -> Option<Entry<T>> {
        self.contains(id).then(|| self.slots[id.slot as usize].place).and_then(|place| self.take(place))
    }

    /// Takes out the first timer that is due at `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<Entry<T>> {
        self.now = self.now.max(now);
        self.next_due().is_some_and(|due| due <= self.now).then(|| self.take(0)).flatten()
    }

    /// Takes out the first timer, due or not.
    pub fn pop(&mut self) -> Option<Entry<T>> {
        self.take(0)
    }

    /// When the first timer is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.order.first().map(|slot| self.slots[*slot as usize].due)
    }

    /// Whether this timer is there still.
    pub fn contains(&self, id: TimerId) -> bool {
        let slot = self.slots.get(id.slot as usize).filter(|slot| slot.generation == id.generation && slot.value.is_some());
        id.heap == self.number && slot.is_some()
    }

    /// How many timers there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many timers it takes.
    pub fn timers_max(&self) -> usize {
        self.timers_max
    }

    fn take(&mut self, place: usize) -> Option<Entry<T>> {
        if place >= self.order.len() {
            return None;
        }
        let slot = self.order.swap_remove(place);
        if place < self.order.len() {
            // The last has come here. It belongs above or below, not both.
            self.seat(place);
            self.rise(place);
            self.sink(place);
        }
        let taken = &mut self.slots[slot as usize];
        let id = TimerId { slot, generation: taken.generation, heap: self.number };
        self.free.push(slot);
        taken.value.take().map(|value| Entry { id, due: taken.due, value })
    }

    /// Moves what is here up to where what is above it comes before it.
    fn rise(&mut self, mut place: usize) {
        while place > 0 && self.compare(place, (place - 1) / 2) == Ordering::Less {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
    }

    /// Moves what is here down to where what is below it comes after it.
    fn sink(&mut self, mut place: usize) {
        loop {
            let below = [2 * place + 1, 2 * place + 2].into_iter().filter(|below| *below < self.order.len());
            let Some(first) = below.min_by(|a, b| self.compare(*a, *b)) else { return };
            if self.compare(place, first) != Ordering::Greater {
                return;
            }
            self.swap(place, first);
            place = first;
        }
    }

    fn compare(&self, a: usize, b: usize) -> Ordering {
        let key = |place: usize| {
            let slot = &self.slots[self.order[place] as usize];
            (slot.due, slot.generation)
        };
        key(a).cmp(&key(b))
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.order.swap(a, b);
        self.seat(a);
        self.seat(b);
    }

    /// Tells what is here where it is.
    fn seat(&mut self, place: usize) {
        self.slots[self.order[place] as usize].place = place;
    }
}

impl fmt::Debug for TimerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimerId({}, {})", self.slot, self.generation)
    }
}

impl Hash for TimerId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.slot, self.generation).hash(state);
    }
}

/// Tells heaps apart.
fn number() -> u64 {
    #[expect(clippy::disallowed_types, reason = "no run depends on which number it is, and an engine's cannot be static")]
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(nanos: u64) -> Instant {
        Instant::from_origin(Duration::from_nanos(nanos))
    }

    #[test]
    fn a_heap_has_no_more_slots_than_it_had_timers_at_once() {
        let mut heap = TimerHeap::new(10);
        let mut old = Vec::new();
        for round in 0..100 {
            let ids: Vec<_> = (0..3).map(|value| heap.schedule(at(round + value), at(round), value).unwrap()).collect();
            assert!(heap.cancel(ids[1]).is_some() && heap.pop_due(at(round)).is_some() && heap.pop().is_some());
            old.extend(ids);
        }
        assert_eq!(heap.slots.len(), 3);
        heap.schedule(at(0), at(0), 0).unwrap();
        assert!(old.iter().all(|id| heap.cancel(*id).is_none()), "an id whose slot was used again is no other timer");
    }

    #[test]
    fn to_another_heap_an_id_is_the_name_of_nothing() {
        let (mut one, mut other) = (TimerHeap::new(10), TimerHeap::new(10));
        let (id, other_id) = (one.schedule(at(1), at(0), ()).unwrap(), other.schedule(at(1), at(0), ()).unwrap());
        assert!(id != other_id && !one.contains(other_id) && one.cancel(other_id).is_none());
        assert!(other.contains(other_id) && other.pop().unwrap().id == other_id && one.cancel(id).is_some());
        assert_eq!(format!("{id:?}"), "TimerId(0, 0)");
        assert_eq!(format!("{other_id:?}"), "TimerId(0, 0)", "no run shows which heap is meant");
    }

    /// What a map would go by.
    fn hash(id: TimerId) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        id.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn hashes_tell_timers_of_one_heap_apart_and_are_the_same_in_each_run() {
        let mut heaps = [(); 2].map(|()| TimerHeap::new(1000));
        let hashes = heaps.each_mut().map(|heap| {
            // Some places are used again.
            let ids = (0..400).map(|number| {
                let id = heap.schedule(at(number), at(0), ()).unwrap();
                if number % 3 == 0 {
                    heap.pop();
                }
                hash(id)
            });
            ids.collect::<Vec<u64>>()
        });
        assert_eq!(hashes[0], hashes[1], "whichever heap it is");
        assert_eq!(hashes[0].iter().collect::<std::collections::BTreeSet<_>>().len(), 400);
    }

    #[test]
    fn a_timer_is_not_passed_over_by_one_that_is_scheduled_again_and_again() {
        let mut heap = TimerHeap::new(10);
        heap.schedule(at(0), at(5), "again").unwrap();
        heap.schedule(at(5), at(5), "once").unwrap();
        let mut calls = Vec::new();
        while let Some(entry) = heap.pop_due(at(5)) {
            calls.push(entry.value);
            if entry.value == "once" {
                break;
            }
            heap.schedule(at(0), at(5), entry.value).unwrap();
        }
        assert_eq!(calls, ["again", "once"]);
    }
}
