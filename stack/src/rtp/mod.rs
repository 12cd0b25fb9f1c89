//! RTP and RTCP (RFC 3550): packets, header extensions, reports, feedback, and the buffer that plays packets in time.
//!
//! Everything here is sans-IO and works on borrowed bytes. Whatever comes from the network is checked where it is parsed; what
//! has been parsed can be read without an error or a panic.

pub mod demux;
mod error;
pub mod extension;
pub mod header;
pub mod jitter;
pub mod packet;
pub mod reception;
pub mod rtcp;

pub use demux::{Kind, classify};
pub use error::{Part, RtpError};
pub use header::Header;
pub use packet::{Fields, Packet};
