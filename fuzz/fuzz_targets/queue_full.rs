//! The schedules of `queue-full`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::queue_full::exhibit);
