//! Every sequence of answers, depth first, within bounds.
//!
//! With a partial-order reduction: of runs in which the same steps conflict in the same order one is had. Two prefixes of runs with
//! the same happens-before relation leave the same state, so at each point the state's name is looked up, with what was spent of the
//! bounds; what was had from there with as much left need not be had again (Musuvathi and Qadeer, Fair Stateless Model Checking and
//! CHESS; Godefroid's sleep sets would not keep a bound on preemptions).

use super::Bounds;
use crate::choice::{Kind, mix};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

/// Data with more answers than this is not enumerated.
const ARITY_MAX: u64 = 65_536;
/// So many states are remembered; past that the rest is had as often as it comes.
const STATES_MAX: usize = 4_000_000;

#[derive(Debug)]
pub(crate) struct Dfs {
    bounds: Bounds,
    /// For each choice of the run: how many answers, and the one taken now.
    stack: Vec<(u64, u64)>,
    position: usize,
    preemptions: u32,
    early: u32,
    faults: u32,
    started: bool,
    /// What follows in this run was had before.
    is_known: bool,
    /// States, with what was spent in time and faults: the fewest preemptions that they were come to with.
    states: HashMap<u64, u32, BuildHasherDefault<Given>>,
    /// Data was met that is too wide to enumerate.
    pub(super) cut: bool,
}

impl Dfs {
    pub(super) fn new(bounds: Bounds) -> Self {
        Dfs {
            bounds,
            stack: Vec::new(),
            position: 0,
            preemptions: 0,
            early: 0,
            faults: 0,
            started: false,
            is_known: false,
            states: HashMap::default(),
            cut: false,
        }
    }

    pub(super) fn begin(&mut self) -> bool {
        self.position = 0;
        self.preemptions = 0;
        self.early = 0;
        self.faults = 0;
        self.is_known = false;
        if !self.started {
            self.started = true;
            return true;
        }
        while let Some((arity, value)) = self.stack.pop() {
            if value + 1 < arity {
                self.stack.push((arity, value + 1));
                return true;
            }
        }
        false
    }

    /// `state` names what all the steps so far have led to, if that is known.
    pub(super) fn schedule(&mut self, arity: u64, preempts: bool, state: Option<u64>) -> u64 {
        if let Some(state) = state
            && self.position == self.stack.len()
            && !self.is_known
        {
            self.is_known = !self.is_new(mix(mix(state, u64::from(self.early)), u64::from(self.faults)));
        }
        let exhausted = preempts && self.bounds.preemptions.is_some_and(|bound| self.preemptions >= bound);
        let value = self.answer(if exhausted { 1 } else { arity });
        self.preemptions += u32::from(preempts && value != 0);
        value
    }

    /// Remembers the state. False if it was come to before with no more preemptions.
    fn is_new(&mut self, state: u64) -> bool {
        let (preemptions, is_full) = (self.preemptions, self.states.len() >= STATES_MAX);
        match self.states.entry(state) {
            Entry::Occupied(known) if *known.get() <= preemptions => false,
            Entry::Occupied(mut known) => {
                known.insert(preemptions);
                true
            }
            Entry::Vacant(place) => {
                if !is_full {
                    place.insert(preemptions);
                }
                true
            }
        }
    }

    pub(super) fn choose(&mut self, kind: Kind, arity: u64) -> u64 {
        let arity = match kind {
            Kind::Timer | Kind::Delivery if self.early >= self.bounds.firings => 1,
            kind if kind.is_fault() && self.faults >= self.bounds.faults => 1,
            _ if arity > ARITY_MAX => {
                self.cut = true;
                1
            }
            _ => arity,
        };
        let value = self.answer(arity);
        self.early += u32::from(matches!(kind, Kind::Timer | Kind::Delivery) && value != 0);
        self.faults += u32::from(kind.is_fault() && value != 0);
        value
    }

    pub(super) fn choose_delivery(&mut self, packets: u64, time_may_pass: bool) -> u64 {
        let may_wait = time_may_pass && self.early < self.bounds.firings;
        let value = self.answer(packets + u64::from(may_wait));
        self.early += u32::from(value == packets);
        value
    }

    fn answer(&mut self, arity: u64) -> u64 {
        if self.position == self.stack.len() {
            self.stack.push((if self.is_known { 1 } else { arity }, 0));
        }
        let value = self.stack[self.position].1;
        self.position += 1;
        value
    }
}

/// A state's name is a hash.
#[derive(Debug, Default)]
struct Given(u64);

impl Hasher for Given {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| mix(hash, u64::from(*byte)));
    }

    fn write_u64(&mut self, name: u64) {
        self.0 = name;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
