//! A batch of packets beside the same packets one by one. The body stands beside the code: `stack::srtp::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::srtp::properties::batches_are_sequences(bytes));
