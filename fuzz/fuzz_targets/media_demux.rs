//! What a datagram on a media socket is. The body stands beside the code: `stack::media::stream::properties`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stack::media::stream::properties::any_datagram(bytes));
