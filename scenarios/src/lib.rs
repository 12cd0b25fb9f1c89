//! The exhibits: historic races of VoIP stacks, one folder each, and what the `glare` program does with them.
//!
//! An exhibit holds one driver and one property. Every version of the code is a *subject* of that driver: the bug as it shipped,
//! each published fix that left a hole, a twin of each with the one change that mends it, and our own stack, which must be clean.

pub mod canary;
pub mod double_clock_stop;
pub mod exhibit;
pub mod program;
pub mod retransmit_join;

pub use exhibit::{Exhibit, Expected, On, Sequential, Subject};

/// Every exhibit, in the order in which they are shown.
pub fn exhibits() -> Vec<Exhibit> {
    vec![canary::exhibit(), double_clock_stop::exhibit(), retransmit_join::exhibit()]
}
