//! The schedules of `double-setup`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::double_setup::exhibit);
