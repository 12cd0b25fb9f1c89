//! The schedules of `torn-flush`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::torn_flush::exhibit);
