//! The pool against a sum in a variable. The body stands beside the code: `stack::buffer::pool::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::buffer::pool::properties::accounting(bytes));
