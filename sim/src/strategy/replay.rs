//! Answers that are known: those of a token, and those of a fuzzer.

use crate::choice::Kind;

/// Answers 0, except at the recorded places.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(super) deviations: Vec<(u64, u64)>,
    pub(super) next: usize,
    pub(super) index: u64,
    misfit: Option<String>,
}

impl Replay {
    /// `deviations`: places, ascending, and the answers there.
    pub(crate) fn new(deviations: Vec<(u64, u64)>) -> Self {
        Replay { deviations, next: 0, index: 0, misfit: None }
    }

    #[inline]
    pub(super) fn answer(&mut self, arity: u64) -> u64 {
        let at = self.index;
        self.index += 1;
        match self.deviations.get(self.next) {
            Some(&(place, value)) if place == at => {
                self.next += 1;
                if value < arity {
                    return value;
                }
                self.misfit.get_or_insert_with(|| format!("choice {at} has {arity} answers, the token wants number {value}"));
                0
            }
            _ => 0,
        }
    }

    /// The first recorded answer that the run had no use for.
    pub(super) fn misfit(&self) -> Option<String> {
        self.misfit.clone().or_else(|| {
            (self.next < self.deviations.len())
                .then(|| format!("the run ended after {} choices, before the last of the token", self.index))
        })
    }
}

/// Each byte answers one choice: what a fuzzer changes. After the last one every answer is the dull one.
#[derive(Debug)]
pub(crate) struct Bytes {
    bytes: Vec<u8>,
    next: usize,
    /// How often a timer may fire early yet, and a packet be harmed.
    left: [u32; 2],
}

/// A byte from here on lets happen what happens rarely: one in sixteen.
const RARE: u8 = 240;
/// So often timers fire early in a run, and so many packets are harmed. A fuzzer would soon have all of them be, and programs' patience
/// has an end.
const RARE_MAX: [u32; 2] = [8, 16];

impl Bytes {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Bytes { bytes: bytes.to_vec(), next: 0, left: RARE_MAX }
    }

    pub(super) fn begin(&mut self) {
        (self.next, self.left) = (0, RARE_MAX);
    }

    pub(super) fn choose(&mut self, kind: Kind, arity: u64) -> u64 {
        let which = match kind {
            Kind::Timer => 0,
            kind if kind.is_fault() => 1,
            _ => return self.answer(arity),
        };
        if self.left[which] == 0 {
            return 0;
        }
        let answer = match self.take().checked_sub(RARE) {
            Some(over) if arity > 1 => 1 + u64::from(over) % (arity - 1),
            _ => 0,
        };
        self.left[which] -= u32::from(answer != 0);
        answer
    }

    fn take(&mut self) -> u8 {
        let byte = self.bytes.get(self.next).copied().unwrap_or_default();
        self.next += 1;
        byte
    }

    /// Of more answers than a byte tells apart, those that it says are spread over all.
    pub(super) fn answer(&mut self, arity: u64) -> u64 {
        let byte = u64::from(self.take());
        if arity <= 256 { byte % arity } else { ((u128::from(byte) * u128::from(arity)) >> 8) as u64 }
    }
}
