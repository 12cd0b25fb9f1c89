//! Randomness: the system's in production, the run's choices under an engine.

#[cfg(feature = "model")]
use crate::choice::Kind;
#[cfg(feature = "model")]
use crate::engine::{Engine, current};
#[cfg(feature = "model")]
use crate::run::{me, with};
#[cfg(feature = "model")]
use crate::trace::Op;

/// Fills `bytes` with randomness fit for keys, in production. Under an engine each byte is a choice, and loom, which has no
/// choice of data, gives a fixed sequence.
///
/// # Panics
/// If the system has no randomness: nothing that needs keys can go on then.
#[track_caller]
pub fn fill(bytes: &mut [u8]) {
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        for byte in bytes {
            *byte = draw(256, std::panic::Location::caller()) as u8;
        }
        return;
    }
    getrandom::fill(bytes).expect("the system gives randomness");
}

/// A random number.
#[track_caller]
pub fn next_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A random number below `n`, each equally likely. Under an engine it is one choice.
///
/// # Panics
/// If `n` is 0.
#[track_caller]
pub fn below(n: u64) -> u64 {
    assert!(n > 0, "no number is below 0");
    #[cfg(feature = "model")]
    if current() != Engine::Real {
        return draw(n, std::panic::Location::caller());
    }
    // Numbers past the last whole multiple of `n` would favour the small ones.
    let past = u64::MAX - u64::MAX % n;
    loop {
        let number = next_u64();
        if number < past {
            return number % n;
        }
    }
}

#[cfg(feature = "model")]
fn draw(n: u64, site: &'static std::panic::Location<'static>) -> u64 {
    with(|run| {
        run.record(me(), Op::Choose, None, site);
        if run.engine == Engine::Loom {
            let thread = &mut run.threads[me() as usize];
            thread.draws += 1;
            return crate::choice::mix(u64::from(me()) + 1, thread.draws) % n;
        }
        run.choose(Kind::Random, n)
    })
}
