//! What holds of a timer heap under any sequence of calls: fuzz targets, property tests and corpus tests share this body.

use super::{Full, TimerHeap, TimerId};
use sim::time::{Duration, Instant};

/// The first byte is how many timers the heap takes, and then each two bytes are a call. The heap does what a list does that is searched
/// from end to end.
pub fn as_a_list_does(bytes: &[u8]) {
    let [timers_max, calls @ ..] = bytes else { return };
    let timers_max = usize::from(timers_max % 32);
    let mut heap = TimerHeap::new(timers_max);
    let mut list = List { timers_max, now: at(0), waiting: Vec::new(), generation: 0 };
    // Every id that was ever given, with the value of its timer.
    let mut given: Vec<(TimerId, u64)> = Vec::new();
    let mut now_ns = 1000;
    for call in calls.chunks_exact(2) {
        let argument = u64::from(call[1]);
        match call[0] % 8 {
            // Around now, so that many are equal and many have passed.
            0..=2 => {
                let due = at((now_ns + argument % 32).saturating_sub(argument / 32));
                let value = list.generation;
                match heap.schedule(due, at(now_ns), value) {
                    Ok(id) => {
                        assert!(list.schedule(due, at(now_ns)), "the heap took more than {timers_max}");
                        assert!(given.iter().all(|(other, _)| *other != id), "an id was given twice");
                        given.push((id, value));
                    }
                    Err(Full { value: refused }) => {
                        assert!(!list.schedule(due, at(now_ns)), "the heap refuses what it has room for");
                        assert_eq!(refused, value, "what is refused is given back");
                    }
                }
            }
            3 | 4 if !given.is_empty() => {
                // Often one of the last, and sometimes one that has long ended, whose slot is another's by now.
                let (id, value) = given[given.len() - 1 - argument as usize % given.len()];
                let entry = heap.cancel(id).map(|entry| (entry.id, entry.due, entry.value));
                assert_eq!(entry, list.cancel(value).map(|due| (id, due, value)));
                assert!(!heap.contains(id));
            }
            5 => now_ns += argument % 24,
            // A clock that goes back, by as much as threads may see it differ.
            6 => {
                let entry = heap.pop_due(at(now_ns.saturating_sub(argument % 4)));
                let expected = list.pop_due(at(now_ns.saturating_sub(argument % 4)));
                assert_eq!(entry.as_ref().map(|entry| (entry.due, entry.value)), expected);
                if let Some(entry) = entry {
                    assert!(given.contains(&(entry.id, entry.value)), "a timer has its own id");
                    assert!(entry.due <= at(now_ns), "no timer is early");
                }
            }
            7 if argument == 255 => drain(&mut heap, &mut list),
            _ => {
                for (id, value) in given.iter().rev().take(usize::from(call[1])) {
                    assert_eq!(heap.contains(*id), list.contains(*value));
                }
            }
        }
        assert_eq!((heap.len(), heap.is_empty()), (list.waiting.len(), list.waiting.is_empty()));
        assert_eq!(heap.next_due(), list.first().map(|first| list.waiting[first].0));
    }
    drain(&mut heap, &mut list);
    assert!(given.iter().all(|(id, _)| !heap.contains(*id)));
}

fn drain(heap: &mut TimerHeap<u64>, list: &mut List) {
    loop {
        let entry = heap.pop();
        assert_eq!(entry.as_ref().map(|entry| (entry.due, entry.value)), list.pop());
        if entry.is_none() {
            return;
        }
    }
}

fn at(nanos: u64) -> Instant {
    Instant::from_origin(Duration::from_nanos(nanos))
}

/// When each timer is due and how many came before it, in no order.
struct List {
    timers_max: usize,
    now: Instant,
    waiting: Vec<(Instant, u64)>,
    generation: u64,
}

impl List {
    fn schedule(&mut self, due: Instant, now: Instant) -> bool {
        if self.waiting.len() == self.timers_max {
            return false;
        }
        self.now = self.now.max(now);
        self.waiting.push((due.max(self.now), self.generation));
        self.generation += 1;
        true
    }

    fn first(&self) -> Option<usize> {
        (0..self.waiting.len()).min_by_key(|index| self.waiting[*index])
    }

    fn contains(&self, value: u64) -> bool {
        self.waiting.iter().any(|(_, other)| *other == value)
    }

    fn cancel(&mut self, value: u64) -> Option<Instant> {
        let index = self.waiting.iter().position(|(_, other)| *other == value)?;
        Some(self.waiting.swap_remove(index).0)
    }

    fn pop(&mut self) -> Option<(Instant, u64)> {
        self.first().map(|first| self.waiting.swap_remove(first))
    }

    fn pop_due(&mut self, now: Instant) -> Option<(Instant, u64)> {
        self.now = self.now.max(now);
        self.first().filter(|first| self.waiting[*first].0 <= self.now).and_then(|_| self.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::as_a_list_does;

    #[test]
    fn the_corpus_holds() {
        crate::corpus::each("timer_heap", as_a_list_does);
    }

    proptest::proptest! {
        #[test]
        fn any_calls_hold(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            as_a_list_does(&bytes);
        }
    }
}
