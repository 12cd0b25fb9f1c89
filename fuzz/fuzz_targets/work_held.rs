//! The schedules of `work-held`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::work_held::exhibit);
