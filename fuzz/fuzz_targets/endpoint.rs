//! The endpoint against a list of calls. The body stands beside the code: `stack::endpoint::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::endpoint::properties::any_operations(bytes));
