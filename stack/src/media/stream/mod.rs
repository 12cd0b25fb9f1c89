//! Streams: a clock's ticks become packets, and packets become what is played (RFC 3550, RFC 3551).
//!
//! At each tick of its media clock a stream asks a source for a frame, encodes it, makes a packet and has its transport protect it; what
//! has come goes through the jitter buffer and the decoder into a sink. RTCP is sent on the schedule of RFC 3550 section 6.3, with
//! early feedback (RFC 4585) and a BYE at the end.
//!
//! [`Stream`] is that without sockets, tasks or clocks: it is shared and sans-IO. [`TaskStream`] drives one on tasks, with a
//! [`TaskClock`](super::clock::TaskClock) and UDP sockets.
//!
//! Left out are simulcast, retransmission (RFC 4588), forward error correction, and a new SSRC after a collision: a packet with our own
//! SSRC is refused and counted.

mod config;
mod content;
mod core;
mod draws;
mod error;
pub mod properties;
mod report;
mod schedule;
mod shared;
mod sources;
mod task;

pub use config::{CNAME_LEN_MAX, RtcpConfig, StreamConfig};
pub use content::{Content, PayloadSink, PayloadSource};
pub use core::{EVENTS_MAX, PAYLOADS_MAX, Payload};
pub use error::StreamError;
pub use report::{StreamEvent, StreamReport};
pub use shared::{Outgoing, Stream, Taken};
pub use sources::SOURCES_MAX;
pub use task::{Sockets, TaskStream};
