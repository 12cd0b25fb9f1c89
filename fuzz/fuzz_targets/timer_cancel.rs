//! The schedules of `timer-cancel`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::timer_cancel::exhibit);
