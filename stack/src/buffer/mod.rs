//! Memory that media runs in.
//!
//! [`mbuf::Mbuf`] holds one packet, with room before and after it. [`packet_pool::PacketPool`] lends such buffers, so that a packet
//! costs no allocation. [`pool::Pool`] is the memory of one owner that goes all at once.

pub mod mbuf;
pub mod packet_pool;
pub mod pool;

pub use mbuf::{Mbuf, MbufError};
pub use packet_pool::{PacketPool, PacketPoolConfig, PacketPoolError};
