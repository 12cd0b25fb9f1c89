//! The media clock's core against any pace of time. The body stands beside the code: `stack::media::clock::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::media::clock::properties::any_pace(bytes));
