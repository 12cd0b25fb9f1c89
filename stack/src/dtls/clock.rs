//! Our time as the library wants it.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the library's time is std's; what comes from it is ours again"
)]

use dimpl::{Config, Dtls, DtlsCertificate};
use sim::time::Instant;
use std::sync::Arc;
use std::time::Duration;

/// Turns our moments into the library's and back. Only differences of moments count, save for the seconds in a hello of DTLS 1.2 (RFC
/// 5246 section 7.4.1.2, where clocks need not be right). Those the library reckons from its own first look at both of the machine's
/// clocks, so the origin here is the moment that it takes for the same second in every process: what is sent depends on our time alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct LibraryClock {
    origin: std::time::Instant,
}

/// The library has no "no timer": an idle one is ten years away.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// The second that the origin is taken for, and a part of one that keeps the machine's clocks' errors away from its ends.
const ORIGIN_UNIX: Duration = Duration::new(3_000_000_000, 370_000_000);

impl LibraryClock {
    /// The certificate is for an association that is made for its look at the clocks alone.
    pub(super) fn new(config: &Arc<Config>, certificate: &DtlsCertificate) -> Self {
        static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let origin = *ORIGIN.get_or_init(|| {
            // No run depends on what these clocks say.
            let now = std::time::Instant::now();
            // It looks when it is first given the time. What becomes of it is of no interest.
            let _ = Dtls::new_12(Arc::clone(config), certificate.clone(), now).handle_timeout(now);
            let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let now = std::time::Instant::now();
            // A clock past the origin's second is a hundred years off; its hellos say so, and nothing else does.
            ORIGIN_UNIX.checked_sub(unix).map_or(now, |until| now + until)
        });
        LibraryClock { origin }
    }

    pub(super) fn to_library(self, moment: Instant) -> std::time::Instant {
        // Past the end of the library's clock nothing is due any more.
        self.origin.checked_add(moment.since_origin()).unwrap_or(self.origin)
    }

    /// Nothing, if the moment is so far away that it stands for never.
    pub(super) fn to_ours(self, moment: std::time::Instant, now: Instant) -> Option<Instant> {
        let at = Instant::from_origin(moment.saturating_duration_since(self.origin));
        (at.saturating_duration_since(now) < NEVER).then_some(at)
    }
}
