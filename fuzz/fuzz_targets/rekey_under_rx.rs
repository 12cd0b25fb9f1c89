//! The schedules of `rekey-under-rx`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::rekey_under_rx::exhibit);
