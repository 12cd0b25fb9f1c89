//! The schedules of `handshake-hang`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::handshake_hang::exhibit);
