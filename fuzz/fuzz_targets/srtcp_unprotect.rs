//! An SRTCP receiver against bytes that nobody protected. The body stands beside the code: `stack::srtp::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::srtp::properties::unprotect_rtcp(bytes));
