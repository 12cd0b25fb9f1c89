//! An offer from anyone, and the answer to it. The body stands beside the code: `stack::media::description::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::media::description::properties::offer(bytes));
