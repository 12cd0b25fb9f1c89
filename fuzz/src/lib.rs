//! How a fuzz target drives the schedules of an exhibit.

mod order_counters;

use scenarios::fuzzed::Schedules;

/// Runs the run that these bytes stand for, and tells libFuzzer in which order threads did what.
///
/// # Panics
/// If something is found: that is how libFuzzer hears of it.
pub fn run(schedules: &Schedules, bytes: &[u8]) {
    schedules.fuzz(bytes, order_counters::set);
}

/// A target that drives the schedules of this exhibit.
#[macro_export]
macro_rules! schedules {
    ($exhibit:path) => {
        ::libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            static SCHEDULES: ::std::sync::OnceLock<::scenarios::fuzzed::Schedules> = ::std::sync::OnceLock::new();
            let schedules = || ::scenarios::fuzzed::schedules(&$exhibit()).expect("a target's exhibit runs under shuttle");
            $crate::run(SCHEDULES.get_or_init(schedules), bytes);
        });
    };
}
