//! A secure real-time media stack that is built to be checked.
//!
//! Every lock, thread, timer and random number comes from [`sim`], so the code that runs in production is the code that loom
//! exhausts and shuttle samples. Protocol engines are sans-IO: they are given bytes and the time, and give back what to do. Shared
//! objects are safe to call from any thread, their own callbacks included; the page of each says which locks it takes.

pub mod audio;
pub mod buffer;
#[cfg(test)]
mod corpus;
pub mod dtls;
pub mod endpoint;
pub mod media;
pub mod rtp;
pub mod session;
pub mod srtp;
pub mod timer;
