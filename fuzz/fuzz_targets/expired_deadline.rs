//! The schedules of `expired-deadline`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::expired_deadline::exhibit);
