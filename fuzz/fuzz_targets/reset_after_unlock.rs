//! The schedules of `reset-after-unlock`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::reset_after_unlock::exhibit);
