//! A DTLS handshake whose datagrams are lost, doubled, late, cut, harmed, or joined by a stranger's. The body stands in `scenarios`, all
//! of whose engines this needs none of.

#![no_main]

#[path = "../../scenarios/src/dtls_crypto/mod.rs"]
mod dtls_crypto;
#[path = "../../scenarios/src/handshake_under_harm.rs"]
mod handshake_under_harm;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| handshake_under_harm::any_harm(bytes));
