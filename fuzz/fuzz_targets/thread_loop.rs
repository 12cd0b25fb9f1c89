//! The schedules of `thread-loop`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::thread_loop::exhibit);
