//! The whole call under shuttle, each byte a choice: who runs, whether time passes, what becomes of a packet. The body stands in `scenarios`,
//! of whose other engines this needs none. Without AddressSanitizer, which warns of coroutines: `cargo fuzz run -s none media_call`.

#![no_main]

#[path = "../../scenarios/src/media_call/call/mod.rs"]
mod call;
#[path = "../../scenarios/src/dtls_crypto/mod.rs"]
mod dtls_crypto;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| call::by_bytes::any_bytes(bytes));
