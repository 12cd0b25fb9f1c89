//! A stream that anybody sends to, in clear, keyed, or with a handshake to come. The body stands beside the code: `stack::media::stream::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::media::stream::properties::any_steps(bytes));
