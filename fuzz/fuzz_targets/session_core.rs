//! A session's core against a model of plain lists. The body stands beside the code: `stack::session::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::session::properties::any_events(bytes));
