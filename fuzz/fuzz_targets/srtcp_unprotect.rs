//! An SRTCP receiver against bytes that nobody protected. The body stands beside the code: `stack::srtp::properties`.

#![no_main]

use stack::srtp::properties::Receivers;
use std::cell::RefCell;

thread_local! {
    static RECEIVERS: RefCell<Receivers> = RefCell::default();
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| RECEIVERS.with_borrow_mut(|receivers| receivers.refuse_rtcp(bytes)));
