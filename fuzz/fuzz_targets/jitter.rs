//! The jitter buffer against any arrivals and ticks. The body stands beside the code: `stack::rtp::jitter::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::rtp::jitter::properties::any_arrivals(bytes));
