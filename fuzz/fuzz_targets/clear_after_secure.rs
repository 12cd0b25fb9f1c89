//! The schedules of `clear-after-secure`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::clear_after_secure::exhibit);
