//! The packet buffer against a vector. The body stands beside the code: `stack::buffer::mbuf::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::buffer::mbuf::properties::against_a_vector(bytes));
