//! The schedules of `acquire-call`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::acquire_call::exhibit);
