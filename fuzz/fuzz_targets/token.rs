//! Tokens that anyone may have written. The body stands beside the code: `sim::token::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sim::token::properties::reading(bytes));
