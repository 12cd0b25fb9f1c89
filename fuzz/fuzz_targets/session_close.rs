//! The schedules of `session-close`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::session_close::exhibit);
