//! The schedules of `media-call`: each byte answers one choice. The code stands in `scenarios`.

#![no_main]

glare_fuzz::schedules!(scenarios::media_call::exhibit);
