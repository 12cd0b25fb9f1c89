//! The schedules of `double-close`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::double_close::exhibit);
