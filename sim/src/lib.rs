// The page is a program in steps; its blocks need the engines that they use.
#![cfg_attr(any(not(doctest), all(feature = "loom", feature = "shuttle")), doc = include_str!("../README.md"))]
//! # How it works
//!
//! [`sync`], [`thread`], [`task`], [`time`], [`net`], [`rand`] and [`collections`] are what code is written against. Without the features
//! `loom`, `shuttle` and `turmoil` every primitive has one variant and compiles to the real one. With them it belongs to the engine that
//! is current on its thread when it is made, which outside a check is still [`Engine::Real`].
//!
//! Every nondeterministic decision of a run is a choice of a number below another, where 0 is the dull answer. A run is its
//! sequence of choices; a token (`token::Token`, with an engine built in) is the short list of those that are not 0.
//!
#![doc = include_str!("../SUPPORT.md")]

#[cfg(feature = "model")]
mod awaiting;
pub mod cell;
#[cfg(feature = "model")]
pub mod choice;
pub mod collections;
#[cfg(feature = "model")]
pub mod coverage;
mod engine;
#[cfg(feature = "model")]
pub mod explore;
#[cfg(feature = "model")]
mod happens;
#[cfg(feature = "model")]
mod hook;
#[cfg(feature = "model")]
mod kernel;
pub mod ledger;
pub mod net;
mod operation;
#[cfg(feature = "model")]
mod order;
pub mod rand;
#[cfg(feature = "model")]
mod run;
#[cfg(feature = "model")]
mod strategy;
pub mod sync;
pub mod task;
pub mod thread;
pub mod time;
#[cfg(feature = "model")]
pub mod token;
#[cfg(feature = "model")]
pub mod trace;
#[cfg(feature = "model")]
pub mod verdict;

pub use engine::{Engine, Primitive, UnknownEngine, Unsupported, current as current_engine, in_production};
#[cfg(feature = "model")]
pub use explore::model;
pub use operation::{Operation, operation};
#[cfg(feature = "model")]
pub use run::Detectors;
#[cfg(feature = "model")]
pub use strategy::{Bounds, StrategyName};

/// A choice of the body's own: a number below `n`. The engine `cases` has every answer, shuttle draws one, loom and production
/// give 0.
#[track_caller]
pub fn choose(n: u64) -> u64 {
    #[cfg(feature = "model")]
    if !matches!(engine::current(), Engine::Real | Engine::Loom) {
        let site = std::panic::Location::caller();
        return run::with(|run| {
            run.record(run::me(), trace::Op::Choose, None, site);
            run.choose(choice::Kind::Input, n)
        });
    }
    let _ = n;
    0
}

/// tokio's `select!`, always biased: branches are tried in the order in which they stand, so that a run does not depend on tokio's own
/// randomness.
#[macro_export]
macro_rules! select {
    ($($branches:tt)*) => {
        $crate::reexported::tokio::select! { biased; $($branches)* }
    };
}

#[doc(hidden)]
pub mod reexported {
    pub use tokio;
}

/// Says that a property of the program does not hold. Under an engine this ends the run as an `invariant`; use [`invariant!`].
///
/// # Panics
/// In production.
#[track_caller]
pub fn violated(what: String) -> ! {
    #[cfg(feature = "model")]
    if engine::current() != Engine::Real {
        run::fail(verdict::Finding::new(verdict::Detector::Invariant, what));
    }
    panic!("{what}");
}

/// Checks a property of the program: `invariant!(condition, "what holds, {formatted}")`.
#[macro_export]
macro_rules! invariant {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            $crate::violated(::std::format!($($what)+));
        }
    };
}
