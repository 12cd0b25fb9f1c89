//! What holds for the call whatever is chosen: a fuzz target, a property test and a corpus test share this body.

use super::party::Keying;
use super::weather::Weather;
use super::{Setting, call};
use sim::Engine;
use sim::explore::Check;
use sim::verdict::Verdict;

/// The first byte says how the call is keyed; each after it answers one choice of the run, under shuttle: who runs, whether time passes,
/// what becomes of a packet, what is random. When there are no more bytes every choice is the dull one.
///
/// Nothing that a check detects happens: the call ends keyed and talking or with a reason, nothing goes in clear, nothing hangs, is left,
/// raced for or used after its end.
pub fn any_bytes(bytes: &[u8]) {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let check = Check::new("media-call", if first & 1 == 0 { "stack" } else { "stack-sdes" }, Engine::Shuttle);
    let keying = if first & 1 == 0 { Keying::Dtls } else { Keying::Sdes };
    let report = check.run_bytes(rest, move || call(Setting { keying, weather: Weather::Any }));
    let token = report.token.map(|token| token.to_string()).unwrap_or_default();
    assert!(matches!(report.verdict, Verdict::Clean), "{}: {token}", report.verdict);
}
