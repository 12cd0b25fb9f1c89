//! What holds for any bytes: the bodies of the fuzz targets, as runs of the engine `cases`.

use super::EXHIBIT;
use sim::Engine;
use sim::explore::{Check, ReplayError, Report};

/// What holds for any bytes.
#[derive(Debug)]
pub struct Body {
    /// The target's name.
    pub name: &'static str,
    /// Where it stands in the code.
    pub path: &'static str,
    /// It, with the bytes that the run's choices are: how many, and then each.
    pub of_choices: fn(),
}

macro_rules! body {
    ($name:literal, $body:expr) => {
        Body { name: $name, path: stringify!($body), of_choices: || run(|bytes| $body(bytes)) }
    };
    ($name:literal, $state:path, $body:ident) => {
        Body { name: $name, path: stringify!($state), of_choices: || run(|bytes| <$state>::default().$body(bytes)) }
    };
}

/// Every body, by name.
pub const BODIES: &[Body] = &[
    body!("clock_core", stack::media::clock::properties::any_pace),
    body!("endpoint", stack::endpoint::properties::any_operations),
    body!("handshake_under_harm", scenarios::handshake_under_harm::any_harm),
    body!("jitter", stack::rtp::jitter::properties::any_arrivals),
    body!("loop_acceptances", stack::audio::thread_loop::properties::any_acceptances),
    body!("loop_life", stack::audio::thread_loop::properties::any_life),
    body!("mbuf", stack::buffer::mbuf::properties::against_a_vector),
    body!("media_demux", stack::media::stream::properties::any_datagram),
    body!("packet_pool", stack::buffer::packet_pool::properties::accounting),
    body!("pool", stack::buffer::pool::properties::accounting),
    body!("rtcp", stack::rtp::rtcp::properties::reading),
    body!("rtcp_building", stack::rtp::rtcp::properties::building),
    body!("rtp", stack::rtp::packet::properties::reading),
    body!("sdes_attribute", stack::media::description::properties::crypto),
    body!("sdp_offer", stack::media::description::properties::offer),
    body!("session_core", stack::session::properties::any_events),
    body!("srtcp_unprotect", stack::srtp::properties::Receivers, refuse_rtcp),
    body!("srtp_batch", stack::srtp::properties::batches_are_sequences),
    body!("srtp_life", stack::srtp::properties::life),
    body!("srtp_mutation", stack::srtp::properties::mutation),
    body!("srtp_unprotect", stack::srtp::properties::Receivers, refuse_rtp),
    body!("stream_steps", stack::media::stream::properties::any_steps),
    body!("timer_heap", stack::timer::properties::as_a_list_does),
    body!("token", sim::token::properties::reading),
];

/// No input is longer: what a fuzzer makes of its own accord.
const LEN_MAX: u64 = 4096;

/// Runs the body with the bytes that the run's choices are, as the fuzzer does: in production.
pub(super) fn run(body: impl FnOnce(&[u8])) {
    let len = sim::choose(LEN_MAX + 1);
    let bytes: Vec<u8> = (0..len).map(|_| sim::choose(256) as u8).collect();
    sim::in_production(|| body(&bytes));
}

impl Body {
    /// The run whose choices are these bytes; what it finds is shrunk.
    pub(super) fn report(&self, bytes: &[u8]) -> Result<Report, ReplayError> {
        let bytes = &bytes[..bytes.len().min(LEN_MAX as usize)];
        let len = (0, bytes.len() as u64);
        let each = bytes.iter().enumerate().map(|(place, byte)| (place as u64 + 1, u64::from(*byte)));
        let choices: Vec<(u64, u64)> = std::iter::once(len).chain(each).filter(|(_, answer)| *answer != 0).collect();
        Check::new(EXHIBIT, self.name, Engine::Cases).run_deviations(&choices, self.of_choices)
    }
}
