//! RTP packets and header extensions from anyone. The body stands beside the code: `stack::rtp::packet::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::rtp::packet::properties::reading(bytes));
