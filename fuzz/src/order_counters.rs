//! Counters that libFuzzer looks at beside those of the code's edges.

use scenarios::fuzzed::ORDERS;
use std::sync::atomic::{AtomicU8, Ordering};

/// What stands in this section libFuzzer clears before each run, and takes for coverage after it.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static ORDERS_SEEN: [AtomicU8; ORDERS] = [const { AtomicU8::new(0) }; ORDERS];

/// Says how often each order was seen in the run.
pub(crate) fn set(counts: &[u8]) {
    for (counter, count) in ORDERS_SEEN.iter().zip(counts) {
        if *count > 0 {
            counter.store(*count, Ordering::Relaxed);
        }
    }
}
