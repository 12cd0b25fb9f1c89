//! RTCP from anyone. The body stands beside the code: `stack::rtp::rtcp::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::rtp::rtcp::properties::reading(bytes));
