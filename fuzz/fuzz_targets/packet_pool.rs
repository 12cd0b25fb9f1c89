//! The packet pool against a list of what is lent. The body stands beside the code: `stack::buffer::packet_pool::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::buffer::packet_pool::properties::accounting(bytes));
