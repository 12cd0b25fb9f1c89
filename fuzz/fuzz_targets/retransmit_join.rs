//! The schedules of `retransmit-join`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::retransmit_join::exhibit);
