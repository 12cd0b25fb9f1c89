//! A DTLS handshake whose datagrams are lost, doubled, late, cut, harmed, or joined by a stranger's. The body stands in `scenarios`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scenarios::handshake_under_harm::any_harm(bytes));
