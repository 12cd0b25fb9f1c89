//! A loop's queue and life against a model. The body stands beside the code: `stack::audio::thread_loop::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::audio::thread_loop::properties::any_life(bytes));
