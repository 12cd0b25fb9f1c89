//! The schedules of `spoofed-hello`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::spoofed_hello::exhibit);
