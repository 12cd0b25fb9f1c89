//! Memory that media runs in.

pub mod pool;
