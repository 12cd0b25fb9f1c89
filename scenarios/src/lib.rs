//! The exhibits: historic races of VoIP stacks, one folder each, and what the `glare` program does with them.
//!
//! An exhibit holds one driver and one property. Every version of the code is a *subject* of that driver: the bug as it shipped,
//! each published fix that left a hole, a twin of each with the one change that mends it, and our own stack, which must be clean.

// So that a path in here is what a fuzz target writes.
extern crate self as scenarios;

pub mod acquire_call;
mod call_crossing;
pub mod callback_outlives_stream;
pub mod canary;
pub mod clear_after_secure;
#[cfg(test)]
#[path = "../../stack/src/corpus.rs"]
mod corpus;
pub mod dialog_destroy;
pub mod double_clock_stop;
pub mod double_close;
pub mod double_setup;
pub mod dtls_crypto;
mod dtls_setup;
mod endpoint_oracle;
pub mod exhibit;
pub mod expired_deadline;
pub mod feedback_as_rtp;
pub mod flush_overrun;
pub mod fuzzed;
pub mod handshake_hang;
pub mod handshake_under_harm;
mod inputs;
pub mod media_call;
pub mod pairs;
pub mod pjsua_lock_order;
pub mod program;
#[cfg(test)]
mod programs;
pub mod queue_full;
pub mod recv_vs_destroy;
pub mod rekey_under_rx;
pub mod reset_after_unlock;
pub mod retransmit_join;
pub mod roc_invariants;
pub mod roc_lost_on_drop;
pub mod session_close;
pub mod short_srtcp;
pub mod spoofed_hello;
mod srtp_setup;
pub mod stop_acceptor;
mod stream_setup;
mod task_stream_setup;
pub mod thread_loop;
pub mod timer_cancel;
mod timer_oracle;
pub mod torn_flush;
mod toy_cipher;
pub mod work_held;
pub mod zrtp_mbuf_growth;

pub use exhibit::{Exhibit, Expected, MustSee, On, Sequential, Subject};

/// Every exhibit, in the order in which they are shown.
pub fn exhibits() -> Vec<Exhibit> {
    vec![
        canary::exhibit(),
        double_clock_stop::exhibit(),
        retransmit_join::exhibit(),
        zrtp_mbuf_growth::exhibit(),
        roc_lost_on_drop::exhibit(),
        short_srtcp::exhibit(),
        feedback_as_rtp::exhibit(),
        rekey_under_rx::exhibit(),
        roc_invariants::exhibit(),
        pjsua_lock_order::exhibit(),
        acquire_call::exhibit(),
        dialog_destroy::exhibit(),
        session_close::exhibit(),
        thread_loop::exhibit(),
        timer_cancel::exhibit(),
        work_held::exhibit(),
        queue_full::exhibit(),
        torn_flush::exhibit(),
        flush_overrun::exhibit(),
        reset_after_unlock::exhibit(),
        clear_after_secure::exhibit(),
        recv_vs_destroy::exhibit(),
        callback_outlives_stream::exhibit(),
        stop_acceptor::exhibit(),
        spoofed_hello::exhibit(),
        double_close::exhibit(),
        handshake_hang::exhibit(),
        expired_deadline::exhibit(),
        double_setup::exhibit(),
        media_call::exhibit(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::Engine;

    #[test]
    fn our_stack_stands_last_is_clean_and_says_what_its_schedules_must_see() {
        for exhibit in exhibits().iter().filter(|exhibit| exhibit.name != "canary") {
            let stack = exhibit.subjects.last().expect("an exhibit has subjects");
            assert_eq!(stack.name, "stack", "{}", exhibit.name);
            assert!(stack.on.iter().all(|on| on.expected == Expected::Clean), "{}", exhibit.name);
            assert_eq!(stack.must_see.is_some(), stack.on(Engine::Shuttle).is_some(), "{}", exhibit.name);
        }
    }
}
