//! A session of many packets, keys and mishaps. The body stands beside the code: `stack::srtp::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::srtp::properties::life(bytes));
