//! The value of an `a=crypto` line from anyone. The body stands beside the code: `stack::media::description::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::media::description::properties::crypto(bytes));
