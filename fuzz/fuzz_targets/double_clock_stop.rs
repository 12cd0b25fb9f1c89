//! The schedules of `double-clock-stop`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::double_clock_stop::exhibit);
