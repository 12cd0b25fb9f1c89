//! A timer heap against a list that is searched from end to end. The body stands beside the code: `stack::timer::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::timer::properties::as_a_list_does(bytes));
