//! Signals and their acceptances against a list. The body stands beside the code: `stack::audio::thread_loop::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::audio::thread_loop::properties::any_acceptances(bytes));
