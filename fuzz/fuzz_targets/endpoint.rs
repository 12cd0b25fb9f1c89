//! The endpoint against a plain list of calls. The body stands beside the code: `stack::endpoint::properties`.

#![no_main]

// Some of its usages panic, as the endpoint is to bear; libFuzzer's own hook would end the process before it does. A panic that nothing
// catches ends it all the same.
libfuzzer_sys::fuzz_target!(init: std::panic::set_hook(Box::new(|_| {})), |bytes: &[u8]| {
    stack::endpoint::properties::any_operations(bytes);
});
